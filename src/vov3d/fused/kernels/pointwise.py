"""A pointwise product with what stands before it, and all its gradients in one pass."""

from __future__ import annotations

import triton
import triton.language as tl

from vov3d.fused.kernels.arithmetic import activate, product, several, slope, store_pair, total_gradient, vector


@triton.jit(do_not_specialize=["S", "tiles"])
def pointwise_forward(
    y,  # [N, S, K], rows `pitch` apart
    weight,  # [C, K]
    scale,  # [N, K]
    shift,
    out,  # [N, S, C]
    sums,  # [N, tiles, 2, C]: of out and of its square
    S,
    K: tl.constexpr,
    C: tl.constexpr,
    pitch: tl.constexpr,
    tiles,
    AFFINE: tl.constexpr,
    ACT: tl.constexpr,
    SUMS: tl.constexpr,
    ACC: tl.constexpr,
    DOT: tl.constexpr,
    ROWS: tl.constexpr,
    INNER: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Write ``act(y * scale + shift) @ weight.T``."""
    tile = tl.program_id(0)
    clip = (tile // tiles).to(tl.int64)
    rows = (tile % tiles) * ROWS + tl.arange(0, ROWS)
    columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside = (rows < S)[:, None]
    total = tl.zeros((ROWS, COLUMNS), ACC)
    for start in range(0, K, INNER):
        inner = start + tl.arange(0, INNER)
        seen = inside & (inner < K)[None, :]
        a = tl.load(y + clip * S * pitch + rows[:, None] * pitch + inner[None, :], mask=seen, other=0.0).to(ACC)
        if AFFINE:
            a = activate(a * vector(scale, clip, inner, K, ACC) + vector(shift, clip, inner, K, ACC), ACT)
            a = tl.where(seen, a, 0.0)
        some = (inner < K)[:, None] & (columns < C)[None, :]
        b = tl.load(weight + columns[None, :] * K + inner[:, None], mask=some, other=0.0)
        total = product(a, b, total, DOT)
    written = inside & (columns < C)[None, :]
    rounded = total.to(out.dtype.element_ty)
    tl.store(out + clip * S * C + rows[:, None] * C + columns[None, :], rounded, mask=written)
    if SUMS:
        kept = tl.where(written, rounded.to(ACC), 0.0)
        store_pair(sums, clip * tiles + tile % tiles, columns, C, kept, kept * kept)


@triton.jit(do_not_specialize=["S", "tiles", "num_tiles", "parts"])
def pointwise_gradient(
    g,  # [N, S, C]
    out,
    alpha,  # [N, C]
    beta,
    y,  # [N, S, K], rows `pitch` apart
    weight,  # [C, K]
    scale,  # [N, K]
    shift,
    through,  # [N, S, K], rows `through_pitch` apart: what else the gradient of y is
    gradient,  # [N, S, K]: of y
    sums,  # [N, tiles, 2, K]: gradients of scale and shift
    of_weight,  # [parts, C, K]
    S,
    K: tl.constexpr,
    C: tl.constexpr,
    pitch: tl.constexpr,
    through_pitch: tl.constexpr,
    tiles,
    num_tiles,
    parts,
    AFFINE: tl.constexpr,
    ACT: tl.constexpr,
    THROUGH: tl.constexpr,
    ACC: tl.constexpr,
    DOT: tl.constexpr,
    ROWS: tl.constexpr,
    INNER: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Write the gradients of y, scale, shift and weight; a program keeps COLUMNS of the weight's while it walks."""
    columns = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    part = tl.program_id(1)
    chunks: tl.constexpr = (C + INNER - 1) // INNER
    of_chunks = several(tl.zeros((INNER, COLUMNS), ACC), chunks)
    for tile in range(part, num_tiles, parts):
        clip = (tile // tiles).to(tl.int64)
        rows = (tile % tiles) * ROWS + tl.arange(0, ROWS)
        inside = (rows < S)[:, None]
        written = inside & (columns < K)[None, :]
        value = tl.load(y + clip * S * pitch + rows[:, None] * pitch + columns[None, :], mask=written, other=0.0)
        value = value.to(ACC)
        seen = value
        if AFFINE:
            by = vector(scale, clip, columns, K, ACC)
            moved = value * by + vector(shift, clip, columns, K, ACC)
            seen = tl.where(written, activate(moved, ACT), 0.0)
        total = tl.zeros((ROWS, COLUMNS), ACC)
        added = ()
        for chunk in tl.static_range(chunks):
            inner = chunk * INNER + tl.arange(0, INNER)
            places = clip * S * C + rows[:, None] * C + inner[None, :]
            a = total_gradient(g, out, alpha, beta, clip, places, inner, inside & (inner < C)[None, :], C, ACC)
            some = (inner < C)[:, None] & (columns < K)[None, :]
            b = tl.load(weight + inner[:, None] * K + columns[None, :], mask=some, other=0.0)
            total = product(a, b, total, DOT)
            added = added + (product(tl.trans(a), seen, of_chunks[chunk], DOT),)
        of_chunks = added
        if AFFINE:
            total = tl.where(written, total * slope(moved, ACT), 0.0)
            store_pair(sums, clip * tiles + tile % tiles, columns, K, total * value, total)
            total = total * by
        if THROUGH:
            places = clip * S * through_pitch + rows[:, None] * through_pitch + columns[None, :]
            total += tl.load(through + places, mask=written, other=0.0).to(ACC)
        places = clip * S * K + rows[:, None] * K + columns[None, :]
        tl.store(gradient + places, total.to(gradient.dtype.element_ty), mask=written)
    for chunk in tl.static_range(chunks):
        inner = chunk * INNER + tl.arange(0, INNER)
        place = of_weight + part.to(tl.int64) * C * K + inner[:, None] * K + columns[None, :]
        tl.store(place, of_chunks[chunk], mask=(inner < C)[:, None] & (columns < K)[None, :])
