"""Triton kernels of the fused training step; `vov3d.fused.operators` gives them gradients.

::

    y ──> act(y * scale + shift) ──> convolution ──> out, sums of out
          └── prologue: what stands between two convolutions, never written to memory

Activations are rows ``[N, S, C]`` in channels-last memory, S positions (frames, rows, columns) of each clip. Norm,
squeeze-and-excitation, Swish, ReLU and stochastic depth together are one scale and shift for each clip and channel,
followed by an activation: ``ACT`` 0 none, 1 ReLU, 2 Swish. Every kernel also leaves the sums over positions that the
next norm, or the gradient of this one, needs; each program writes its own, so results do not depend on their order.

The gradient of a convolution's output arrives as ``g + alpha + beta * out``: g from its reader, the rest, for each clip
and channel, from the norm over it.

Axis legend: N clips, S positions, T frames, K input channels, C output channels; ``ACC`` is the type of sums.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def activate(u, ACT: tl.constexpr):
    """Return ``act(u)``."""
    if ACT == 1:
        return tl.maximum(u, 0.0)
    if ACT == 2:
        return u / (1.0 + tl.exp(-u))
    return u


@triton.jit
def slope(u, ACT: tl.constexpr):
    """Return the derivative of ``act`` at u."""
    if ACT == 1:
        return tl.where(u > 0.0, 1.0, 0.0).to(u.dtype)
    if ACT == 2:
        gate = 1.0 / (1.0 + tl.exp(-u))
        return gate * (1.0 + u * (1.0 - gate))
    return tl.full(u.shape, 1.0, u.dtype)


@triton.jit
def product(a, b, total, DOT: tl.constexpr):
    """Return ``total + a @ b`` with factors of type DOT."""
    return tl.dot(a.to(DOT), b.to(DOT), total, input_precision="ieee", out_dtype=total.dtype)


@triton.jit
def vector(pointer, clip, channels, count, ACC: tl.constexpr):
    """Return what a clip has for some channels, as one row."""
    return tl.load(pointer + clip * count + channels, mask=channels < count, other=0.0).to(ACC)[None, :]


@triton.jit
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
    kept = tl.where(written, rounded.to(ACC), 0.0)
    store_pair(sums, tile, columns, C, tl.sum(kept, axis=0), tl.sum(kept * kept, axis=0))


@triton.jit
def store_pair(sums, tile, columns, count, first, second):
    """Write two sums of a tile."""
    place = sums + tile.to(tl.int64) * 2 * count + columns
    tl.store(place, first, mask=columns < count)
    tl.store(place + count, second, mask=columns < count)


@triton.jit
def total_gradient(g, out, alpha, beta, clip, places, channels, seen, C, ACC: tl.constexpr):
    """Return ``g + alpha + beta * out`` where seen, zero elsewhere."""
    from_reader = tl.load(g + places, mask=seen, other=0.0).to(ACC)
    value = tl.load(out + places, mask=seen, other=0.0).to(ACC)
    total = from_reader + vector(alpha, clip, channels, C, ACC) + vector(beta, clip, channels, C, ACC) * value
    return tl.where(seen, total, 0.0)


@triton.jit
def pointwise_input_gradient(
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
    S,
    K: tl.constexpr,
    C: tl.constexpr,
    pitch: tl.constexpr,
    through_pitch: tl.constexpr,
    tiles,
    AFFINE: tl.constexpr,
    ACT: tl.constexpr,
    THROUGH: tl.constexpr,
    ACC: tl.constexpr,
    DOT: tl.constexpr,
    ROWS: tl.constexpr,
    INNER: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Write the gradients of y, scale and shift."""
    tile = tl.program_id(0)
    clip = (tile // tiles).to(tl.int64)
    rows = (tile % tiles) * ROWS + tl.arange(0, ROWS)
    columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside = (rows < S)[:, None]
    total = tl.zeros((ROWS, COLUMNS), ACC)
    for start in range(0, C, INNER):
        inner = start + tl.arange(0, INNER)
        seen = inside & (inner < C)[None, :]
        places = clip * S * C + rows[:, None] * C + inner[None, :]
        a = total_gradient(g, out, alpha, beta, clip, places, inner, seen, C, ACC)
        some = (inner < C)[:, None] & (columns < K)[None, :]
        b = tl.load(weight + inner[:, None] * K + columns[None, :], mask=some, other=0.0)
        total = product(a, b, total, DOT)
    written = inside & (columns < K)[None, :]
    if AFFINE:
        value = tl.load(y + clip * S * pitch + rows[:, None] * pitch + columns[None, :], mask=written, other=0.0).to(
            ACC
        )
        by = vector(scale, clip, columns, K, ACC)
        total = tl.where(written, total * slope(value * by + vector(shift, clip, columns, K, ACC), ACT), 0.0)
        store_pair(sums, tile, columns, K, tl.sum(total * value, axis=0), tl.sum(total, axis=0))
        total = total * by
    if THROUGH:
        places = clip * S * through_pitch + rows[:, None] * through_pitch + columns[None, :]
        total += tl.load(through + places, mask=written, other=0.0).to(ACC)
    places = clip * S * K + rows[:, None] * K + columns[None, :]
    tl.store(gradient + places, total.to(gradient.dtype.element_ty), mask=written)


@triton.jit
def pointwise_weight_gradient(
    g,  # [N, S, C]
    out,
    alpha,  # [N, C]
    beta,
    y,  # [N, S, K], rows `pitch` apart
    scale,  # [N, K]
    shift,
    gradient,  # [parts, C, K]
    S,
    K: tl.constexpr,
    C: tl.constexpr,
    pitch: tl.constexpr,
    tiles,
    num_tiles,
    parts,
    AFFINE: tl.constexpr,
    ACT: tl.constexpr,
    ACC: tl.constexpr,
    DOT: tl.constexpr,
    ROWS: tl.constexpr,
    INNER: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Write, for each part of the tiles, the gradient of the weight: INNER rows and COLUMNS columns of it."""
    part = tl.program_id(0)
    channels = tl.program_id(1) * INNER + tl.arange(0, INNER)
    columns = tl.program_id(2) * COLUMNS + tl.arange(0, COLUMNS)
    total = tl.zeros((INNER, COLUMNS), ACC)
    for tile in range(part, num_tiles, parts):
        clip = (tile // tiles).to(tl.int64)
        rows = (tile % tiles) * ROWS + tl.arange(0, ROWS)
        inside = (rows < S)[:, None]
        places = clip * S * C + rows[:, None] * C + channels[None, :]
        a = total_gradient(g, out, alpha, beta, clip, places, channels, inside & (channels < C)[None, :], C, ACC)
        seen = inside & (columns < K)[None, :]
        b = tl.load(y + clip * S * pitch + rows[:, None] * pitch + columns[None, :], mask=seen, other=0.0).to(ACC)
        if AFFINE:
            b = activate(b * vector(scale, clip, columns, K, ACC) + vector(shift, clip, columns, K, ACC), ACT)
            b = tl.where(seen, b, 0.0)
        total = product(tl.trans(a), b, total, DOT)
    place = gradient + part.to(tl.int64) * C * K + channels[:, None] * K + columns[None, :]
    tl.store(place, total, mask=(channels < C)[:, None] & (columns < K)[None, :])


@triton.jit
def tap(weight, frame, index, channels, C, ACC: tl.constexpr):
    """Return one tap of a depthwise kernel [3, 9, C] (frames, rows x columns) for some channels, as one row."""
    return tl.load(weight + (frame * 9 + index) * C + channels, mask=channels < C, other=0.0).to(ACC)[None, :]


@triton.jit
def combine(weight, spatial, channels, C, SEPARABLE: tl.constexpr, ACC: tl.constexpr):
    """Return what a frame gives to the next, to itself and to the one before.

    ``weight`` of a separable kernel holds the taps in space in its first frame, those in time in the second.
    """
    if SEPARABLE:
        flat = spatial[0]
        combined = (
            flat * tap(weight, 1, 0, channels, C, ACC),
            flat * tap(weight, 1, 1, channels, C, ACC),
            flat * tap(weight, 1, 2, channels, C, ACC),
        )
    else:
        combined = spatial
    return combined


@triton.jit
def depthwise_forward(
    y,  # [N, T, H, W, C]
    weight,  # [3, 9, C]
    scale,  # [N, C]
    shift,
    out,  # [N, T, HO, WO, C]
    sums,  # [N, tiles, 2, C]
    T,
    H,
    W,
    HO,
    WO,
    C: tl.constexpr,
    tiles,
    STRIDE: tl.constexpr,
    SEPARABLE: tl.constexpr,
    ACT: tl.constexpr,
    ACC: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Write the depthwise 3x3x3 convolution of ``act(y * scale + shift)``; each frame is read once by each program."""
    tile = tl.program_id(0)
    clip = (tile // tiles).to(tl.int64)
    rows = (tile % tiles) * ROWS + tl.arange(0, ROWS)
    columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    written = (rows < HO * WO)[:, None] & (columns < C)[None, :]
    by = vector(scale, clip, columns, C, ACC)
    plus = vector(shift, clip, columns, C, ACC)
    nothing = tl.zeros((ROWS, COLUMNS), ACC)
    before, now = nothing, nothing
    first, second = nothing, nothing
    for frame in range(T + 1):
        times = tl.zeros((ROWS,), tl.int32) + frame
        if SEPARABLE:
            spatial = (nothing,)
        else:
            spatial = (nothing, nothing, nothing)
        for index in tl.static_range(9):
            row = (rows // WO) * STRIDE + index // 3 - 1
            column = (rows % WO) * STRIDE + index % 3 - 1
            seen = written & ((row >= 0) & (row < H) & (column >= 0) & (column < W) & (times < T))[:, None]
            places = ((clip * T + frame) * H * W + row * W + column)[:, None] * C + columns[None, :]
            value = tl.load(y + places, mask=seen, other=0.0).to(ACC)
            value = tl.where(seen, activate(value * by + plus, ACT), 0.0)
            if SEPARABLE:
                spatial = (spatial[0] + value * tap(weight, 0, index, columns, C, ACC),)
            else:
                spatial = (
                    spatial[0] + value * tap(weight, 0, index, columns, C, ACC),
                    spatial[1] + value * tap(weight, 1, index, columns, C, ACC),
                    spatial[2] + value * tap(weight, 2, index, columns, C, ACC),
                )
        later, same, earlier = combine(weight, spatial, columns, C, SEPARABLE, ACC)
        rounded = (before + earlier).to(out.dtype.element_ty)
        place = ((clip * T + frame - 1) * HO * WO + rows)[:, None] * C + columns[None, :]
        ready = written & (times > 0)[:, None]
        tl.store(out + place, rounded, mask=ready)
        kept = tl.where(ready, rounded.to(ACC), 0.0)
        first += kept
        second += kept * kept
        before = now + same
        now = later
    store_pair(sums, tile, columns, C, tl.sum(first, axis=0), tl.sum(second, axis=0))


@triton.jit
def depthwise_input_gradient(
    g,  # [N, T, HO, WO, C]
    out,
    alpha,  # [N, C]
    beta,
    y,  # [N, T, H, W, C]
    weight,  # [3, 9, C]
    scale,  # [N, C]
    shift,
    gradient,  # [N, T, H, W, C]
    sums,  # [N, tiles, 2, C]
    T,
    H,
    W,
    HO,
    WO,
    C: tl.constexpr,
    tiles,
    STRIDE: tl.constexpr,
    SEPARABLE: tl.constexpr,
    ACT: tl.constexpr,
    ACC: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Write the gradients of y, scale and shift: the same walk over the frames of g, with the kernel turned around."""
    tile = tl.program_id(0)
    clip = (tile // tiles).to(tl.int64)
    rows = (tile % tiles) * ROWS + tl.arange(0, ROWS)
    columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    written = (rows < H * W)[:, None] & (columns < C)[None, :]
    by = vector(scale, clip, columns, C, ACC)
    plus = vector(shift, clip, columns, C, ACC)
    nothing = tl.zeros((ROWS, COLUMNS), ACC)
    before, now = nothing, nothing
    first, second = nothing, nothing
    for frame in range(T + 1):
        times = tl.zeros((ROWS,), tl.int32) + frame
        if SEPARABLE:
            spatial = (nothing,)
        else:
            spatial = (nothing, nothing, nothing)
        for index in tl.static_range(9):
            row = rows // W + 1 - index // 3
            column = rows % W + 1 - index % 3
            within = (row >= 0) & (column >= 0) & (row % STRIDE == 0) & (column % STRIDE == 0)
            row = row // STRIDE
            column = column // STRIDE
            seen = written & (within & (row < HO) & (column < WO) & (times < T))[:, None]
            places = ((clip * T + frame) * HO * WO + row * WO + column)[:, None] * C + columns[None, :]
            value = total_gradient(g, out, alpha, beta, clip, places, columns, seen, C, ACC)
            if SEPARABLE:
                spatial = (spatial[0] + value * tap(weight, 0, index, columns, C, ACC),)
            else:
                spatial = (
                    spatial[0] + value * tap(weight, 0, index, columns, C, ACC),
                    spatial[1] + value * tap(weight, 1, index, columns, C, ACC),
                    spatial[2] + value * tap(weight, 2, index, columns, C, ACC),
                )
        earlier, same, later = combine(weight, spatial, columns, C, SEPARABLE, ACC)
        ready = written & (times > 0)[:, None]
        place = ((clip * T + frame - 1) * H * W + rows)[:, None] * C + columns[None, :]
        value = tl.load(y + place, mask=ready, other=0.0).to(ACC)
        total = tl.where(ready, (before + earlier) * slope(value * by + plus, ACT), 0.0)
        tl.store(gradient + place, (total * by).to(gradient.dtype.element_ty), mask=ready)
        first += total * value
        second += total
        before = now + same
        now = later
    store_pair(sums, tile, columns, C, tl.sum(first, axis=0), tl.sum(second, axis=0))


@triton.jit
def depthwise_weight_gradient(
    g,  # [N, T, HO, WO, C]
    out,
    alpha,  # [N, C]
    beta,
    y,  # [N, T, H, W, C]
    weight,  # [3, 9, C]
    scale,  # [N, C]
    shift,
    gradient,  # [parts, 27, C], or 12 where the kernel is separable: 9 in space, 3 in time
    T,
    H,
    W,
    HO,
    WO,
    C: tl.constexpr,
    tiles,
    num_tiles,
    parts,
    STRIDE: tl.constexpr,
    SEPARABLE: tl.constexpr,
    ACT: tl.constexpr,
    ACC: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Write, for each part of the tiles, the gradient of the kernel."""
    part = tl.program_id(0)
    columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    nothing = tl.zeros((ROWS, COLUMNS), ACC)
    taps: tl.constexpr = 12 if SEPARABLE else 27
    totals = ()
    for _ in tl.static_range(taps):
        totals = totals + (nothing,)
    for tile in range(part, num_tiles, parts):
        clip = (tile // tiles).to(tl.int64)
        rows = (tile % tiles) * ROWS + tl.arange(0, ROWS)
        written = (rows < HO * WO)[:, None] & (columns < C)[None, :]
        by = vector(scale, clip, columns, C, ACC)
        plus = vector(shift, clip, columns, C, ACC)
        place = (clip * T * HO * WO + rows)[:, None] * C + columns[None, :]
        earlier = nothing
        now = total_gradient(g, out, alpha, beta, clip, place, columns, written, C, ACC)
        for frame in range(T):
            times = tl.zeros((ROWS,), tl.int32) + frame
            following = written & (times + 1 < T)[:, None]
            place += HO * WO * C
            later = total_gradient(g, out, alpha, beta, clip, place, columns, following, C, ACC)
            around = (later, now, earlier)
            spatial = nothing
            if SEPARABLE:
                mixed = later * tap(weight, 1, 0, columns, C, ACC) + now * tap(weight, 1, 1, columns, C, ACC)
                mixed += earlier * tap(weight, 1, 2, columns, C, ACC)
            new = ()
            for index in tl.static_range(9):
                row = (rows // WO) * STRIDE + index // 3 - 1
                column = (rows % WO) * STRIDE + index % 3 - 1
                seen = written & ((row >= 0) & (row < H) & (column >= 0) & (column < W))[:, None]
                places = ((clip * T + frame) * H * W + row * W + column)[:, None] * C + columns[None, :]
                value = tl.load(y + places, mask=seen, other=0.0).to(ACC)
                value = tl.where(seen, activate(value * by + plus, ACT), 0.0)
                if SEPARABLE:
                    spatial += value * tap(weight, 0, index, columns, C, ACC)
                    new = new + (totals[index] + value * mixed,)
                else:
                    for step in tl.static_range(3):
                        new = new + (totals[index * 3 + step] + value * around[step],)
            if SEPARABLE:
                for step in tl.static_range(3):
                    new = new + (totals[9 + step] + spatial * around[step],)
            totals = new
            earlier = now
            now = later
    for index in tl.static_range(taps):
        place = gradient + (part.to(tl.int64) * taps + index) * C + columns
        tl.store(place, tl.sum(totals[index], axis=0), mask=columns < C)


@triton.jit
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
    positive = tl.maximum(total, 0.0).to(out.dtype.element_ty)
    tl.store(out + rows * out_pitch + columns[None, :], positive, mask=written)


@triton.jit
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
    store_pair(sums, tile, columns, C, tl.sum(total * value, axis=0), tl.sum(total, axis=0))
    places = rows * C + columns[None, :]
    by = vector(scale, clip, columns, C, ACC)
    tl.store(gradient + places, (total * by).to(gradient.dtype.element_ty), mask=written)
    if SHORTCUT:
        if THROUGH:
            total += tl.load(through + rows * through_pitch + columns[None, :], mask=written, other=0.0).to(ACC)
        tl.store(shortcut_gradient + places, total.to(shortcut_gradient.dtype.element_ty), mask=written)
