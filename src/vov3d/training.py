"""One run: its objects, where it stands, and one readable loop, the same on one process and on many.

What a step sees is a pure function of the recipe's seed, the epoch and the step, so a run that was killed and resumed
is the run that was not.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vov3d.build import (
    FEW_VIDEOS,
    build_cache,
    build_clips,
    build_model,
    build_views,
    head_window,
    with_norm_clips,
    with_start,
)
from vov3d.checkpoint import as_json, write_checkpoint
from vov3d.data.fingerprint import check_unchanged, fingerprint
from vov3d.distributed import ProcessGroup
from vov3d.errors import ArgumentError, DataError, RunFolderError
from vov3d.evaluation import Metrics, summarise
from vov3d.interrupts import interrupts_noted, stop_for
from vov3d.loading import ClipLoader
from vov3d.models import network_name
from vov3d.optim import recompute_norm_statistics
from vov3d.progress import TrainingProgress
from vov3d.quarantine import TRAIN, VAL, Quarantine
from vov3d.resume import EpochRow, Position, ResumeState
from vov3d.run_folder import RunFolder
from vov3d.scoring import score_videos
from vov3d.train_step import TrainStep
from vov3d.trained import describe
from vov3d.weights import find_weights

if TYPE_CHECKING:
    from vov3d.data.dataset import ViewDataset
    from vov3d.data.items import Batch
    from vov3d.data.sources import VideoIndex
    from vov3d.recipe import Recipe

log = logging.getLogger("vov3d")


@dataclass(frozen=True)
class Safety:
    """How a run guards itself.

    Attributes:
        keep: newest states to resume from that stay.
        save_minutes: longest time from one of them to the next, beside those that the recipe asks for.
        max_broken: fraction of the training videos, and of the validation videos, that may turn out broken before the
            run stops; one always may, unless this is 0.
    """

    keep: int = 3
    save_minutes: float = 10.0
    max_broken: float = 0.01

    def __post_init__(self) -> None:
        if self.keep < 1 or self.save_minutes < 0 or not 0 <= self.max_broken <= 1:
            raise ArgumentError(f"{self}; keep must be 1 or more, save_minutes 0 or more, max_broken from 0 to 1")


class Training:
    """The objects of one run, where it stands, and the loop."""

    def __init__(
        self,
        recipe: Recipe,
        index: VideoIndex,
        folder: RunFolder,
        group: ProcessGroup,
        *,
        workers: int,
        cache: Path | None,
        safety: Safety,
        resume: bool,
        quiet: bool,
    ) -> None:
        self.index, self.folder, self.group = index, folder, group
        self.workers, self.safety = workers, safety
        state = self._newest_state() if resume else None
        asked, recipe = recipe, self._settled(recipe, state)
        self.recipe, self.start = recipe, _start(asked, recipe) if state is None else ""
        small_copies = build_cache(recipe, cache, index)
        self.loader = ClipLoader(build_clips(recipe, index, cache=small_copies), recipe, group, workers)
        model = build_model(recipe, len(index.labels), initial=state is None).to(group.device)
        self.step = TrainStep(recipe, model, group, self.loader.steps_per_epoch)
        self.views = (
            build_views(recipe, index, "val", num_clips=1, num_crops=1, cache=small_copies)
            if index.splits.get("val")
            else None
        )
        self.progress = TrainingProgress(
            recipe.train.epochs, self.loader.steps_per_epoch, quiet=quiet or not group.is_main
        )
        self.position = Position(0, 0)
        self.tally = torch.zeros(3, dtype=torch.float64)  # loss, right answers, clips of this epoch, all processes
        self.rows: list[EpochRow] = []
        num_videos = {TRAIN: self.loader.num_videos, VAL: len(self.views) if self.views is not None else 0}
        self.quarantine = Quarantine(folder, group, num_videos, safety.max_broken)
        self.best: float | None = None
        self.asked_to_stop: Callable[[], int] = lambda: 0
        self.fingerprint = fingerprint(index, small_copies)
        if state is not None:
            self._restore(state)
        self.saved_at = time.monotonic()

    def summary(self) -> list[str]:
        """Return the recipe as it takes effect, section by section, and what follows from it on these processes."""
        from vov3d.recipe import summary

        return [
            *summary(self.recipe),
            *([self.start] if self.start else []),
            f"{self.loader.num_videos} videos, {self.loader.steps_per_epoch} steps an epoch, "
            f"{self.step.batch_text(self.loader.num_clips)}, "
            f"learning rate {self.step.rate(0, 0):.4g} at the first step",
            *([self.step.arithmetic] if self.step.arithmetic else []),
        ]

    def run(self) -> None:
        """Train from where the run stands to the end of the recipe."""
        self.quarantine.write()  # what a run left that stopped after the state that this one goes on from is gone
        with self.progress, interrupts_noted() as self.asked_to_stop:
            while self.position.epoch < self.recipe.train.epochs:
                self._train_epoch()

    def _train_epoch(self) -> None:
        epoch, first_step = self.position.epoch, self.position.step
        started = time.perf_counter()
        done = 0.0
        for step, batch in enumerate(self.loader.batches(epoch, first_step), start=first_step):
            num_clips, num_broken, stop, save = self._agree(batch)
            if num_broken:
                self.quarantine.add(TRAIN, self.group.gather(list(batch.broken)))
            if num_clips:
                self.tally += self.step.take(epoch, step, batch, num_clips)
            self.position = Position(epoch, step + 1)
            done += num_clips
            self.progress.advance(
                epoch,
                step,
                loss=float(self.tally[0] / self.tally[2].clamp_min(1)),
                clips_per_second=done / (time.perf_counter() - started),
            )
            if stop or save:
                self._save_state()
            stop_for(stop)
        self._finish_epoch(done, time.perf_counter() - started)

    def _agree(self, batch: Batch) -> tuple[int, int, int, bool]:
        """Return what all processes have to know of a step.

        Returns:
            Clips and broken videos of all of them, the signal that any was stopped by, and whether to save.
        """
        is_time = self.group.is_main and time.monotonic() - self.saved_at > 60 * self.safety.save_minutes
        own = [len(batch.labels), len(batch.broken), int(is_time)]
        num_clips, num_broken, save = self.group.sum(torch.tensor(own)).tolist()
        stop = self.group.largest(self.asked_to_stop())
        return num_clips, num_broken, stop, bool(save)

    def _finish_epoch(self, done: float, seconds: float) -> None:
        """Evaluate, log and save, each as often as the recipe says."""
        settings, number = self.recipe.train, self.position.epoch + 1
        ends = number == settings.epochs
        loss, right, clips = self.tally.tolist()
        if clips == 0:
            reason = next(iter(self.quarantine.found[TRAIN].values()), "there are none")
            raise DataError(f"none of the {self.loader.num_videos} training videos can be decoded; the first: {reason}")
        metrics = None
        if self.views is not None and (ends or number % settings.evaluate_every_epochs == 0):
            self._save_state()  # testing may take long, and be killed
            self._precise_norm()
            metrics = self._evaluate(self.views)
        row = EpochRow(
            epoch=number,
            step=number * self.loader.steps_per_epoch,
            lr=self.step.rate(number - 1, self.loader.steps_per_epoch - 1),
            train_loss=loss / clips,
            train_top1=right / clips,
            val_loss=metrics.loss if metrics else None,
            val_top1=metrics.top1 if metrics else None,
            val_top5=metrics.top5 if metrics else None,
            clips_per_second=done / seconds,
            seconds=seconds,
            quarantined=len(self.quarantine),
            val_map=metrics.mean_average_precision if metrics else None,
        )
        self.rows.append(row)
        self.position = Position(number, 0)
        self.tally.zero_()
        accuracy = row.accuracy
        best = accuracy is not None and (self.best is None or accuracy >= self.best)
        self.best = accuracy if best else self.best
        stop = self.group.largest(self.asked_to_stop())
        if ends or best or number % settings.checkpoint_every_epochs == 0:
            self._save_weights(best=best)
            self._save_state()
        elif stop:
            self._save_state()
        self.group.from_main(lambda: self._tell(row))
        stop_for(stop or self.group.largest(self.asked_to_stop()))

    def _tell(self, row: EpochRow) -> None:
        self.progress.epoch(row)
        self.folder.write_log(self.rows, self.quarantine.reasons)
        self.folder.write_tensorboard(row)

    def _evaluate(self, views: ViewDataset) -> Metrics | None:
        """Return the metrics of the validation videos, one view each; ``None`` if none of them can be decoded.

        Raises:
            DataError: if more of them than allowed cannot be decoded.
        """
        scores, missing = score_videos(
            self.step.tested,
            views,
            self.group,
            window=head_window(self.recipe),
            workers=self.workers,
            loss=self.recipe.train.loss,
            asked_to_stop=self.asked_to_stop,
        )
        if missing:
            self.quarantine.add(VAL, missing)
        if not scores:
            return None
        return summarise(
            scores,
            missing,
            self.index.labels,
            views,
            checkpoint="",
            data="",
            split="val",
            seconds=0.0,
            loss=self.recipe.train.loss,
        )

    def _precise_norm(self) -> None:
        """Measure the norms' statistics over training batches, if the recipe asks for it."""
        wanted = min(self.recipe.train.precise_bn_batches, self.loader.steps_per_epoch)
        if not wanted:
            return
        batches = islice(self._clips_alone(), wanted)
        self.step.seed_draws(self.position.epoch, self.loader.steps_per_epoch)  # as after a step that is none
        with self.step.autocast():
            recompute_norm_statistics(self.step.tested, batches, self.group.average_statistics)

    def _clips_alone(self) -> Iterator[Tensor]:
        """Yield the clips of the epoch's batches; a process without any yields none of the right shape."""
        for batch in self.loader.batches(self.position.epoch, 0):
            stop_for(self.group.largest(self.asked_to_stop()))
            yield self.step.clips_of(batch)

    def _save_weights(self, *, best: bool) -> None:
        """Write the network that is tested, in the first process (see `_save_state`)."""
        self.step.check_finite(self.position)
        tensors, description = self.step.tested.state_dict(), describe(self.recipe, self.index.labels)
        for path in (self.folder.last, self.folder.best)[: 1 + best]:
            self.group.from_main(partial(write_checkpoint, path, tensors, description))

    def _save_state(self) -> None:
        """Write where the run stands, in the first process.

        Raises:
            OSError: in every process, if it cannot be written; what was written before stays.
            TrainingError: likewise, if the network is spoilt.
        """
        from vov3d.recipe import to_mapping

        self.saved_at = time.monotonic()
        self.step.check_finite(self.position)
        state = ResumeState(
            position=self.position,
            **vars(self.step.memory()),
            tally=tuple(self.tally.tolist()),
            rows=self.rows,
            quarantine=self.quarantine.found,
            best=self.best,
            recipe=as_json(to_mapping(self.recipe)),
            data=self.fingerprint,
            norm_clips=self.step.norm_clips(self.loader.num_clips),
        )
        self.group.from_main(lambda: self.folder.states.save(state))

    def _newest_state(self) -> ResumeState:
        """Read where the run in the folder stands; the first process says which state that is."""
        return self.folder.states.read(self.group.from_main(self.folder.states.newest))

    def _settled(self, recipe: Recipe, state: ResumeState | None) -> Recipe:
        """Return the recipe with its start and the clips of batch norm as they are in this run from its beginning.

        Raises:
            RunFolderError: if the run was begun with another recipe.
        """
        from vov3d.recipe import differences, recipe_from_mapping, to_mapping

        if state is None:
            recipe = with_start(recipe, len(self.index.splits["train"]))
            return with_norm_clips(recipe, self.group)
        assert isinstance(state.recipe, dict)
        begun = recipe_from_mapping(state.recipe)
        if recipe.model.init == "auto":
            recipe = replace(recipe, model=replace(recipe.model, init=begun.model.init))
        settled = with_norm_clips(recipe, self.group, begun.train.norm_clips)
        if state.recipe != as_json(to_mapping(settled)):
            found = "; ".join(differences(begun, settled)) or "what it reports"
            raise RunFolderError(
                f"the run in {str(self.folder.path)!r} was begun with another recipe: {found}. Leave out what changes "
                "it, or give the run's recipe.yaml"
            )
        return settled

    def _restore(self, state: ResumeState) -> None:
        """Go back to where a run stood.

        Raises:
            ArgumentError: if batch norm went over another number of clips, as where the videos make no whole batch.
            RunFolderError: if it was begun with other data.
        """
        check_unchanged(state.data, self.fingerprint, self.index, self.folder.path)
        norm_clips = self.step.norm_clips(self.loader.num_clips)
        if norm_clips != state.norm_clips:
            raise ArgumentError(
                f"batch norm went over {state.norm_clips} clips so far, and would go over {norm_clips} from here on; "
                "start as many processes as the run began with"
            )
        self.step.restore(state)
        self.position, self.rows, self.best = state.position, list(state.rows), state.best
        self.quarantine.restore(state.quarantine)
        self.tally = torch.tensor(state.tally, dtype=torch.float64)
        log.info("resumed after epoch %d, step %d", self.position.epoch, self.position.step)


def _start(asked: Recipe, settled: Recipe) -> str:
    """Return in words where a run starts that was left to choose."""
    if asked.model.init != "auto" or settled.model.backbone_init is not None:
        return ""
    if settled.model.init is None:
        if find_weights("motion", network_name(settled.model.name, settled.model.operator)) is None:
            return "starts from random weights: the package has none of this network"
        return (
            f"starts from random weights, as there are more than {FEW_VIDEOS} training videos; --model.init motion "
            "starts from those in the package (docs/weights.md)"
        )
    return (
        f"starts from the {settled.model.init} weights in the package, as up to {FEW_VIDEOS} training videos are few: "
        "they know drawn motions alone (docs/weights.md); --from-scratch starts from random weights"
    )
