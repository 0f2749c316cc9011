"""Blocks in inference: norms are part of the weights, and what stands between two kernels is a bias and an activation.

No moment of an activation is wanted but those that squeeze-and-excitation takes means of; one small kernel makes gates
of them. So a unit is four kernels, five with gates, and no other work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vov3d.fused import launches
from vov3d.fused.launches import Before, Layer, Walk
from vov3d.fused.operators import Activation, Size, taps_of
from vov3d.fused.units import as_clips, as_rows, fits, kernels_of, matrix_of, stride_of
from vov3d.layers import Bottleneck, ConvNorm, D1Plus2D, D2Plus1D, Residual, SqueezeExcitation
from vov3d.models import ClipClassifier
from vov3d.models.vov3d import TOSA


def fuse_folded(network: ClipClassifier) -> int:
    """Let the kernels compute the blocks that they know of a network whose norms are folded.

    Args:
        network: changed in place, and from then on for inference alone; its weights are not to change any more.

    Returns:
        How many blocks it has of them; 0 leaves it as it was.
    """
    blocks = [block for block in network.blocks() if isinstance(block, Residual) and fits(block)]
    for block in blocks:
        block.forward = FoldedBlock(block)  # type: ignore[method-assign]
    return len(blocks)


class Shift:
    """A bias as the scale and shift of every clip, made once for each number of clips.

    Args:
        bias: ``[C]``.
    """

    def __init__(self, bias: Tensor) -> None:
        self.bias = bias.float().contiguous()
        self._known: dict[int, tuple[Tensor, Tensor]] = {}

    def of(self, clips: int) -> tuple[Tensor, Tensor]:
        """Return scale and shift. Shape: ``[N, C], [N, C]``."""
        if clips not in self._known:
            shift = self.bias.expand(clips, -1).contiguous()
            self._known[clips] = torch.ones_like(shift), shift
        return self._known[clips]


class Narrow(NamedTuple):
    """What a branch gives: its last product, what is still to be added, and the size."""

    rows: Tensor
    shift: Shift
    size: Size


class FoldedUnit:
    """A bottleneck whose norms are folded.

    Args:
        unit: with biases in its convolutions.
    """

    def __init__(self, unit: Bottleneck) -> None:
        self.expand, self.wide_shift = _product(unit.expand)
        self.project, self.narrow_shift = _product(unit.project)
        kernels = kernels_of(unit.operator)
        self.taps, self.separable = taps_of(kernels, torch.float32), len(kernels) == 2
        self.stride, self.mixed_shift = stride_of(unit.operator), Shift(_bias(_last(unit.operator)))
        gate = unit.gate
        self.gate = (_layer(gate.fc1), _layer(gate.fc2)) if isinstance(gate, SqueezeExcitation) else None

    def __call__(self, x: Tensor, size: Size) -> Narrow:
        """Return what it gives before the last bias."""
        clips, walk = len(x), Walk(size, size.strided(self.stride), self.stride, self.taps, self.separable)
        wide, _ = launches.pointwise(Before(x, None, None, Activation.NONE), self.expand, wants_sums=False)
        before = Before(wide, *self.wide_shift.of(clips), Activation.RELU)
        mixed, sums = launches.depthwise(before, walk, wants_sums=self.gate is not None)
        affine = self.mixed_shift.of(clips)
        if self.gate is not None:
            assert sums is not None
            affine = launches.gate(sums, self.mixed_shift.bias, self.gate, walk.strided.positions)
        narrow, _ = launches.pointwise(Before(mixed, *affine, Activation.SWISH), self.project, wants_sums=False)
        return Narrow(narrow, self.narrow_shift, walk.strided)


class FoldedAggregation:
    """A T-OSA block whose norms are folded.

    Args:
        block: likewise.
    """

    def __init__(self, block: TOSA) -> None:
        self.units, self.sums = [], []
        for unit in block.units:
            assert isinstance(unit, Residual)
            assert isinstance(unit.branch, Bottleneck)
            self.units.append(FoldedUnit(unit.branch))
            self.sums.append(unit.shortcut is not None)
        self.aggregate, self.shift = _product(block.aggregate)
        self.keeps_input = block.keeps_input

    def __call__(self, x: Tensor, size: Size) -> Narrow:
        """Return what it gives before the last bias; the units write side by side."""
        kept, width = x.shape[2] if self.keeps_input else 0, len(self.aggregate)
        strided = size.strided(self.units[0].stride)
        buffer = x.new_empty(len(x), strided.positions, self.aggregate.shape[1])
        if kept:
            buffer[:, :, :kept].copy_(x)
        for unit, sums, place in zip(self.units, self.sums, buffer[:, :, kept:].split(width, dim=2), strict=True):
            narrow, shift, size = unit(x, size)
            x = launches.residual(narrow, *shift.of(len(x)), x if sums else None, place)
        product, _ = launches.pointwise(Before(buffer, None, None, Activation.NONE), self.aggregate, wants_sums=False)
        return Narrow(product, self.shift, size)


class FoldedBlock:
    """What ``block(clips)`` gives, whose norms are folded.

    Shape: ``[N, C_in, T, H, W] -> [N, C_out, T, ceil(H/stride), ceil(W/stride)]``

    Args:
        block: on its device, in the type that it is to compute in.
    """

    def __init__(self, block: Residual) -> None:
        branch = block.branch
        assert isinstance(branch, TOSA | Bottleneck)
        self.branch: Callable[[Tensor, Size], Narrow]
        self.branch = FoldedAggregation(branch) if isinstance(branch, TOSA) else FoldedUnit(branch)
        self.shortcut = block.shortcut

    def __call__(self, clips: Tensor) -> Tensor:
        """Compute."""
        with torch.cuda.device_of(clips):
            x = as_rows(clips)
            narrow, shift, size = self.branch(x, Size(*clips.shape[2:]))
            if isinstance(self.shortcut, ConvNorm):
                x = as_rows(self.shortcut(clips))
            shortcut = None if self.shortcut is None else x
            return as_clips(launches.residual(narrow, *shift.of(len(x)), shortcut, torch.empty_like(narrow)), size)


def _product(convolution: ConvNorm) -> tuple[Tensor, Shift]:
    """Return a pointwise convolution as weight ``[C_out, C_in]`` and what its reader adds."""
    return matrix_of(convolution).contiguous(), Shift(_bias(convolution.conv))


def _layer(convolution: nn.Conv3d) -> Layer:
    return convolution.weight.flatten(1).float().contiguous(), _bias(convolution).float()


def _last(operator: nn.Module) -> nn.Conv3d:
    """Return the convolution of an operator that the norm was folded into."""
    if isinstance(operator, D2Plus1D):
        return operator.temporal
    convolution = operator.spatial if isinstance(operator, D1Plus2D) else operator
    assert isinstance(convolution, nn.Conv3d)
    return convolution


def _bias(convolution: nn.Conv3d) -> Tensor:
    assert convolution.bias is not None
    return convolution.bias
