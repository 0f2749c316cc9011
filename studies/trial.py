"""One run of the study: a system is trained on drawn clips, then tested on clips that are drawn likewise."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from questions import PACED_FAMILIES, PACES, SYSTEMS, Protocol, Run
from torch import Tensor
from torch.nn import functional as F

from vov3d.checkpoint import as_json
from vov3d.data.items import Batch
from vov3d.data.motion import MOTION_CLASSES, MOTION_FAMILIES, MOTION_VERSION, MotionBatches, classes_of, draw_clips
from vov3d.distributed import ProcessGroup
from vov3d.models.counting import count_gmacs, count_parameters
from vov3d.optim import recompute_norm_statistics
from vov3d.recipe import Recipe, load_recipe, override, to_mapping
from vov3d.resume import Position, ResumeFolder, ResumeState
from vov3d.train_step import TrainStep

EPOCHS = 20
NORM_BATCHES, TEST_BATCH = 20, 50
CHECKPOINT_SECONDS = 30.0
Row = dict[str, str]


def columns_of(protocol: Protocol) -> Row:
    """What tells runs of one protocol from those of another, as cells of their rows."""
    cells = {name: str(value) for name, value in asdict(protocol).items() if name != "frames"}
    cells["families"] = " ".join(protocol.families)
    return {"preset": cells.pop("name"), **cells, "motion_version": str(MOTION_VERSION)}


def recipe_for(protocol: Protocol, run: Run) -> Recipe:
    """The recipe of a run; the network's name in it means nothing."""
    epochs = min(EPOCHS, protocol.clips // protocol.batch)
    settings = {
        "model.init": "null",
        "clip.num_frames": str(run.frames),
        "clip.short_side": f"{protocol.size},{protocol.size}",
        "clip.crop": str(protocol.size),
        "clip.flip": "none",
        "optim.lr": str(protocol.lr),
        "optim.warmup_epochs": str(0.05 * epochs),
        "train.epochs": str(epochs),
        "train.batch_size": str(protocol.batch),
        "train.precision": protocol.precision,
        "train.seed": str(run.seed),
        "test.crop": str(protocol.size),
    }
    return override(load_recipe("motion/vov3d_s_16"), settings)


class Trial:
    """A run as it stands, and its loop.

    Args:
        protocol: what is equal for all.
        run: which one.
        group: its process and device.
        folder: for the state that a killed run goes on from.
    """

    def __init__(self, protocol: Protocol, run: Run, group: ProcessGroup, folder: Path) -> None:
        self.protocol, self.run, self.group = protocol, run, group
        self.recipe = recipe_for(protocol, run)
        self.steps_per_epoch = protocol.clips // protocol.batch // self.recipe.train.epochs
        self.classes = classes_of(protocol.families)
        build = SYSTEMS[run.system].build(protocol)
        torch.manual_seed(run.seed)
        self.step = TrainStep(self.recipe, build(len(self.classes)).to(group.device), group, self.steps_per_epoch)
        self.source = MotionBatches(
            protocol.batch,
            classes=self.classes,
            num_frames=run.frames,
            size=protocol.size,
            difficulty=protocol.difficulty,
            seed=run.seed,
            device=group.device,
        )
        self.states = ResumeFolder(folder, keep=1)
        self.done, self.seconds = 0, 0.0
        if self.states.files():
            state = self.states.load()
            self.step.restore(state)
            self.done = state.position.epoch * self.steps_per_epoch + state.position.step
            self.seconds = state.tally[0]

    def finish(self, stop: Callable[[], bool]) -> Row | None:
        """Train to the end and test; ``None`` if it was stopped, and can go on from there."""
        return self._row() if self._train(stop) else None

    def forget(self) -> None:
        """Remove the state; for when the row is written."""
        shutil.rmtree(self.states.path, ignore_errors=True)

    def _train(self, stop: Callable[[], bool]) -> bool:
        self.step.model.train()
        begun = saved = time.perf_counter()
        before = self.seconds
        while self.done < self.steps_per_epoch * self.recipe.train.epochs:
            if stop():
                self._save()
                return False
            clips, labels = self.source.batch(self.done)
            targets = F.one_hot(labels, len(self.classes)).to(clips.device)
            batch = Batch(normalised(clips), labels, torch.arange(len(labels)), targets, ())
            self.step.take(*divmod(self.done, self.steps_per_epoch), batch, len(labels))
            self.done += 1
            self.seconds = before + time.perf_counter() - begun
            if time.perf_counter() - saved > CHECKPOINT_SECONDS:
                self._save()
                saved = time.perf_counter()
        return True

    def _save(self) -> None:
        state = ResumeState(
            position=Position(*divmod(self.done, self.steps_per_epoch)),
            **vars(self.step.memory()),
            tally=(self.seconds, 0.0, 0.0),
            rows=[],
            quarantine={},
            best=None,
            recipe=as_json(to_mapping(self.recipe)),
            data={"motion": str(MOTION_VERSION)},
            norm_clips=self.protocol.batch,
        )
        self.states.save(state)

    def _row(self) -> Row:
        model = self.step.model
        clips_for_norms = (normalised(self.source.batch(self.done + number)[0]) for number in range(NORM_BATCHES))
        with self.step.autocast():
            recompute_norm_statistics(model, clips_for_norms)
        model.eval()
        labels = torch.arange(self.protocol.test_clips) % len(self.classes)
        right = self.right(labels)
        found = {"top1": _mean(right), "shuffled": _mean(self.right(labels, shuffled=True))}
        for family, groups in MOTION_FAMILIES.items():
            members = [self.classes.index(name) for group in groups for name in group if name in self.classes]
            found[f"family {family}"] = _mean(right[torch.isin(labels, torch.tensor(members))]) if members else ""
        pace_says_all = [self.classes.index(name) for name in self.classes if name in classes_of(PACED_FAMILIES)]
        paced = ~torch.isin(labels, torch.tensor(pace_says_all))
        for pace in PACES:
            found[f"pace {pace:g}"] = _mean(right[paced] if pace == 1 else self.right(labels[paced], pace=pace))
        return {
            **columns_of(self.protocol),
            **{name: str(value) for name, value in self.run._asdict().items()},
            "device": self.group.device.type,
            "parameters": str(count_parameters(model)),
            "gmacs": f"{gmacs_of(self.protocol, self.run):.4g}",
            "train_seconds": f"{self.seconds:.4g}",
            **found,
        }

    @torch.inference_mode()
    def right(self, labels: Tensor, *, pace: float = 1.0, shuffled: bool = False) -> Tensor:
        """Which of the test's clips are told right. Shape: ``[N] -> [N]``."""
        names = torch.tensor([MOTION_CLASSES.index(name) for name in self.classes])[labels]
        times = at_pace((torch.arange(self.run.frames) + 0.5) / self.run.frames, pace)
        found = []
        for number, some in enumerate(torch.arange(len(labels)).split(TEST_BATCH)):
            seeds = some.to(self.group.device)
            clips = draw_clips(
                names[some],
                seeds,
                times.expand(len(some), -1).to(seeds.device),
                split="val",
                size=self.protocol.size,
                difficulty=self.protocol.difficulty,
            )
            if shuffled:
                drawn = torch.rand(len(some), self.run.frames, generator=torch.Generator().manual_seed(number))
                order = drawn.argsort(1)[:, None, :, None, None].to(clips.device)
                clips = clips.take_along_dim(order, dim=2)
            with self.step.autocast():
                found.append(self.step.model(normalised(clips)).argmax(1).cpu() == labels[some])
        return torch.cat(found)


def gmacs_of(protocol: Protocol, run: Run) -> float:
    """1e9 multiply-adds of one clip; nothing is computed."""
    build = SYSTEMS[run.system].build(protocol)
    with torch.device("meta"):
        model = build(len(classes_of(protocol.families)))
    return count_gmacs(model, run.frames, protocol.size)


def at_pace(times: Tensor, pace: float) -> Tensor:
    """Times at which a video is seen that plays so many times as fast: its middle, or to its end and then that."""
    return 0.5 + (times - 0.5) * pace if pace < 1 else (times * pace).clamp(max=float(times[-1]))


def normalised(clips: Tensor) -> Tensor:
    """Pixels as networks take them."""
    return ((clips.float() / 255 - 0.45) / 0.225).contiguous(memory_format=torch.channels_last_3d)


def _mean(right: Tensor) -> str:
    return f"{float(right.float().mean()):.4f}" if len(right) else ""
