"""Launches of the kernels: shapes of tiles, buffers for sums, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from vov3d.fused.operators import Size

POINTWISE = {"rows": 128, "inner": 32, "columns": 64}
POINTWISE_GRADIENT = {"rows": 64, "inner": 32, "columns": 64}
WEIGHT = {"rows": 64, "inner": 64, "columns": 64}
DEPTHWISE = {"rows": 32, "columns": 32}
TAPS = {"rows": 16, "columns": 32}  # a thread holds up to 27 sums of four values
RESIDUAL = {"rows": 64, "columns": 64}
WEIGHT_PARTS = 264  # programs that share the gradient of a weight: two for each multiprocessor of a Hopper GPU


@dataclass(frozen=True)
class Before:
    """What a convolution reads: ``act(y * scale + shift)``, y ``[N, S, K]`` and the rest ``[N, K]``."""

    y: Tensor
    scale: Tensor | None
    shift: Tensor | None
    activation: int


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


def pointwise(before: Before, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return out ``[N, S, C]`` and its sums ``[N, tiles, 2, C]``."""
    from vov3d.fused.kernels import pointwise_forward

    (clips, positions, inner), channels = before.y.shape, len(weight)
    block = _block(POINTWISE, inner=inner, columns=channels)
    tiles = -(-positions // block["ROWS"])
    out = before.y.new_empty(clips, positions, channels)
    sums = _sums(before.y, tiles, channels)
    pointwise_forward[clips * tiles, -(-channels // block["COLUMNS"])](
        *(before.y, weight, before.scale, before.shift, out, sums),
        *(positions, inner, channels, before.y.stride(1), tiles),
        AFFINE=before.scale is not None,
        ACT=before.activation,
        **_types(before.y.dtype),
        **block,
    )
    return out, sums


def pointwise_input(before: Before, weight: Tensor, after: After, through: Tensor | None) -> tuple[Tensor, Pair]:
    """Return the gradients of y, and of scale and shift."""
    from vov3d.fused.kernels import pointwise_input_gradient

    (clips, positions, inner), channels = before.y.shape, len(weight)
    block = _block(POINTWISE_GRADIENT, inner=channels, columns=inner)
    tiles = -(-positions // block["ROWS"])
    through = through if through is None else even_rows(through)
    gradient = before.y.new_empty(clips, positions, inner)
    sums = None if before.scale is None else _sums(before.y, tiles, inner)
    pointwise_input_gradient[clips * tiles, -(-inner // block["COLUMNS"])](
        *(*after.tensors, before.y, weight, before.scale, before.shift, through, gradient, sums),
        *(positions, inner, channels, before.y.stride(1), inner if through is None else through.stride(1), tiles),
        AFFINE=before.scale is not None,
        ACT=before.activation,
        THROUGH=through is not None,
        **_types(before.y.dtype),
        **block,
    )
    return gradient, _summed(sums)


def pointwise_weight(before: Before, after: After) -> Tensor:
    """Return the gradient of the weight ``[C, K]``."""
    from vov3d.fused.kernels import pointwise_weight_gradient

    (clips, positions, inner), channels = before.y.shape, after.out.shape[2]
    block = _block(WEIGHT, inner=channels, columns=inner)
    tiles = -(-positions // block["ROWS"])
    parts = min(WEIGHT_PARTS, clips * tiles)
    gradient = before.y.new_empty(parts, channels, inner, dtype=accumulator(before.y.dtype))
    pointwise_weight_gradient[parts, -(-channels // block["INNER"]), -(-inner // block["COLUMNS"])](
        *(*after.tensors, before.y, before.scale, before.shift, gradient),
        *(positions, inner, channels, before.y.stride(1), tiles, clips * tiles, parts),
        AFFINE=before.scale is not None,
        ACT=before.activation,
        **_types(before.y.dtype),
        **block,
    )
    return gradient.sum(0)


def depthwise(before: Before, walk: Walk) -> tuple[Tensor, Tensor]:
    """Return out ``[N, S', C]`` and its sums ``[N, tiles, 2, C]``."""
    from vov3d.fused.kernels import depthwise_forward

    clips, _, channels = before.y.shape
    block = depthwise_block(channels)
    frames, _, _, rows, columns = walk.lengths
    tiles = -(-rows * columns // block["ROWS"])
    out = before.y.new_empty(clips, frames * rows * columns, channels)
    sums = _sums(before.y, tiles, channels)
    depthwise_forward[clips * tiles, -(-channels // block["COLUMNS"])](
        *(before.y.contiguous(), walk.taps, before.scale, before.shift, out, sums),
        *(*walk.lengths, channels, tiles),
        **_walking(before, walk, block),
    )
    return out, sums


def depthwise_input(before: Before, walk: Walk, after: After) -> tuple[Tensor, Pair]:
    """Return the gradients of y, and of scale and shift."""
    from vov3d.fused.kernels import depthwise_input_gradient

    clips, _, channels = before.y.shape
    block = depthwise_block(channels)
    tiles = -(-walk.size.rows * walk.size.columns // block["ROWS"])
    gradient = torch.empty_like(before.y, memory_format=torch.contiguous_format)
    sums = _sums(before.y, tiles, channels)
    depthwise_input_gradient[clips * tiles, -(-channels // block["COLUMNS"])](
        *(*after.tensors, before.y.contiguous(), walk.taps, before.scale, before.shift, gradient, sums),
        *(*walk.lengths, channels, tiles),
        **_walking(before, walk, block),
    )
    return gradient, _summed(sums)


def depthwise_weight(before: Before, walk: Walk, after: After) -> Tensor:
    """Return the gradient of the taps: ``[27, C]``, rows x columns x frames, or ``[12, C]`` of a separable kernel."""
    from vov3d.fused.kernels import depthwise_weight_gradient

    clips, _, channels = before.y.shape
    block = _block(TAPS, columns=channels)
    tiles = -(-walk.strided.rows * walk.strided.columns // block["ROWS"])
    parts, taps = min(WEIGHT_PARTS, clips * tiles), 12 if walk.separable else 27
    gradient = before.y.new_empty(parts, taps, channels, dtype=accumulator(before.y.dtype))
    depthwise_weight_gradient[parts, -(-channels // block["COLUMNS"])](
        *(*after.tensors, before.y.contiguous(), walk.taps, before.scale, before.shift, gradient),
        *(*walk.lengths, channels, tiles, clips * tiles, parts),
        **_walking(before, walk, block),
    )
    summed = gradient.sum(0)
    return summed if walk.separable else summed.unflatten(0, (9, 3)).transpose(0, 1).flatten(0, 1)


def residual(y: Tensor, scale: Tensor, shift: Tensor, shortcut: Tensor | None, out: Tensor) -> Tensor:
    """Write ``relu(y * scale + shift + shortcut)`` to out and return it."""
    from vov3d.fused.kernels import residual_forward

    clips, positions, channels = y.shape
    block = _block(RESIDUAL, columns=channels)
    tiles = -(-positions // block["ROWS"])
    shortcut = shortcut if shortcut is None else even_rows(shortcut)
    residual_forward[clips * tiles, -(-channels // block["COLUMNS"])](
        *(y, scale, shift, shortcut, out, positions, channels),
        *(channels if shortcut is None else shortcut.stride(1), out.stride(1), tiles),
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
    block = _block(RESIDUAL, columns=channels)
    tiles = -(-positions // block["ROWS"])
    g, through = even_rows(g), through if through is None else even_rows(through)
    gradient = torch.empty_like(y)
    of_shortcut = torch.empty_like(y) if has_shortcut else None
    sums = _sums(y, tiles, channels)
    residual_gradient[clips * tiles, -(-channels // block["COLUMNS"])](
        *(g, out, y, scale, through, gradient, of_shortcut, sums, positions, channels),
        *(g.stride(1), out.stride(1), channels if through is None else through.stride(1), tiles),
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


def depthwise_block(channels: int) -> dict[str, int]:
    """Return the shape of a tile of the depthwise kernels: smaller where rows of channels are not aligned."""
    return _block({**DEPTHWISE, "rows": DEPTHWISE["rows"] // (1 if channels % 8 == 0 else 2)}, columns=channels)


def _block(most: dict[str, int], **counts: int) -> dict[str, int]:
    """Return the shape of a tile: powers of two from 16 that hold the counts, up to the most."""
    held = {axis: min(most[axis], max(16, 1 << (count - 1).bit_length())) for axis, count in counts.items()}
    return {axis.upper(): held.get(axis, size) for axis, size in most.items()}


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
        "ACT": before.activation,
        "ACC": _types(before.y.dtype)["ACC"],
        **block,
    }
