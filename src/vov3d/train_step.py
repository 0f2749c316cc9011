"""One step of the optimiser, on one process or on many: what happens between a batch and new weights."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vov3d.build import build_norms, build_optimizer, build_schedule, clips_at_once
from vov3d.data.augment import add_stills
from vov3d.data.mixing import mix
from vov3d.errors import TrainingError
from vov3d.fused import Gradient, Replayed, fuse
from vov3d.models import ClipClassifier
from vov3d.optim import optimizer_tensors, restore_optimizer
from vov3d.optim.average import average_tensors, moving_average, restore_average
from vov3d.resume import StepMemory

if TYPE_CHECKING:
    from vov3d.data.items import Batch
    from vov3d.distributed import ProcessGroup
    from vov3d.recipe import Recipe, TrainSettings
    from vov3d.resume import Position

STILLS_STREAM, MIXING_STREAM, DRAWS_STREAM = 4, 5, 7  # keep these draws apart from those of `vov3d.data`
FUSED = "fused kernels compute the blocks of the network; the first step ever compiles them, which takes minutes"
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class TrainStep:
    """The network, its optimiser and all that they remember.

    What a step draws, dropout included, is a function of the recipe's seed, the epoch, the step and the process.

    Args:
        recipe: the experiment.
        model: the network, on its device.
        group: the processes that train it together.
        steps_per_epoch: steps of an epoch.

    Attributes:
        model: the network that is trained.
        average: the moving average of its weights; ``None`` without.
        tested: the network that is tested and kept: the average if there is one.
        arithmetic: on a GPU what computes the network, in words; empty elsewhere.
    """

    def __init__(self, recipe: Recipe, model: ClipClassifier, group: ProcessGroup, steps_per_epoch: int) -> None:
        self.recipe, self.group, self.steps_per_epoch = recipe, group, steps_per_epoch
        self.average = moving_average(model, recipe.train.ema_decay) if recipe.train.ema_decay else None
        self.model = self.tested = build_norms(recipe, model, group)
        if self.average is not None:
            assert isinstance(self.average.module, ClipClassifier)
            self.average.module = self.tested = build_norms(recipe, self.average.module, group)
        self.arithmetic = _arithmetic(recipe, (self.model, self.tested), group.device)
        self.schedule = build_schedule(recipe, steps_per_epoch)
        self.optimizer = build_optimizer(recipe, self.model)
        self.scaler = torch.amp.GradScaler(group.device.type, enabled=recipe.train.precision == "fp16")
        self.replica = group.wrap(_compiled(self.model) if recipe.train.compile else self.model)
        self.gradient: Gradient = self._gradient
        if self.arithmetic == FUSED and group.world_size == recipe.train.accumulate == 1:
            self.gradient = Replayed(self._gradient, self.model)

    def rate(self, epoch: int, step: int) -> float:
        """Return the learning rate of a step."""
        return self.schedule.at(epoch + step / self.steps_per_epoch)

    def take(self, epoch: int, step: int, batch: Batch, num_clips: int) -> Tensor:
        """Take one step.

        Args:
            epoch: from 0.
            step: of the epoch, from 0.
            batch: what this process has of the batch, perhaps nothing.
            num_clips: clips of all processes, at least 1.

        Returns:
            Summed loss, right answers and clips of all processes.

        Raises:
            TrainingError: in every process, if the loss of any is not finite; the step is then not taken.
        """
        settings = self.recipe.train
        rate = self.rate(epoch, step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.seed_draws(epoch, step)
        self.optimizer.zero_grad(set_to_none=True)
        tally = self.group.sum(self._accumulate(batch, num_clips, (settings.seed, epoch, step, self.group.rank)))
        if not torch.isfinite(tally[0]):
            raise TrainingError(
                f"epoch {epoch + 1}, step {step + 1}: the loss is {float(tally[0])}; the last good checkpoint stays. "
                f"Lower --optim.lr (now {rate:.4g}), clip gradients (--optim.clip_grad_norm 1), or train with "
                "--train.precision float32, if it is another"
            )
        if self.recipe.optim.clip_grad_norm is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.optim.clip_grad_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.group.average_statistics(self.model, weight=float(len(batch.labels) > 0))
        if self.average is not None:
            self.average.update_parameters(self.model)
        return tally

    def check_finite(self, position: Position) -> None:
        """See to it that no spoilt network takes the place of a good one.

        Raises:
            TrainingError: in every process, if a weight or a statistic is not a number; what was written stays.
        """
        for model in (self.model, self.tested):
            spoilt = [name for name, tensor in model.state_dict().items() if not torch.isfinite(tensor).all()]
            if spoilt:
                raise TrainingError(
                    f"epoch {position.epoch + 1}, step {position.step}: {len(spoilt)} tensors of the network "
                    f"are no longer finite, first {spoilt[0]}; the last good checkpoint stays. Lower --optim.lr"
                )

    def memory(self) -> StepMemory:
        """Return all that the next step depends on."""
        return StepMemory(
            model=self.model.state_dict(),
            optimizer=optimizer_tensors(self.optimizer, self.model),
            average=average_tensors(self.average) if self.average is not None else {},
            loss_scale=self.scaler.state_dict(),
        )

    def restore(self, memory: StepMemory) -> None:
        """Go back to where `memory` was taken."""
        self.model.load_state_dict(memory.model)
        restore_optimizer(self.optimizer, self.model, memory.optimizer)
        if self.average is not None:
            restore_average(self.average, memory.average)
        self.scaler.load_state_dict(dict(memory.loss_scale))

    def seed_draws(self, epoch: int, step: int) -> None:
        """Let what is drawn next (dropout, blocks left out) depend on nothing but this place and this process."""
        place = (DRAWS_STREAM, self.recipe.train.seed, epoch, step, self.group.rank)
        torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0]))

    def autocast(self) -> torch.autocast:
        """Return the context in which the network computes."""
        dtype = DTYPES.get(self.recipe.train.precision)
        return torch.autocast(self.group.device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None)

    def to_device(self, clips: Tensor) -> Tensor:
        """Return clips, or targets, where the network is and in its type."""
        return clips.to(self.group.device, self.model.dtype, non_blocking=True)

    def clips_of(self, batch: Batch) -> Tensor:
        """Return the clips of a batch as the network takes them; of a batch without any, none of the right shape."""
        clip = self.recipe.clip
        empty = torch.empty(0, 3, clip.num_frames, clip.crop, clip.crop)
        return self.to_device(batch.clips if len(batch.labels) else empty)

    def batch_text(self, num_clips: int) -> str:
        """Return how a batch is divided, in words.

        Args:
            num_clips: of a step, where there are no more.
        """
        settings = self.recipe.train
        asked = "" if num_clips == settings.batch_size else f" (all there are, of {settings.batch_size})"
        parts = self.group.world_size * settings.accumulate
        return (
            f"batch {num_clips}{asked} = {self.group.world_size} processes x {settings.accumulate} parts x "
            f"{'up to ' if num_clips % parts else ''}{-(-num_clips // parts)} clips, batch norm over "
            f"{self.norm_clips(num_clips)} clips"
        )

    def norm_clips(self, num_clips: int) -> int:
        """Return over how many clips batch norm goes: ``train.norm_clips``, or fewer where a step has fewer clips."""
        settings, share = self.recipe.train, clips_at_once(self.recipe, self.group)
        wanted, at_once = settings.norm_clips or share, -(-num_clips // (self.group.world_size * settings.accumulate))
        return min(wanted, at_once * max(1, wanted // share))

    def _accumulate(self, batch: Batch, num_clips: int, seed: tuple[int, ...]) -> Tensor:
        """Compute the gradient of a batch part by part; return loss, right answers and clips of this process."""
        clips, targets = self._augmented(batch, seed)
        tally = torch.zeros(3, dtype=torch.float64)
        num_parts = self.recipe.train.accumulate  # the same in all processes: their norms may wait for each other
        parts = zip(clips.tensor_split(num_parts), targets.tensor_split(num_parts), strict=True)
        for number, (part, target) in enumerate(parts, start=1):
            with self._synchronised(number == num_parts):
                share = self.group.world_size / num_clips  # gradients are averaged over the processes
                loss, logits = self.gradient(part, target, share)
            tally += torch.tensor([float(loss), float(_right(logits, target)), len(target)], dtype=torch.float64)
        return tally

    def _gradient(self, clips: Tensor, targets: Tensor, share: float) -> tuple[Tensor, Tensor]:
        """Add the gradient of a share of the summed loss; return the loss and the logits."""
        with self.autocast():
            logits = self.replica(clips)
        loss = _loss(logits, targets, self.recipe.train)
        self.scaler.scale(loss * share).backward()
        return loss.detach(), logits.detach()

    def _augmented(self, batch: Batch, seed: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Return the clips and targets of a batch, mixed as the recipe says."""
        settings, clips = self.recipe.train, self.clips_of(batch)
        if len(clips) == 0:
            return clips, clips.new_empty(0, self.model.num_classes)
        clips = add_stills(clips, settings.stills, np.random.default_rng((STILLS_STREAM, *seed)))
        rng = np.random.default_rng((MIXING_STREAM, *seed))
        return mix(clips, self.to_device(batch.targets), mixup=settings.mixup, cutmix=settings.cutmix, rng=rng)

    def _synchronised(self, last: bool) -> AbstractContextManager[None]:
        """Average the gradients over the processes in the last part of a batch alone."""
        if last or not isinstance(self.replica, nn.parallel.DistributedDataParallel):
            return nullcontext()
        return self.replica.no_sync()


def _arithmetic(recipe: Recipe, models: Iterable[ClipClassifier], device: torch.device) -> str:
    """Let the fused kernels compute what they know, where they run and are right; return what computes, in words."""
    models = tuple(models)
    if device.type != "cuda" or recipe.train.compile:
        return ""
    from vov3d.fused.trial import refusal

    reason = refusal(models[0], device, DTYPES.get(recipe.train.precision, models[0].dtype))
    if reason is not None:
        return f"plain torch computes the network: {reason}"
    for model in models:
        fuse(model)
    return FUSED


def _compiled(model: ClipClassifier) -> nn.Module:
    compiled: nn.Module = torch.compile(model, dynamic=False)  # type: ignore[assignment]  # a module stays a module
    return compiled


def _loss(logits: Tensor, targets: Tensor, settings: TrainSettings) -> Tensor:
    """Return the summed loss of a part of a batch."""
    exact = logits if logits.dtype == torch.float64 else logits.float()
    if settings.loss == "sigmoid":
        smooth = targets * (1 - settings.label_smoothing) + 0.5 * settings.label_smoothing
        return F.binary_cross_entropy_with_logits(exact, smooth, reduction="none").mean(1).sum()
    return F.cross_entropy(exact, targets, label_smoothing=settings.label_smoothing, reduction="sum")


def _right(logits: Tensor, targets: Tensor) -> Tensor:
    """Return how many clips have a class on top that they show, or that most of them is from."""
    best = targets.gather(1, logits.argmax(1, keepdim=True)).squeeze(1)
    return ((best > 0) & (best >= targets.amax(1))).sum()
