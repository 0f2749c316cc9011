"""From real numbers to bytes: the ranges that activations take on calibration clips, and weights in 8 bits.

A value is a level times a step. Weights have a step for each output channel, the wide map between a unit's products one
for each channel, other maps one. Ranges end at the largest value: to clip the rarest costs more than it gains, and what
comes later may be larger than what a few clips show. What rounding weights takes from the mean of an output, given the
mean of the inputs, is added to its bias (Nagel et al., arXiv 1906.04721, Section 4.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vov3d.errors import ArgumentError
from vov3d.layers import Bottleneck, ConvNorm, Residual
from vov3d.models import ClipClassifier

BYTE = 255
HEADROOM = 1.2  # later values may be so much larger than on calibration clips; measured, docs/notebook.md
SWISH_MINIMUM = -0.2785
SAMPLES = 1024  # positions of a batch, of each channel
KEPT = [step / 20 for step in range(6, 21)]  # of the largest argument of Swish: where its table may end


@dataclass
class Seen:
    """What a tensor was on calibration clips.

    Attributes:
        largest: absolute value, of each channel.
        samples: of all channels at some positions.
    """

    largest: Tensor = field(default_factory=lambda: torch.zeros(()))
    samples: list[Tensor] = field(default_factory=list)
    _total: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    _count: int = 0

    def add(self, values: Tensor) -> None:
        """Take in ``[N, C, T, H, W]``."""
        channels = values.detach().movedim(1, 0).flatten(1)
        if not channels.isfinite().all():
            raise ArgumentError("the network gives infinite or undefined values on the calibration clips")
        self.largest = torch.maximum(self.largest, channels.abs().amax(1))
        self.samples.append(channels[:, :: -(-channels.shape[1] // SAMPLES)].flatten().clone())
        self._total = self._total + channels.sum(1, dtype=torch.float64)
        self._count += channels.shape[1]

    @property
    def mean(self) -> Tensor:
        """Of each channel, in float64."""
        return self._total / self._count


@torch.no_grad()
def observe(model: ClipClassifier, calibration: Iterable[Tensor]) -> dict[nn.Module, Seen]:
    """Return what the parts of a VoV3D or X3D give on clips: all that the kernel keeps in bytes or 16-bit words.

    Args:
        model: the network, in evaluation.
        calibration: batches of clips.

    Raises:
        ArgumentError: there are no clips, or they give values that are not finite.
    """
    seen: dict[nn.Module, Seen] = {}
    with _watching(model, seen):
        for clips in calibration:
            model(clips.to(model.dtype))
    if not seen:
        raise ArgumentError("there are no calibration clips; int8 needs some that are like those it will meet")
    return seen


@contextmanager
def _watching(model: ClipClassifier, seen: dict[nn.Module, Seen]) -> Iterator[None]:
    watched: list[nn.Module] = [model.stem]
    for module in model.modules():
        if isinstance(module, Bottleneck):
            watched += [module.relu, module.norm, module.gate, module.swish]
        if isinstance(module, Residual):
            watched += [module, *([module.shortcut] if isinstance(module.shortcut, ConvNorm) else [])]

    def look(module: nn.Module, _inputs: object, output: Tensor) -> None:
        seen.setdefault(module, Seen()).add(output)

    hooks = [module.register_forward_hook(look) for module in watched]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@dataclass(frozen=True)
class Levels:
    """Weights ``[C_out, inputs]`` in 8 bits.

    Attributes:
        levels: -127 to 127.
        steps: of each output, in float64.
        lost: what rounding takes from the mean of each output.
    """

    levels: Tensor
    steps: Tensor
    lost: Tensor


def levels_of(weight: Tensor, mean: Tensor) -> Levels:
    """Return weights in 8 bits.

    Args:
        weight: ``[C_out, inputs]`` in float64.
        mean: of the inputs.
    """
    steps = weight.abs().amax(1).clamp_min(1e-20) / 127
    levels = (weight / steps[:, None]).round()
    lost = ((weight - levels * steps[:, None]) * mean).sum(1)
    return Levels(levels.to(torch.int8), steps, lost)


def steps_of(seen: Seen, levels: int = BYTE) -> Tensor:
    """Return the step of each channel, in float64, if `levels` is the largest level."""
    return (seen.largest.double() * HEADROOM).clamp_min(1e-6) / levels


def step_of(seen: Seen, levels: int = BYTE) -> float:
    """Return the step of all channels."""
    return float(steps_of(seen, levels).max())


@dataclass(frozen=True)
class SwishTable:
    """Swish from steps of its argument to steps of its value.

    Attributes:
        step: of the argument.
        zero: its level of 0, of -128 to 127.
        values: the level of the value for each level of the argument, in the order 0 to 127, -128 to -1.
        value_step: of the value.
        value_zero: its level of 0, of 0 to 255.
    """

    step: float
    zero: int
    values: Tensor
    value_step: float
    value_zero: int


def swish_table(seen: Seen) -> SwishTable:
    """Return the table that has the least mean squared error on samples of the argument."""
    samples = torch.cat(seen.samples)
    wanted = F.silu(samples)
    top = max(float(samples.max()), 0.5)
    best, least = None, float("inf")
    for lowest in (-3.0, -4.0, -5.0, -6.0, -8.0):
        for kept in KEPT:
            table = _swish_table(lowest, max(top * kept, 0.25))
            level = (samples / table.step + table.zero).round().clamp(-128, 127).long()
            value = (table.values[level].float() - table.value_zero) * table.value_step
            error = float((value - wanted).square().mean())
            if error < least:
                best, least = table, error
    assert best is not None
    return best


def _swish_table(lowest: float, highest: float) -> SwishTable:
    step = (highest - lowest) / BYTE
    zero = round(-128 - lowest / step)
    value_step = (float(F.silu(torch.tensor(highest))) - SWISH_MINIMUM) / BYTE
    value_zero = round(-SWISH_MINIMUM / value_step)
    arguments = (torch.cat([torch.arange(128), torch.arange(-128, 0)]) - zero) * step
    values = ((F.silu(arguments) / value_step).round() + value_zero).clamp(0, BYTE).to(torch.uint8)
    return SwishTable(step, zero, values, value_step, value_zero)
