"""``vov3d train RECIPE --data PATH --out DIR``: one readable loop, the same on one process and on many.

What a step sees is a pure function of the recipe's seed, the epoch and the step, so a run that was interrupted and
resumed is the run that was not.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from vov3d.build import (
    build_clips,
    build_model,
    build_optimizer,
    build_schedule,
    build_views,
    describe,
    head_window,
)
from vov3d.checkpoint import as_json, write_checkpoint
from vov3d.data.augment import add_stills
from vov3d.distributed import ProcessGroup, process_group
from vov3d.errors import DataError, RunFolderError, TrainingError
from vov3d.evaluate import Metrics, score_videos, summarise
from vov3d.inference import default_workers, threads_beside
from vov3d.interrupts import interrupt_later
from vov3d.optim import optimizer_tensors, recompute_norm_statistics, restore_optimizer
from vov3d.progress import TrainingProgress
from vov3d.run_folder import EpochRow, Position, ResumeState, RunFolder

if TYPE_CHECKING:
    from vov3d.data.dataset import Batch, Broken, Clip, ViewDataset
    from vov3d.data.sources import VideoIndex
    from vov3d.recipe import Recipe

log = logging.getLogger("vov3d")

STILLS_STREAM = 4  # keeps these draws apart from those of `vov3d.data`
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class TrainResult:
    """A finished training.

    Attributes:
        out: the run folder.
        epochs: passes over the training videos.
        best_top1: highest accuracy on the validation videos during training, one view each; it chose
            ``best.safetensors``, so it flatters. ``None`` without validation videos.
        last_top1: the same at the end.
        checkpoint: the network at the end of training.
        quarantined: training videos that could not be decoded.
        seconds: how long it took.
    """

    out: Path
    epochs: int
    best_top1: float | None
    last_top1: float | None
    checkpoint: Path
    quarantined: int
    seconds: float


def train(
    recipe: Recipe | str | Path,
    data: str | Path,
    out: str | Path,
    *,
    device: str = "auto",
    workers: int | None = None,
    resume: bool = False,
    quiet: bool = False,
) -> TrainResult:
    """Train a network and leave a run folder.

    Args:
        recipe: a recipe, its name (``vov3d recipes``), or a YAML file.
        data: anything that ``vov3d check --data`` reads.
        out: the run folder; it must not hold a run yet, unless ``resume``.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``. Under ``torchrun`` each process takes its own.
        workers: processes that decode, per training process; by default half of the cores.
        resume: go on where the run in ``out`` stopped. The recipe must be the one that it began with.
        quiet: no progress bar.

    Raises:
        DataError: if the data cannot be read, or none of it decoded.
        RecipeError: if the recipe is not valid.
        RunFolderError: if ``out`` holds a run and ``resume`` is not given, or there is nothing to resume.
        TrainingError: if the loss is no longer a number.
    """
    from vov3d.data.sources import read_index
    from vov3d.recipe import check_start, load_recipe, to_yaml

    if isinstance(recipe, str | Path):
        name, recipe = str(recipe), load_recipe(str(recipe))
        check_start(name, recipe)
    index = read_index(Path(data))
    workers = default_workers() if workers is None else workers
    with process_group(device) as group, threads_beside(workers):
        folder = RunFolder(Path(out))
        if group.is_main:
            folder.check(resume=resume)
            for note in index.notes:
                log.info("%s", note)
        training = _Training(recipe, index, folder, group, workers, quiet=quiet)
        if resume:
            training.restore()
        if group.is_main:
            folder.begin(to_yaml(recipe), data=str(data), device=str(group.device))
        group.wait()
        return training.run()


class _Training:
    """The objects of one run, where it stands, and the loop."""

    def __init__(
        self, recipe: Recipe, index: VideoIndex, folder: RunFolder, group: ProcessGroup, workers: int, *, quiet: bool
    ) -> None:
        from vov3d.data.dataset import collate
        from vov3d.data.sampler import SeekableSampler

        self.recipe, self.index, self.folder, self.group, self.workers = recipe, index, folder, group, workers
        self.model = build_model(recipe, len(index.labels)).to(group.device)
        self.replica = group.wrap(self.model)
        self.optimizer = build_optimizer(recipe, self.model)
        self.schedule = build_schedule(recipe)
        self.scaler = torch.amp.GradScaler(group.device.type, enabled=recipe.train.precision == "fp16")
        self.clips = build_clips(recipe, index)
        self.sampler = SeekableSampler(
            len(self.clips),
            recipe.train.batch_size,
            seed=recipe.train.seed,
            rank=group.rank,
            world_size=group.world_size,
            drop_last=len(self.clips) >= recipe.train.batch_size,
        )
        self.loader: DataLoader[Clip | Broken] = DataLoader(
            self.clips,
            batch_sampler=self.sampler,
            collate_fn=collate,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=group.device.type == "cuda",
        )
        self.views = build_views(recipe, index, "val", num_clips=1, num_crops=1) if index.splits.get("val") else None
        self.progress = TrainingProgress(
            recipe.train.epochs, self.sampler.steps_per_epoch, quiet=quiet or not group.is_main
        )
        self.position = Position(0, 0)
        self.between_steps = True  # the weights are those of the position, and not of half a step further
        self.tally = torch.zeros(3, dtype=torch.float64)  # loss, right answers, clips of this epoch and process
        self.rows: list[EpochRow] = []
        self.quarantine: dict[str, str] = {}
        self.best_top1: float | None = None

    def run(self) -> TrainResult:
        """Train from where the run stands to the end of the recipe."""
        started = time.perf_counter()
        with self.progress:
            while self.position.epoch < self.recipe.train.epochs:
                self._train_epoch()
        return TrainResult(
            out=self.folder.path,
            epochs=self.recipe.train.epochs,
            best_top1=self.best_top1,
            last_top1=self.rows[-1].val_top1,
            checkpoint=self.folder.last,
            quarantined=len(self.quarantine),
            seconds=time.perf_counter() - started,
        )

    def _train_epoch(self) -> None:
        epoch, first_step = self.position.epoch, self.position.step
        started = time.perf_counter()
        done = 0
        self.sampler.seek(epoch, first_step)
        try:
            for step, batch in enumerate(self.loader, start=first_step):
                with interrupt_later():
                    self.between_steps = False
                    self._note_broken(batch)
                    self.tally += self._step(epoch, step, batch)
                    self.position = Position(epoch, step + 1)
                    self.between_steps = True
                done += len(batch.labels) * self.group.world_size
                self.progress.advance(
                    epoch,
                    step,
                    loss=float(self.tally[0] / self.tally[2].clamp_min(1)),
                    clips_per_second=done / (time.perf_counter() - started),
                )
        except KeyboardInterrupt:
            if self.between_steps:
                self._save_resume()
            raise
        self._finish_epoch(done, time.perf_counter() - started)

    def _step(self, epoch: int, step: int, batch: Batch) -> Tensor:
        """Take one step of the optimiser; return summed loss, right answers and clips of this process."""
        tally = torch.zeros(3, dtype=torch.float64)
        num_clips = int(self.group.sum(torch.tensor(len(batch.labels))))  # of all processes
        if num_clips == 0:  # every video of the batch was quarantined
            return tally
        settings, steps = self.recipe.train, self.sampler.steps_per_epoch
        rate = self.schedule.at(epoch + step / steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        torch.manual_seed(((settings.seed * 10_007 + epoch) * steps + step) * 1_009 + self.group.rank)  # dropout
        rng = np.random.default_rng((STILLS_STREAM, settings.seed, epoch, step, self.group.rank))
        mixed = add_stills(batch.clips.to(self.group.device, non_blocking=True), settings.stills, rng)
        clips = mixed.chunk(settings.accumulate)
        labels = batch.labels.to(self.group.device, non_blocking=True).chunk(settings.accumulate)
        self.optimizer.zero_grad(set_to_none=True)
        if len(batch.labels) == 0:
            self._keep_pace()
            clips, labels = (), ()
        for number, (part, truth) in enumerate(zip(clips, labels, strict=True), start=1):
            with self._synchronised(number == len(labels)):
                with self._autocast():
                    logits = self.replica(part)
                loss = F.cross_entropy(logits.float(), truth, label_smoothing=settings.label_smoothing)
                share = len(truth) * self.group.world_size / num_clips  # gradients are averaged over the processes
                self.scaler.scale(loss * share).backward()
            right = (logits.argmax(1) == truth).sum()
            tally += torch.tensor([float(loss.detach()) * len(truth), float(right), len(truth)], dtype=torch.float64)
        if not torch.isfinite(tally[0]):
            raise TrainingError(
                f"epoch {epoch + 1}, step {step + 1}: the loss is {float(tally[0])}; lower --optim.lr (now {rate:.4g}) "
                "or train with --train.precision float32"
            )
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return tally

    def _keep_pace(self) -> None:
        """Add nothing to a step that other processes take: they wait for every process."""
        side = self.recipe.clip.crop
        self.replica.eval()
        nothing = self.replica(torch.zeros(1, 3, self.recipe.clip.num_frames, side, side, device=self.group.device))
        self.scaler.scale(0 * nothing.sum()).backward()
        self.replica.train()

    def _finish_epoch(self, done: int, seconds: float) -> None:
        """Evaluate, log and save, each as often as the recipe says."""
        settings, number = self.recipe.train, self.position.epoch + 1
        ends = number == settings.epochs
        self.quarantine = dict(sorted(self.group.gather(list(self.quarantine.items()))))
        loss, right, clips = self.group.sum(self.tally).tolist()
        if clips == 0:
            reason = next(iter(self.quarantine.values()), "there are none")
            raise DataError(f"none of the {len(self.clips)} training videos can be decoded; the first: {reason}")
        self.group.average_statistics(self.model)
        metrics = None
        if self.views is not None and (ends or number % settings.evaluate_every_epochs == 0):
            self._precise_norm()
            metrics = self._evaluate(self.views)
        row = EpochRow(
            epoch=number,
            step=number * self.sampler.steps_per_epoch,
            lr=self.schedule.at(number - 1 / self.sampler.steps_per_epoch),
            train_loss=loss / clips,
            train_top1=right / clips,
            val_loss=metrics.loss if metrics else None,
            val_top1=metrics.top1 if metrics else None,
            val_top5=metrics.top5 if metrics else None,
            clips_per_second=done / seconds,
            seconds=seconds,
            quarantined=len(self.quarantine),
        )
        self.rows.append(row)
        self.position = Position(number, 0)
        self.tally.zero_()
        best = metrics is not None and (self.best_top1 is None or metrics.top1 >= self.best_top1)
        if metrics is not None and best:
            self.best_top1 = metrics.top1
        if self.group.is_main:
            self.progress.epoch(row)
            self.folder.write_log(self.rows, self.quarantine)
            self.folder.write_tensorboard(row)
            if ends or best or number % settings.checkpoint_every_epochs == 0:
                self._save(best=best)
        self.group.wait()

    def _evaluate(self, views: ViewDataset) -> Metrics | None:
        """Return the metrics of the validation videos, one view each; ``None`` if none of them can be decoded."""
        scores, missing = score_videos(
            self.model, views, self.group, window=head_window(self.recipe), workers=self.workers
        )
        for one in missing:
            log.warning("left out of validation: %s: %s", one.path, one.reason)
        if not scores:
            return None
        return summarise(scores, missing, self.index.labels, views, checkpoint="", data="", split="val", seconds=0.0)

    def _precise_norm(self) -> None:
        """Measure the norms' statistics over training batches, if the recipe asks for it."""
        wanted = min(self.recipe.train.precise_bn_batches, self.sampler.steps_per_epoch)
        if wanted:
            self.sampler.seek(self.position.epoch)
            with self._autocast():
                recompute_norm_statistics(self.model, islice(self._clips_alone(), wanted), self.group.mean)

    def _clips_alone(self) -> Iterator[Tensor]:
        return (batch.clips.to(self.group.device) for batch in self.loader if len(batch.labels))

    def _autocast(self) -> torch.autocast:
        dtype = DTYPES.get(self.recipe.train.precision)
        return torch.autocast(self.group.device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None)

    def _synchronised(self, last: bool) -> AbstractContextManager[None]:
        """Average the gradients over the processes in the last part of a batch alone."""
        if last or not isinstance(self.replica, torch.nn.parallel.DistributedDataParallel):
            return nullcontext()
        return self.replica.no_sync()

    def _note_broken(self, batch: Batch) -> None:
        for broken in batch.broken:
            if str(broken.path) not in self.quarantine:
                self.quarantine[str(broken.path)] = broken.reason
                log.warning("quarantined: %s: %s", broken.path, broken.reason)

    def _save(self, *, best: bool) -> None:
        tensors, description = self.model.state_dict(), describe(self.recipe, self.index.labels)
        write_checkpoint(self.folder.last, tensors, description)
        if best:
            write_checkpoint(self.folder.best, tensors, description)
        self._save_resume()

    def _save_resume(self) -> None:
        if not self.group.is_main:
            return
        from vov3d.recipe import to_mapping

        self.folder.save_resume(
            ResumeState(
                position=self.position,
                model=self.model.state_dict(),
                optimizer=optimizer_tensors(self.optimizer, self.model),
                loss_scale=self.scaler.state_dict(),
                tally=tuple(self.tally.tolist()),
                rows=self.rows,
                quarantine=self.quarantine,
                best_top1=self.best_top1,
                recipe=as_json(to_mapping(self.recipe)),
                data=self._fingerprint(),
            )
        )

    def _fingerprint(self) -> str:
        """Return what tells these training videos, in their order and with their labels, from others."""
        named = [self.index.labels, [(item.name, item.label) for item in self.clips.items]]
        return hashlib.sha256(json.dumps(named).encode()).hexdigest()

    def restore(self) -> None:
        """Go back to where the run in the folder stands.

        Raises:
            RunFolderError: if it was begun with another recipe or other data.
        """
        from vov3d.recipe import to_mapping

        state = self.folder.load_resume()
        if state.recipe != as_json(to_mapping(self.recipe)):
            raise RunFolderError(
                f"the run in {str(self.folder.path)!r} was begun with another recipe; resume it with its recipe.yaml"
            )
        if state.data != self._fingerprint():
            raise RunFolderError(
                f"the run in {str(self.folder.path)!r} was begun with other training videos than the {len(self.clips)} "
                f"in {len(self.index.labels)} classes of {str(self.index.root)!r}; give its --data, or a new --out"
            )
        self.model.load_state_dict(state.model)
        restore_optimizer(self.optimizer, self.model, state.optimizer)
        self.scaler.load_state_dict(dict(state.loss_scale))
        self.position, self.rows, self.best_top1 = state.position, list(state.rows), state.best_top1
        self.quarantine = dict(state.quarantine)
        if self.group.is_main:
            self.tally = torch.tensor(state.tally, dtype=torch.float64)
        log.info("resumed after epoch %d, step %d", self.position.epoch, self.position.step)
