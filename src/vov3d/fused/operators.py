"""The convolutions of a unit with what stands before them, and their gradients, as three differentiable functions.

`pointwise` and `depthwise` read ``act(y * scale + shift)`` without writing it, and return mean and variance of their
output over the positions of each clip. All that norms and gates compute from these is small (``[N, C]``) and left to
autograd: their gradients come back as gradients of the mean and the variance, which the backward kernels add while they
read. `residual` ends a unit.

Activations are ``[N, S, C]``, S = T*H*W positions of a clip in channels-last memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from vov3d.fused import launches


class Activation(IntEnum):
    """What follows a scale and a shift."""

    NONE = 0
    RELU = 1
    SWISH = 2


@dataclass(frozen=True)
class Affine:
    """``act(y * scale + shift)``, for each clip and channel.

    Shape: scale and shift ``[N, C]`` in float32, or float64 with activations in float64.
    """

    scale: Tensor
    shift: Tensor
    activation: Activation = Activation.NONE


@dataclass(frozen=True)
class Size:
    """Frames, rows and columns of an activation."""

    frames: int
    rows: int
    columns: int

    @property
    def positions(self) -> int:
        """S, the product of the three."""
        return self.frames * self.rows * self.columns

    def strided(self, stride: int) -> Size:
        """Return the size after a convolution of this spatial stride."""
        return Size(self.frames, -(-self.rows // stride), -(-self.columns // stride))


def pointwise(y: Tensor, weight: Tensor, affine: Affine | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the product of ``act(y * scale + shift)`` with a weight, its mean and variance in each clip, and y again.

    Whoever else reads y is to read the one that is returned: its gradient then joins that of the product while it is
    written.

    Shape: ``[N, S, K], [C, K] -> [N, S, C], [N, C], [N, C], [N, S, K]``
    """
    scale, shift, activation = (affine.scale, affine.shift, affine.activation) if affine else (None, None, 0)
    return _Pointwise.apply(y, weight, scale, shift, int(activation))  # type: ignore[no-untyped-call,no-any-return]


def depthwise(
    y: Tensor, kernels: tuple[Tensor, ...], affine: Affine, size: Size, stride: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return a depthwise 3x3x3 convolution of ``act(y * scale + shift)``, padded by one, and its mean and variance.

    Args:
        y: the activation.
        kernels: one ``[C, 1, 3, 3, 3]``, or ``[C, 1, 1, 3, 3]`` and ``[C, 1, 3, 1, 1]``, one after the other.
        affine: what stands before.
        size: of y.
        stride: in space.

    Shape: ``[N, S, C] -> [N, S', C], [N, C], [N, C]``
    """
    arguments = (affine.scale, affine.shift, int(affine.activation), size, stride)
    return _Depthwise.apply(y, *arguments, *kernels)  # type: ignore[no-untyped-call,no-any-return]


def residual(
    y: Tensor, affine: Affine, shortcut: Tensor | None, out: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """Return ``relu(y * scale + shift + shortcut)`` and the shortcut again, as `pointwise` does.

    Args:
        y: the activation.
        affine: what stands before the sum; its activation is none.
        shortcut: what is added.
        out: where to write, a slice of a buffer that autograd does not know.

    Shape: ``[N, S, C] -> [N, S, C], [N, S, C]``
    """
    return _Residual.apply(y, affine.scale, affine.shift, shortcut, _Place(torch.empty_like(y) if out is None else out))  # type: ignore[no-untyped-call,no-any-return]


def write(x: Tensor, out: Tensor) -> Tensor:
    """Return a copy of x in a slice of a buffer that autograd does not know.

    Shape: ``[N, S, C] -> [N, S, C]``
    """
    return _Write.apply(x, _Place(out))  # type: ignore[no-untyped-call,no-any-return]


def joined(parts: Sequence[Tensor], buffer: Tensor) -> Tensor:
    """Return the buffer that parts were written into side by side: their concatenation, without a copy.

    Shape: ``[N, S, C_1], [N, S, C_2], ... -> [N, S, C_1 + C_2 + ...]``
    """
    return _Joined.apply(_Place(buffer), *parts)  # type: ignore[no-untyped-call,no-any-return]


@dataclass(frozen=True)
class _Place:
    """Memory to write to, of which autograd is to know neither that it is written nor that it is part of a buffer."""

    tensor: Tensor

    def memory(self) -> Tensor:
        """Return a tensor over the same memory that is no view."""
        own = self.tensor
        alone = torch.empty(0, dtype=own.dtype, device=own.device)
        return alone.set_(own.untyped_storage(), own.storage_offset(), own.shape, own.stride())


class _Write(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, place: _Place) -> Tensor:
        return place.memory().copy_(x)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        return g, None


class _Joined(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, place: _Place, *parts: Tensor) -> Tensor:
        ctx.widths = [part.shape[2] for part in parts]
        return place.memory()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        return None, *g.split(ctx.widths, dim=2)


class _Pointwise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, y: Tensor, weight: Tensor, scale: Tensor | None, shift: Tensor | None, activation: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        cast = weight.to(y.dtype).contiguous()
        before = launches.Before(y, scale, shift, activation)
        out, sums = launches.pointwise(before, cast)
        assert sums is not None
        mean, variance = _moments(sums, out.shape[1])
        ctx.save_for_backward(y, cast, scale, shift, out, mean)
        ctx.activation = activation
        ctx.set_materialize_grads(False)
        return out, mean, variance, y.view_as(y)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, g: Tensor | None, of_mean: Tensor | None, of_variance: Tensor | None, through: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        y, weight, scale, shift, out, mean = ctx.saved_tensors
        before = launches.Before(y, scale, shift, ctx.activation)
        after = _after(g, out, mean, of_mean, of_variance)
        gradient, of_affine, of_weight = launches.pointwise_gradients(before, weight, after, through)
        return gradient, of_weight, *of_affine, None


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, y: Tensor, scale: Tensor, shift: Tensor, activation: int, size: Size, stride: int, *kernels: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        before = launches.Before(y, scale, shift, activation)
        walk = launches.Walk(size, size.strided(stride), stride, taps_of(kernels, scale.dtype), len(kernels) == 2)
        out, sums = launches.depthwise(before, walk)
        assert sums is not None
        mean, variance = _moments(sums, out.shape[1])
        ctx.save_for_backward(y, scale, shift, out, mean)
        ctx.activation, ctx.walk, ctx.shapes = activation, walk, [kernel.shape for kernel in kernels]
        ctx.set_materialize_grads(False)
        return out, mean, variance

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, g: Tensor | None, of_mean: Tensor | None, of_variance: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        y, scale, shift, out, mean = ctx.saved_tensors
        before = launches.Before(y, scale, shift, ctx.activation)
        after = _after(g, out, mean, of_mean, of_variance)
        gradient, of_affine, of_taps = launches.depthwise_gradients(before, ctx.walk, after)  # of_taps [taps,C]
        counts = [shape[2:].numel() for shape in ctx.shapes]
        of_kernels = [part.t().reshape(shape) for part, shape in zip(of_taps.split(counts), ctx.shapes, strict=True)]
        return gradient, *of_affine, None, None, None, *of_kernels


class _Residual(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, y: Tensor, scale: Tensor, shift: Tensor, shortcut: Tensor | None, place: _Place
    ) -> tuple[Tensor, Tensor | None]:
        out = launches.residual(y, scale, shift, shortcut, place.memory())
        ctx.save_for_backward(y, scale, out)
        ctx.has_shortcut = shortcut is not None
        ctx.set_materialize_grads(False)
        return out, None if shortcut is None else shortcut.view_as(shortcut)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor | None, through: Tensor | None) -> tuple[Tensor | None, ...]:
        y, scale, out = ctx.saved_tensors
        g = torch.zeros_like(y) if g is None else g
        gradient, of_affine, of_shortcut = launches.residual_input(g, out, y, scale, through, ctx.has_shortcut)
        return gradient, *of_affine, of_shortcut, None


def _moments(sums: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return mean and variance of each clip from the sums ``[N, tiles, 2, C]`` of values and of their squares."""
    first, second = (sums.sum(1, dtype=torch.float64) / count).unbind(1)
    return first.to(sums.dtype), (second - first * first).clamp_min_(0).to(sums.dtype)


def _after(
    g: Tensor | None, out: Tensor, mean: Tensor, of_mean: Tensor | None, of_variance: Tensor | None
) -> launches.After:
    """Return the gradient of an output, from who reads it and through its mean and variance."""
    of_mean = torch.zeros_like(mean) if of_mean is None else of_mean
    of_variance = torch.zeros_like(mean) if of_variance is None else of_variance
    beta = of_variance * (2 / out.shape[1])
    alpha = of_mean / out.shape[1] - beta * mean
    return launches.After(torch.zeros_like(out) if g is None else g, out, alpha, beta)


def taps_of(kernels: tuple[Tensor, ...], dtype: torch.dtype) -> Tensor:
    """Return kernels as ``[3, 9, C]``; of two factors, the one in space is the first frame, that in time the second."""
    if len(kernels) == 1:
        return kernels[0].to(dtype).flatten(3).permute(2, 3, 1, 0)[:, :, 0].contiguous()
    spatial, temporal = (kernel.to(dtype).flatten(1).t() for kernel in kernels)  # [9,C], [3,C]
    taps = spatial.new_zeros(3, *spatial.shape)
    taps[0], taps[1, :3] = spatial, temporal
    return taps
