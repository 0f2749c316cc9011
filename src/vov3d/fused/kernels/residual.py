"""The sum that ends a unit, and its gradients."""

from __future__ import annotations

import triton
import triton.language as tl

from vov3d.fused.kernels.arithmetic import relu, store_pair, vector


@triton.jit(do_not_specialize=["S", "tiles"])
def residual_forward(
    y,  # [N, S, C]
    scale,  # [N, C]
    shift,
    shortcut,  # [N, S, C], rows `pitch` apart
    out,  # [N, S, C], rows `out_pitch` apart
    S,
    C: tl.constexpr,
    pitch: tl.constexpr,
    out_pitch: tl.constexpr,
    tiles,
    SHORTCUT: tl.constexpr,
    ACC: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Write ``relu(y * scale + shift + shortcut)``."""
    tile = tl.program_id(0)
    clip = (tile // tiles).to(tl.int64)
    rows = (clip * S + (tile % tiles) * ROWS + tl.arange(0, ROWS))[:, None]
    columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    written = (rows < (clip + 1) * S) & (columns < C)[None, :]
    total = tl.load(y + rows * C + columns[None, :], mask=written, other=0.0).to(ACC)
    total = total * vector(scale, clip, columns, C, ACC) + vector(shift, clip, columns, C, ACC)
    if SHORTCUT:
        total += tl.load(shortcut + rows * pitch + columns[None, :], mask=written, other=0.0).to(ACC)
    tl.store(out + rows * out_pitch + columns[None, :], relu(total).to(out.dtype.element_ty), mask=written)


@triton.jit(do_not_specialize=["S", "tiles"])
def residual_gradient(
    g,  # [N, S, C], rows `g_pitch` apart
    out,  # [N, S, C], rows `out_pitch` apart
    y,  # [N, S, C]
    scale,  # [N, C]
    through,  # [N, S, C], rows `through_pitch` apart: what else the gradient of the shortcut is
    gradient,  # [N, S, C]: of y
    shortcut_gradient,  # [N, S, C]
    sums,  # [N, tiles, 2, C]: gradients of scale and shift
    S,
    C: tl.constexpr,
    g_pitch: tl.constexpr,
    out_pitch: tl.constexpr,
    through_pitch: tl.constexpr,
    tiles,
    SHORTCUT: tl.constexpr,
    THROUGH: tl.constexpr,
    ACC: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Write the gradients of y, scale, shift and the shortcut."""
    tile = tl.program_id(0)
    clip = (tile // tiles).to(tl.int64)
    rows = (clip * S + (tile % tiles) * ROWS + tl.arange(0, ROWS))[:, None]
    columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    written = (rows < (clip + 1) * S) & (columns < C)[None, :]
    total = tl.load(g + rows * g_pitch + columns[None, :], mask=written, other=0.0).to(ACC)
    positive = tl.load(out + rows * out_pitch + columns[None, :], mask=written, other=0.0).to(ACC)
    total = tl.where(positive > 0.0, total, 0.0)
    value = tl.load(y + rows * C + columns[None, :], mask=written, other=0.0).to(ACC)
    store_pair(sums, clip * tiles + tile % tiles, columns, C, total * value, total)
    places = rows * C + columns[None, :]
    by = vector(scale, clip, columns, C, ACC)
    tl.store(gradient + places, (total * by).to(gradient.dtype.element_ty), mask=written)
    if SHORTCUT:
        if THROUGH:
            total += tl.load(through + rows * through_pitch + columns[None, :], mask=written, other=0.0).to(ACC)
        tl.store(shortcut_gradient + places, total.to(shortcut_gradient.dtype.element_ty), mask=written)
