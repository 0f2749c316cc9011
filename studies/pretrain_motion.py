"""Pretrain a network on drawn motion alone, and write its weights as they lie in the package.

Half of the clips show a motion class drawn by a hand or an object (``hands.py``), a fifth a random path, the others the
motion set as it is; no clip is drawn twice. The network names the class, and tells in a few numbers the path of what
moves: that part of its classifier is left out of the weights. A run that was killed goes on when it is started again.

python studies/pretrain_motion.py --model vov3d_s --clips 60000 --out runs/motion_s
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from hands import NO_CLASS, TRACE_VALUES, draw_hands
from refusals import told_in_one_line
from scenes import developed
from torch import Tensor, nn
from torch.nn import functional as F

from vov3d.build import build_model
from vov3d.checkpoint import JSON, as_json, write_checkpoint
from vov3d.data.items import Batch
from vov3d.data.motion import MOTION_CLASSES, MOTION_VERSION, draw_clips
from vov3d.distributed import ProcessGroup, process_group
from vov3d.layers import ClipHead
from vov3d.locks import sole_writer
from vov3d.memory import keep_freed_memory
from vov3d.models import ClipClassifier, create_model
from vov3d.optim import recompute_norm_statistics
from vov3d.recipe import Recipe, load_recipe, override, to_mapping, to_yaml
from vov3d.resume import EpochRow, Position, ResumeState
from vov3d.run_folder import RunFolder
from vov3d.train_step import TrainStep
from vov3d.trained import describe

NUM_CLASSES = len(MOTION_CLASSES)
TRACE_WEIGHT, FRAME_WEIGHT = 8.0, 10.0
RANDOM_PATHS, FROM_THE_SET = 0.25, 0.2
EPOCH_CLIPS, NORM_BATCHES = 1000, 64
HARD_FROM, LARGE_FROM = 0.5, 0.75
"""From this part of the training on, clips are as large as they are tested; before, smaller ones are quicker."""

BASES = {"vov3d_s": "folder/vov3d_s_16", "vov3d_m": "folder/vov3d_m_16"}
log = logging.getLogger("vov3d")


def recipe_for(model: str, clips: int, *, crop: int, test_crop: int, batch: int, lr: float, seed: int) -> Recipe:
    """The recipe of the pretraining, which also says how the network's clips are prepared."""
    settings = {
        "model.dropout": "0.0",
        "model.init": "null",
        "clip.short_side": f"{crop},{test_crop}",
        "clip.crop": str(crop),
        "clip.flip": "none",
        "clip.colour_jitter": "0.0",
        "optim.lr": str(lr),
        "optim.weight_decay": "0.02",
        "optim.warmup_epochs": str(0.02 * clips / EPOCH_CLIPS),
        "train.epochs": str(max(1, clips // EPOCH_CLIPS)),
        "train.batch_size": str(batch),
        "train.label_smoothing": "0.0",
        "train.stills": "0.0",
        "train.seed": str(seed),
        "test.crop": str(test_crop),
    }
    return override(load_recipe(BASES[model]), settings)


class TracingStep(TrainStep):
    """A step that learns classes, of the clips that have one, and the paths of those drawn by ``hands.py``.

    Attributes:
        traced: summed squares of the errors of paths, and of the paths, in this epoch.
    """

    traced = torch.zeros(4)

    def __init__(self, recipe: Recipe, model: ClipClassifier, group: ProcessGroup, steps_per_epoch: int) -> None:
        assert isinstance(model.head, ClipHead)
        self.tracer = model.head.tracer = nn.Linear(model.head.hidden.in_channels, 4)
        super().__init__(recipe, model, group, steps_per_epoch)

    def _gradient(self, clips: Tensor, targets: Tensor, share: float) -> tuple[Tensor, Tensor]:
        wanted, traces, tips = targets.split((NUM_CLASSES, TRACE_VALUES, 2 * clips.shape[2]), dim=1)
        is_traced = (tips != 0).any(1)
        head = self.model.head
        maps = head.before_pool(self.model.forward_features(clips))
        logits = head.classify(maps)
        loss = F.cross_entropy(logits[:, :NUM_CLASSES], wanted, reduction="sum")
        off = ((logits[:, NUM_CLASSES:] - traces).square().sum(1) * is_traced).sum()
        frames = self.tracer(maps.mean((3, 4)).transpose(1, 2))  # [N, T, 4]: where, and how fast
        where = 2 * tips.unflatten(1, (2, -1)).transpose(1, 2) - 1
        fast = 5 * torch.gradient(where, dim=1)[0]
        wrong = ((frames - torch.cat([where, fast], dim=2)).square().mean((1, 2)) * is_traced).sum()
        self.traced += torch.stack([off.detach(), traces.square().sum(), wrong.detach(), is_traced.sum()])
        ((loss + TRACE_WEIGHT * off + FRAME_WEIGHT * wrong) * share).backward()
        return loss.detach(), logits.detach()[:, :NUM_CLASSES]


def draw_batch(
    number: int, batch: int, *, size: int, num_frames: int, seed: int, difficulty: float = 1.0, tested: bool = False
) -> Batch:
    """Batch ``number``: a pure function of its arguments; those that are tested are never trained on."""
    key = int(np.random.SeedSequence((seed, number, int(tested))).generate_state(1, np.uint64)[0] >> 22)
    generator = torch.Generator().manual_seed(key)
    from_the_set, random_paths = round(FROM_THE_SET * batch), round(RANDOM_PATHS * batch)
    labels = (torch.randperm(batch, generator=generator) + batch * number) % NUM_CLASSES
    labels[from_the_set : from_the_set + random_paths] = NO_CLASS
    hands = draw_hands(labels[from_the_set:], key, size=size, num_frames=num_frames, difficulty=difficulty)
    seeds = key + torch.arange(from_the_set)
    times = (torch.arange(num_frames) + torch.rand(from_the_set, num_frames, generator=generator)) / num_frames
    busy = 0.1 + float(torch.rand(1, generator=generator)) * 0.4 * difficulty
    plain = draw_clips(
        labels[:from_the_set], seeds, times, split="val" if tested else "train", size=size, difficulty=busy
    )
    of_the_set = plain.float() / 255
    half = from_the_set // 2
    of_the_set[:half] = developed(of_the_set[:half], generator, difficulty)
    clips = torch.cat([of_the_set, hands.clips])
    traced = torch.cat([hands.traces, hands.tips.flatten(1)], dim=1)
    traced = torch.cat([torch.zeros(from_the_set, traced.shape[1]), traced])
    targets = torch.cat([F.one_hot(labels.clamp(min=0), NUM_CLASSES) * (labels != NO_CLASS)[:, None], traced], dim=1)
    clips = ((clips - 0.45) / 0.225).contiguous(memory_format=torch.channels_last_3d)
    return Batch(clips, labels, torch.arange(batch), targets, ())


class Pretraining:
    """Where a pretraining stands, and its loop."""

    def __init__(self, recipe: Recipe, folder: RunFolder, group: ProcessGroup, *, goes_on: bool) -> None:
        self.recipe, self.folder, self.group = recipe, folder, group
        self.steps_per_epoch = EPOCH_CLIPS // recipe.train.batch_size
        model = build_model(recipe, NUM_CLASSES + TRACE_VALUES)
        self.step = TracingStep(recipe, model, group, self.steps_per_epoch)
        self.epoch, self.rows = 0, list[EpochRow]()
        if goes_on:
            state = folder.states.load()
            self.step.restore(state)
            self.epoch, self.rows = state.position.epoch, list(state.rows)

    def batch(self, epoch: int, step: int) -> Batch:
        """The clips of a step, larger towards the end."""
        clip, late = self.recipe.clip, epoch >= LARGE_FROM * self.recipe.train.epochs
        return draw_batch(
            epoch * self.steps_per_epoch + step,
            self.recipe.train.batch_size,
            size=self.recipe.test.crop if late else clip.crop,
            num_frames=clip.num_frames,
            seed=self.recipe.train.seed,
            difficulty=min(1.0, epoch / (HARD_FROM * self.recipe.train.epochs)),
        )

    def run(self) -> None:
        """Train to the end of the recipe; each epoch leaves a state to go on from."""
        while self.epoch < self.recipe.train.epochs:
            started, tally = time.perf_counter(), torch.zeros(3, dtype=torch.float64)
            for step in range(self.steps_per_epoch):
                batch = self.batch(self.epoch, step)
                tally += self.step.take(self.epoch, step, batch, len(batch.labels))
            self._finish_epoch(tally, time.perf_counter() - started)

    def _finish_epoch(self, tally: Tensor, seconds: float) -> None:
        loss, right, clips = tally.tolist()
        clips *= 1 - RANDOM_PATHS  # the others have no class
        self.epoch += 1
        rate = self.step.rate(self.epoch - 1, self.steps_per_epoch - 1)
        row = EpochRow(
            self.epoch,
            self.epoch * self.steps_per_epoch,
            rate,
            loss / clips,
            right / clips,
            *(None, None, None, clips / (1 - RANDOM_PATHS) / seconds, seconds, 0),
        )
        self.rows.append(row)
        log.info(
            "epoch %d/%d: loss %.3f top-1 %.1f%%, path untold %.2f, frames %.3f, %.1f clips/s",
            self.epoch,
            self.recipe.train.epochs,
            row.train_loss,
            100 * row.train_top1,
            self.step.traced[0] / self.step.traced[1],
            self.step.traced[2] / self.step.traced[3],
            row.clips_per_second,
        )
        self.step.traced = torch.zeros(4)
        state = ResumeState(
            position=Position(self.epoch, 0),
            **vars(self.step.memory()),
            tally=(0.0, 0.0, 0.0),
            rows=self.rows,
            quarantine={},
            best=None,
            recipe=as_json(to_mapping(self.recipe)),
            data={"motion": str(MOTION_VERSION)},
            norm_clips=self.recipe.train.batch_size,
        )
        self.folder.states.save(state)
        self.folder.write_log(self.rows, {})

    def clips_for_norms(self) -> Iterator[Tensor]:
        """Clips as at the end of the training."""
        for step in range(NORM_BATCHES):
            yield self.batch(self.recipe.train.epochs, step).clips

    def finished(self) -> ClipClassifier:
        """The network without what tells paths, its norms measured anew."""
        recompute_norm_statistics(self.step.model, self.clips_for_norms())
        state = self.step.model.state_dict()
        for name in ("head.classifier.weight", "head.classifier.bias"):
            state[name] = state[name][:NUM_CLASSES]
        model = create_model(self.recipe.model.name, num_classes=NUM_CLASSES, dropout=0.0)
        model.load_state_dict({name: halved(state)[name] for name in model.state_dict()})
        return model.eval()


def halved(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Matrices and kernels in half precision; vectors, such as the statistics of norms, are small and stay."""
    return {name: tensor.half() if tensor.squeeze().dim() > 1 else tensor for name, tensor in state.items()}


@torch.inference_mode()
def tested(model: ClipClassifier, recipe: Recipe, *, batches: int, shuffled: bool = False) -> dict[str, float]:
    """Top-1 on clips with looks of their own: of the motion set, and of hands and objects."""
    found: dict[str, list[Tensor]] = {"motion_set": [], "hands": []}
    for number in range(batches):
        batch = draw_batch(
            number, 40, size=recipe.test.crop, num_frames=recipe.clip.num_frames, seed=recipe.train.seed, tested=True
        )
        clips = batch.clips
        if shuffled:
            order = torch.randperm(clips.shape[2], generator=torch.Generator().manual_seed(number))
            clips = clips[:, :, order]
        right = model(clips).argmax(1) == batch.labels
        from_the_set = round(FROM_THE_SET * 40)
        found["motion_set"].append(right[:from_the_set])
        found["hands"].append(right[from_the_set:][batch.labels[from_the_set:] != NO_CLASS])
    return {name: float(torch.cat(rights).float().mean()) for name, rights in found.items()}


def write_weights(model: ClipClassifier, recipe: Recipe, path: Path, *, batches: int) -> dict[str, JSON]:
    """Write the weights with what there is to say of them."""
    about: dict[str, JSON] = {
        "name": "motion",
        "made_by": "studies/pretrain_motion.py",
        "motion_version": MOTION_VERSION,
        "seed": recipe.train.seed,
        "clips": recipe.train.epochs * EPOCH_CLIPS,
        "top1": {**tested(model, recipe, batches=batches)},
        "top1_shuffled": {**tested(model, recipe, batches=batches, shuffled=True)},
        "licence": "Apache-2.0",
    }
    write_checkpoint(path, halved(model.state_dict()), {**describe(recipe, MOTION_CLASSES), "weights": about})
    return about


def main() -> None:
    """Pretrain, or go on, and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=sorted(BASES), default="vov3d_s")
    parser.add_argument("--clips", type=int, default=60_000, help="training clips in all")
    parser.add_argument("--crop", type=int, default=56, help="pixels of most of the training")
    parser.add_argument("--test-crop", type=int, default=80, help="pixels of its end, and of the test")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--lr", type=float, default=0.003)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--test-batches", type=int, default=50)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    keep_freed_memory()
    torch.set_num_threads(args.threads)
    recipe = recipe_for(
        args.model,
        args.clips,
        crop=args.crop,
        test_crop=args.test_crop,
        batch=args.batch,
        lr=args.lr,
        seed=args.seed,
    )
    folder = RunFolder(args.out)
    with process_group("cpu") as group, sole_writer(folder.path):
        goes_on = folder.check(resume="auto")
        folder.begin(to_yaml(recipe), data=f"motion {MOTION_VERSION}", device="cpu")
        pretraining = Pretraining(recipe, folder, group, goes_on=goes_on)
        pretraining.run()
        path = folder.path / f"{args.model}_motion.safetensors"
        about = write_weights(pretraining.finished(), recipe, path, batches=args.test_batches)
    print(json.dumps(about, indent=1))


if __name__ == "__main__":
    with told_in_one_line():
        main()
