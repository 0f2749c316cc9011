"""The learning rate as a pure function of the position in training."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """A linear warm-up, then a half-period cosine, steps, or a constant.

    The rate is set before every iteration from the position in epochs, ``epoch + iteration / iterations``. The warm-up
    climbs to the value that the policy has at its end, not to ``lr``.

    Attributes:
        lr: the base rate.
        policy: ``"cosine"`` (to zero at the end), ``"steps"`` or ``"constant"``.
        epochs: length of training, in epochs.
        warmup_epochs: length of the warm-up, in epochs.
        warmup_start_lr: rate at the first iteration of the warm-up.
        step_epochs: where each step begins, the first at 0, in epochs.
        step_factors: what multiplies ``lr`` from there on.

    Source: published code; Section 4.1. Equal to its values to 1e-9 (tested).
    """

    lr: float
    policy: str
    epochs: float
    warmup_epochs: float = 0.0
    warmup_start_lr: float = 0.0
    step_epochs: tuple[float, ...] = ()
    step_factors: tuple[float, ...] = ()

    def at(self, epoch: float) -> float:
        """Return the rate at a position in epochs, such as 1.5 for the middle of the second epoch."""
        if epoch >= self.warmup_epochs:
            return self._policy(epoch)
        reached = self._policy(self.warmup_epochs)
        return self.warmup_start_lr + (reached - self.warmup_start_lr) * epoch / self.warmup_epochs

    def _policy(self, epoch: float) -> float:
        if self.policy == "cosine":
            return self.lr * 0.5 * (1 + math.cos(math.pi * epoch / self.epochs))
        if self.policy == "steps":
            begun = [
                factor for start, factor in zip(self.step_epochs, self.step_factors, strict=True) if epoch >= start
            ]
            return self.lr * begun[-1]
        return self.lr
