"""Launches of the kernels: memory for what they write, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vov3d.fused import tiles
from vov3d.fused.tiles import parts_of, rectangles, shares

if TYPE_CHECKING:
    from vov3d.fused.operators import Size


@dataclass(frozen=True)
class Before:
    """What a convolution reads: ``act(y * scale + shift)``, y ``[N, S, K]`` and the rest ``[N, K]``."""

    y: Tensor
    scale: Tensor | None
    shift: Tensor | None
    activation: int

    @property
    def affine(self) -> tuple[Tensor | None, Tensor | None]:
        """Scale and shift, without gaps."""
        return (None, None) if self.scale is None else (self.scale.contiguous(), self.shift.contiguous())  # type: ignore[union-attr]


@dataclass(frozen=True)
class After:
    """The gradient of what it wrote: ``g + alpha + beta * out``, g and out ``[N, S, C]``, alpha and beta ``[N, C]``."""

    g: Tensor
    out: Tensor
    alpha: Tensor
    beta: Tensor

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The four, without gaps."""
        return self.g.contiguous(), self.out, self.alpha.contiguous(), self.beta.contiguous()


@dataclass(frozen=True)
class Walk:
    """A depthwise convolution: sizes before and after, stride in space, kernel ``[3, 9, C]``."""

    size: Size
    strided: Size
    stride: int
    taps: Tensor
    separable: bool

    @property
    def lengths(self) -> tuple[int, int, int, int, int]:
        """Frames, rows and columns before, rows and columns after."""
        return self.size.frames, self.size.rows, self.size.columns, self.strided.rows, self.strided.columns


Pair = tuple[Tensor | None, Tensor | None]


def pointwise(before: Before, weight: Tensor, *, wants_sums: bool = True) -> tuple[Tensor, Tensor | None]:
    """Return out ``[N, S, C]`` and its sums ``[N, tiles, 2, C]``."""
    from vov3d.fused.kernels import pointwise_forward

    (clips, positions, inner), channels = before.y.shape, len(weight)
    block = tiles.pointwise(inner, channels, before.y.element_size())
    count = parts_of(positions, block["ROWS"])
    out = before.y.new_empty(clips, positions, channels)
    sums = _sums(before.y, count, channels) if wants_sums else None
    pointwise_forward[clips * count, parts_of(channels, block["COLUMNS"])](
        *(before.y, weight, *before.affine, out, sums, positions, inner, channels, before.y.stride(1), count),
        AFFINE=before.scale is not None,
        ACT=int(before.activation),
        SUMS=wants_sums,
        **_types(before.y.dtype),
        **block,
    )
    return out, sums


def pointwise_gradients(
    before: Before, weight: Tensor, after: After, through: Tensor | None
) -> tuple[Tensor, Pair, Tensor]:
    """Return the gradients of y, of scale and shift, and of the weight."""
    from vov3d.fused.kernels import pointwise_gradient

    (clips, positions, inner), channels = before.y.shape, len(weight)
    value_bytes, made_for = before.y.element_size(), capability(before.y.device)
    block = tiles.pointwise_gradient(inner, channels, value_bytes, made_for)
    count, columns = parts_of(positions, block["ROWS"]), parts_of(inner, block["COLUMNS"])
    parts = shares(clips * count, columns, programs(before.y.device))
    through = through if through is None else even_rows(through)
    gradient = before.y.new_empty(clips, positions, inner)
    sums = None if before.scale is None else _sums(before.y, count, inner)
    of_weight = gradient.new_empty(parts, channels, inner, dtype=accumulator(gradient.dtype))
    pointwise_gradient[columns, parts](
        *(*after.tensors, before.y, weight, *before.affine, through, gradient, sums, of_weight),
        *(positions, inner, channels, before.y.stride(1), inner if through is None else through.stride(1)),
        *(count, clips * count, parts),
        AFFINE=before.scale is not None,
        ACT=int(before.activation),
        THROUGH=through is not None,
        **_types(before.y.dtype),
        **block,
        num_warps=tiles.GRADIENT_WARPS,
        num_stages=tiles.stages(value_bytes, made_for),
    )
    return gradient, _summed(sums), of_weight.sum(0)


def depthwise(before: Before, walk: Walk, *, wants_sums: bool = True) -> tuple[Tensor, Tensor | None]:
    """Return out ``[N, S', C]`` and its sums ``[N, tiles, 2, C]``."""
    from vov3d.fused.kernels import depthwise_forward

    clips, _, channels = before.y.shape
    block = tiles.depthwise(channels)
    count = rectangles(walk.strided.rows, walk.strided.columns, block)
    out = before.y.new_empty(clips, walk.strided.positions, channels)
    sums = _sums(before.y, count, channels) if wants_sums else None
    depthwise_forward[clips * count, parts_of(channels, block["CHANNELS"])](
        *(before.y.contiguous(), walk.taps, *before.affine, out, sums, *walk.lengths, channels, count),
        SUMS=wants_sums,
        **_walking(before, walk, block),
    )
    return out, sums


def depthwise_gradients(before: Before, walk: Walk, after: After) -> tuple[Tensor, Pair, Tensor]:
    """Return the gradients of y, of scale and shift, and of the taps.

    Those of the taps are ``[27, C]``, frames x rows x columns, or ``[12, C]`` of a separable kernel.
    """
    from vov3d.fused.kernels import depthwise_gradient

    clips, _, channels = before.y.shape
    block, taps = tiles.depthwise_gradient(channels, separable=walk.separable), 12 if walk.separable else 27
    count, columns = rectangles(walk.size.rows, walk.size.columns, block), parts_of(channels, block["CHANNELS"])
    parts = shares(clips * count, columns, programs(before.y.device))
    gradient = torch.empty_like(before.y, memory_format=torch.contiguous_format)
    sums = _sums(before.y, count, channels)
    of_taps = gradient.new_empty(parts, taps, channels, dtype=accumulator(gradient.dtype))
    depthwise_gradient[parts, columns](
        *(*after.tensors, before.y.contiguous(), walk.taps, *before.affine, gradient, sums, of_taps),
        *(*walk.lengths, channels, count, clips * count, parts),
        **_walking(before, walk, block),
        num_warps=tiles.GRADIENT_WARPS,
    )
    summed = of_taps.sum(0)
    if not walk.separable:
        summed = summed.unflatten(0, (9, 3)).transpose(0, 1).flatten(0, 1)
    return gradient, _summed(sums), summed


Layer = tuple[Tensor, Tensor]
"""Weight and bias."""


def gate(sums: Tensor, shift: Tensor, layers: tuple[Layer, Layer], num_positions: int) -> tuple[Tensor, Tensor]:
    """Return squeeze-and-excitation's gates of ``out + shift``, and the shift times them.

    Shape: ``[N, tiles, 2, C], [C], (([R, C], [R]), ([C, R], [C])) -> [N, C], [N, C]``, all in float32.
    """
    from vov3d.fused.kernels import gate_forward

    (clips, count, _, channels), hidden = sums.shape, len(layers[0][0])
    gates, shifts = sums.new_empty(clips, channels), sums.new_empty(clips, channels)
    gate_forward[(clips,)](
        *(sums, shift, *layers[0], *layers[1], gates, shifts, num_positions, channels, hidden, count),
        TILES=tiles.GATE_TILES,
        CHANNELS=tiles.power(channels),
        HIDDEN=tiles.power(hidden),
    )
    return gates, shifts


def residual(y: Tensor, scale: Tensor, shift: Tensor, shortcut: Tensor | None, out: Tensor) -> Tensor:
    """Write ``relu(y * scale + shift + shortcut)`` to out and return it."""
    from vov3d.fused.kernels import residual_forward

    clips, positions, channels = y.shape
    block = tiles.residual(channels)
    count = parts_of(positions, block["ROWS"])
    shortcut = shortcut if shortcut is None else even_rows(shortcut)
    residual_forward[clips * count, parts_of(channels, block["COLUMNS"])](
        *(y, scale.contiguous(), shift.contiguous(), shortcut, out, positions, channels),
        *(channels if shortcut is None else shortcut.stride(1), out.stride(1), count),
        SHORTCUT=shortcut is not None,
        ACC=_types(y.dtype)["ACC"],
        **block,
    )
    return out


def residual_input(
    g: Tensor, out: Tensor, y: Tensor, scale: Tensor, through: Tensor | None, has_shortcut: bool
) -> tuple[Tensor, Pair, Tensor | None]:
    """Return the gradients of y, of scale and shift, and of the shortcut."""
    from vov3d.fused.kernels import residual_gradient

    clips, positions, channels = y.shape
    block = tiles.residual(channels)
    count = parts_of(positions, block["ROWS"])
    g, through = even_rows(g), through if through is None else even_rows(through)
    gradient = torch.empty_like(y)
    of_shortcut = torch.empty_like(y) if has_shortcut else None
    sums = _sums(y, count, channels)
    residual_gradient[clips * count, parts_of(channels, block["COLUMNS"])](
        *(g, out, y, scale.contiguous(), through, gradient, of_shortcut, sums, positions, channels),
        *(g.stride(1), out.stride(1), channels if through is None else through.stride(1), count),
        SHORTCUT=has_shortcut,
        THROUGH=through is not None,
        ACC=_types(y.dtype)["ACC"],
        **block,
    )
    return gradient, _summed(sums), of_shortcut


def accumulator(dtype: torch.dtype) -> torch.dtype:
    """Return the type of sums over values of a type."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def even_rows(values: Tensor) -> Tensor:
    """Return ``[N, S, C]`` as rows that lie evenly: a copy only where they do not."""
    even = values.stride(2) == 1 and values.stride(0) == values.stride(1) * values.shape[1]
    return values if even else values.contiguous()


def _sums(like: Tensor, tiles: int, channels: int) -> Tensor:
    return like.new_empty(len(like), tiles, 2, channels, dtype=accumulator(like.dtype))


def _summed(sums: Tensor | None) -> Pair:
    """Return the two sums of each clip."""
    if sums is None:
        return None, None
    first, second = sums.sum(1).unbind(1)
    return first, second


@cache
def programs(device: torch.device) -> int:
    """Return how many programs share the gradient of a weight: as many as a GPU computes at a time."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else tiles.PROGRAMS


@cache
def capability(device: torch.device) -> tiles.Capability:
    """Return a GPU's compute capability; without one, that of a Hopper GPU."""
    return torch.cuda.get_device_capability(device) if device.type == "cuda" else tiles.HOPPER


@cache
def _types(dtype: torch.dtype) -> dict[str, Any]:
    """Return the types of sums and of the factors of products.

    Triton's interpreter multiplies 16-bit types wrongly; it is given float32.
    """
    import triton
    import triton.language as tl

    names = {
        torch.float64: tl.float64,
        torch.float32: tl.float32,
        torch.float16: tl.float16,
        torch.bfloat16: tl.bfloat16,
    }
    total = names[accumulator(dtype)]
    return {"ACC": total, "DOT": total if triton.knobs.runtime.interpret else names[dtype]}


def _walking(before: Before, walk: Walk, block: dict[str, int]) -> dict[str, Any]:
    return {
        "STRIDE": walk.stride,
        "SEPARABLE": walk.separable,
        "ACT": int(before.activation),
        "ACC": _types(before.y.dtype)["ACC"],
        **block,
    }
