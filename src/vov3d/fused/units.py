"""Units, T-OSA blocks and X3D's blocks, computed by the fused operators from the modules' own parameters.

::

    x ──> pointwise ──> norm, ReLU | depthwise ──> norm, gate, Swish | pointwise ──> norm, depth | + x, ReLU ──>
          one kernel                 one kernel                       one kernel                  one kernel

What stands before a bar is read by the kernel after it as a scale and a shift. T-OSA's units write side by side into
one buffer, which is the concatenation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vov3d.fused.launches import even_rows
from vov3d.fused.operators import Activation, Affine, Size, depthwise, joined, pointwise, residual, write
from vov3d.layers import (
    BatchNorm,
    Bottleneck,
    ConvNorm,
    D1Plus2D,
    D2Plus1D,
    DepthwiseConv3d,
    Residual,
    SpatialConv3d,
    SqueezeExcitation,
    StochasticDepth,
    TemporalConv3d,
)
from vov3d.models.vov3d import TOSA


def as_rows(clips: Tensor) -> Tensor:
    """[N,C,T,H,W] -> [N,S,C], a view where memory is channels-last."""
    return even_rows(clips.permute(0, 2, 3, 4, 1).flatten(1, 3))


def as_clips(rows: Tensor, size: Size) -> Tensor:
    """[N,S,C] -> [N,C,T,H,W], the inverse of `as_rows`."""
    clips: Tensor = rows.unflatten(1, (size.frames, size.rows, size.columns)).permute(0, 4, 1, 2, 3)
    return clips


def fits(module: nn.Module) -> bool:
    """Whether a module is a residual sum that `residual_block` computes: of a T-OSA block, or of one of X3D's."""
    if not isinstance(module, Residual):
        return False
    norms = [norm for norm in module.modules() if isinstance(norm, nn.modules.batchnorm._BatchNorm)]
    units = [unit for unit in module.modules() if isinstance(unit, Bottleneck)]
    known = all(type(norm) is BatchNorm for norm in norms) and all(_knows(unit) for unit in units)
    if isinstance(module.branch, TOSA):
        return known and isinstance(module.branch.shrink, nn.Identity)
    return known and isinstance(module.branch, Bottleneck)


def _knows(unit: Bottleneck) -> bool:
    convolutions = {SpatialConv3d, TemporalConv3d, DepthwiseConv3d}  # of other kinds are those that look only backwards
    operator = all(type(part) in convolutions for part in unit.operator.modules() if isinstance(part, nn.Conv3d))
    return operator and bool(kernels_of(unit.operator)) and type(unit.gate) in {nn.Identity, SqueezeExcitation}


def residual_block(module: Residual, clips: Tensor) -> Tensor:
    """Return what ``module(clips)`` does.

    Shape: ``[N, C_in, T, H, W] -> [N, C_out, T, ceil(H/stride), ceil(W/stride)]``, N at least 1.
    """
    kind, branch = clips.device.type, module.branch
    clips = clips.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else clips
    with torch.autocast(kind, enabled=False):
        x, size = as_rows(clips), Size(*clips.shape[2:])
        if isinstance(branch, TOSA):
            features, affine, x, size = tosa(branch, x, size)
        else:
            assert isinstance(branch, Bottleneck)
            features, affine, x, size = bottleneck(branch, x, size)
    shortcut = None if module.shortcut is None else x
    if isinstance(module.shortcut, ConvNorm):
        shortcut = as_rows(module.shortcut(as_clips(x, Size(*clips.shape[2:]))))
    with torch.autocast(kind, enabled=False):
        summed, _ = residual(features, _survivors(module.depth, affine), shortcut)
        return as_clips(summed, size)


def bottleneck(unit: Bottleneck, x: Tensor, size: Size) -> tuple[Tensor, Affine, Tensor, Size]:
    """Return a unit before its last norm, that norm, the input for who else reads it, and the size."""
    stride = stride_of(unit.operator)
    wide, *moments, x = pointwise(x, matrix_of(unit.expand))
    affine = _normalised(unit.expand.norm, moments, x.shape[1], Activation.RELU)
    mixed, *moments = depthwise(wide, kernels_of(unit.operator), affine, size, stride)
    affine = _normalised(unit.norm, moments, mixed.shape[1], Activation.SWISH)
    if isinstance(unit.gate, SqueezeExcitation):
        affine = _gated(unit.gate, affine, moments[0])
    narrow, *moments, _ = pointwise(mixed, matrix_of(unit.project), affine)
    return narrow, _normalised(unit.project.norm, moments, mixed.shape[1]), x, size.strided(stride)


def tosa(block: TOSA, x: Tensor, size: Size) -> tuple[Tensor, Affine, Tensor, Size]:
    """Return what `bottleneck` does, of a whole T-OSA block."""
    channels = block.aggregate.conv.in_channels
    strided = size.strided(1 if block.keeps_input else 2)
    buffer = x.new_empty(len(x), strided.positions, channels)
    first = x.shape[2] if block.keeps_input else 0
    places = iter(buffer[:, :, first:].split(block.aggregate.conv.out_channels, dim=2))
    parts = [write(x, buffer[:, :, :first])] if block.keeps_input else []
    inside = x
    for number, (unit, place) in enumerate(zip(block.units, places, strict=True)):
        assert isinstance(unit, Residual)
        assert isinstance(unit.branch, Bottleneck)
        narrow, affine, passed, size = bottleneck(unit.branch, inside, size)
        inside, shortcut = residual(narrow, affine, passed if unit.shortcut is not None else None, place)
        passed = passed if shortcut is None else shortcut
        if number == 0:
            x = passed
        else:
            parts.append(passed)
    aggregated, *moments, _ = pointwise(joined([*parts, inside], buffer), matrix_of(block.aggregate))
    return aggregated, _normalised(block.aggregate.norm, moments, aggregated.shape[1]), x, size


def _normalised(
    norm: BatchNorm, moments: list[Tensor], num_positions: int, activation: Activation = Activation.NONE
) -> Affine:
    """Return a norm, and what follows it, as scale and shift of each clip."""
    mean, variance = norm.statistics(moments[0], moments[1], num_positions)
    scale = norm.weight.to(mean.dtype) * (variance + norm.eps).rsqrt()
    return Affine(scale, norm.bias.to(mean.dtype) - mean * scale, activation)


def _gated(gate: SqueezeExcitation, affine: Affine, mean: Tensor) -> Affine:
    """Return scale and shift with the gate; the mean of what they give is theirs of the mean."""
    means = (affine.scale * mean + affine.shift)[..., None, None, None]
    return _scaled(affine, gate.gates(means.to(gate.fc1.weight.dtype)))


def _survivors(depth: StochasticDepth, affine: Affine) -> Affine:
    """Return scale and shift with the clips left out whose branch is."""
    if not depth.training or depth.probability == 0:
        return affine
    return _scaled(affine, depth(torch.ones_like(affine.scale[:, :1])[..., None, None, None]))


def _scaled(affine: Affine, factors: Tensor) -> Affine:
    factors = factors.flatten(1).to(affine.scale.dtype)
    return Affine(affine.scale * factors, affine.shift * factors, affine.activation)


def matrix_of(convolution: ConvNorm) -> Tensor:
    """Return the weight of a pointwise convolution as ``[C_out, C_in]``."""
    return convolution.conv.weight.flatten(1)


def kernels_of(operator: nn.Module) -> tuple[Tensor, ...]:
    """Return the depthwise kernels of an operator, in space first; none if it has others."""
    if isinstance(operator, D2Plus1D) and not operator.is_linear:
        return ()
    if isinstance(operator, D2Plus1D | D1Plus2D):
        return operator.spatial.weight, operator.temporal.weight
    return (operator.weight,) if type(operator) is DepthwiseConv3d else ()


def stride_of(operator: nn.Module) -> int:
    """Return the stride of an operator in space."""
    spatial = operator.spatial if isinstance(operator, D2Plus1D | D1Plus2D) else operator
    assert isinstance(spatial, nn.Conv3d)
    return spatial.stride[1]
