"""A depthwise 3x3x3 convolution, or one in space and then in time, and all its gradients in one pass.

A program walks through the frames of a rectangle of pixels and reads each frame once: its nine neighbours in space give
something to the frame after, to the frame itself and to the frame before. The gradient walks through the frames of g in
the same way, with the kernel turned around; what it multiplies with its nine neighbours for the gradient of the kernel
is y at its own pixels, of three frames.
"""

from __future__ import annotations

import triton
import triton.language as tl

from vov3d.fused.kernels.arithmetic import activate, several, slope, store_pair, total_gradient, vector


@triton.jit
def pixels(tile, W, HEIGHT: tl.constexpr, WIDTH: tl.constexpr):
    """Return the rows and columns of a tile of HEIGHT x WIDTH pixels."""
    across = (W + WIDTH - 1) // WIDTH
    index = tl.arange(0, HEIGHT * WIDTH)
    return (tile // across) * HEIGHT + index // WIDTH, (tile % across) * WIDTH + index % WIDTH


@triton.jit
def tap(weight, frame, index, channels, C, ACC: tl.constexpr):
    """Return one tap of a depthwise kernel [3, 9, C] (frames, rows x columns) for some channels, as one row."""
    return tl.load(weight + (frame * 9 + index) * C + channels, mask=channels < C, other=0.0).to(ACC)[None, :]


@triton.jit
def weighed(spatial, value, weight, index, channels, C, SEPARABLE: tl.constexpr, ACC: tl.constexpr):
    """Add a neighbour, by its taps, to the sums over space: one sum, or one for each frame of the kernel."""
    added = ()
    for frame in tl.static_range(1 if SEPARABLE else 3):
        added = added + (spatial[frame] + value * tap(weight, frame, index, channels, C, ACC),)
    return added


@triton.jit
def over_time(weight, spatial, channels, C, SEPARABLE: tl.constexpr, ACC: tl.constexpr):
    """Return what a frame gives by the first, the second and the third frame of the kernel.

    ``weight`` of a separable kernel holds the taps in space in its first frame, those in time in the second.
    """
    if SEPARABLE:
        given = ()
        for frame in tl.static_range(3):
            given = given + (spatial[0] * tap(weight, 1, frame, channels, C, ACC),)
    else:
        given = spatial
    return given


@triton.jit(do_not_specialize=["T", "H", "W", "HO", "WO", "tiles"])
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
    SUMS: tl.constexpr,
    ACC: tl.constexpr,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """Write the convolution of ``act(y * scale + shift)``."""
    tile = tl.program_id(0)
    clip = (tile // tiles).to(tl.int64)
    down, across = pixels(tile % tiles, WO, HEIGHT, WIDTH)
    channels = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    written = ((down < HO) & (across < WO))[:, None] & (channels < C)[None, :]
    by, plus = vector(scale, clip, channels, C, ACC), vector(shift, clip, channels, C, ACC)
    nothing = tl.zeros((HEIGHT * WIDTH, CHANNELS), ACC)
    before, now, first, second = nothing, nothing, nothing, nothing
    for frame in range(T + 1):
        times = tl.zeros((HEIGHT * WIDTH,), tl.int32) + frame
        spatial = several(nothing, 1 if SEPARABLE else 3)
        for index in tl.static_range(9):
            row, column = down * STRIDE + (index // 3 - 1), across * STRIDE + (index % 3 - 1)
            seen = written & ((row >= 0) & (row < H) & (column >= 0) & (column < W) & (times < T))[:, None]
            places = ((clip * T + frame) * H * W + row * W + column)[:, None] * C + channels[None, :]
            value = tl.load(y + places, mask=seen, other=0.0).to(ACC)
            value = tl.where(seen, activate(value * by + plus, ACT), 0.0)
            spatial = weighed(spatial, value, weight, index, channels, C, SEPARABLE, ACC)
        later, same, earlier = over_time(weight, spatial, channels, C, SEPARABLE, ACC)
        rounded = (before + earlier).to(out.dtype.element_ty)
        place = ((clip * T + frame - 1) * HO * WO + down * WO + across)[:, None] * C + channels[None, :]
        ready = written & (times > 0)[:, None]
        tl.store(out + place, rounded, mask=ready)
        if SUMS:
            kept = tl.where(ready, rounded.to(ACC), 0.0)
            first += kept
            second += kept * kept
        before, now = now + same, later
    if SUMS:
        store_pair(sums, clip * tiles + tile % tiles, channels, C, first, second)


@triton.jit(do_not_specialize=["T", "H", "W", "HO", "WO", "tiles", "num_tiles", "parts"])
def depthwise_gradient(
    g,  # [N, T, HO, WO, C]
    out,
    alpha,  # [N, C]
    beta,
    y,  # [N, T, H, W, C]
    weight,  # [3, 9, C]
    scale,  # [N, C]
    shift,
    gradient,  # [N, T, H, W, C]
    sums,  # [N, tiles, 2, C]: gradients of scale and shift
    of_weight,  # [parts, 27, C], or 12 where the kernel is separable: 9 in space, 3 in time
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
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """Write the gradients of y, scale, shift and, for each part of the tiles, of the kernel."""
    part = tl.program_id(0)
    channels = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    nothing = tl.zeros((HEIGHT * WIDTH, CHANNELS), ACC)
    taps: tl.constexpr = 12 if SEPARABLE else 27
    of_taps = several(nothing, taps)
    for tile in range(part, num_tiles, parts):
        clip = (tile // tiles).to(tl.int64)
        down, across = pixels(tile % tiles, W, HEIGHT, WIDTH)
        written = ((down < H) & (across < W))[:, None] & (channels < C)[None, :]
        by, plus = vector(scale, clip, channels, C, ACC), vector(shift, clip, channels, C, ACC)
        own = (clip * T * H * W + down * W + across)[:, None] * C + channels[None, :]
        before, now, first, second, value, seen = nothing, nothing, nothing, nothing, nothing, nothing
        next_value = tl.load(y + own, mask=written, other=0.0).to(ACC)
        next_seen = tl.where(written, activate(next_value * by + plus, ACT), 0.0)
        for frame in range(T + 1):
            times = tl.zeros((HEIGHT * WIDTH,), tl.int32) + frame
            earlier_value, earlier_seen, value, seen = value, seen, next_value, next_seen
            following = written & (times + 1 < T)[:, None]
            next_value = tl.load(y + own + (frame + 1) * H * W * C, mask=following, other=0.0).to(ACC)
            next_seen = tl.where(following, activate(next_value * by + plus, ACT), 0.0)
            around = (earlier_seen, seen, next_seen)
            mixed = nothing
            if SEPARABLE:
                for step in tl.static_range(3):
                    mixed += around[step] * tap(weight, 1, step, channels, C, ACC)
            spatial = several(nothing, 1 if SEPARABLE else 3)
            added = ()
            for index in tl.static_range(9):
                row, column = down + (1 - index // 3), across + (1 - index % 3)
                within = (row >= 0) & (column >= 0) & (row % STRIDE == 0) & (column % STRIDE == 0)
                row, column = row // STRIDE, column // STRIDE
                given = written & (within & (row < HO) & (column < WO) & (times < T))[:, None]
                places = ((clip * T + frame) * HO * WO + row * WO + column)[:, None] * C + channels[None, :]
                a = total_gradient(g, out, alpha, beta, clip, places, channels, given, C, ACC)
                spatial = weighed(spatial, a, weight, index, channels, C, SEPARABLE, ACC)
                if SEPARABLE:
                    added = added + (of_taps[index] + a * mixed,)
                else:
                    for step in tl.static_range(3):
                        added = added + (of_taps[index * 3 + step] + a * around[step],)
            if SEPARABLE:
                for step in tl.static_range(3):
                    added = added + (of_taps[9 + step] + spatial[0] * around[step],)
            of_taps = added
            to_earlier, same, later = over_time(weight, spatial, channels, C, SEPARABLE, ACC)
            ready = written & (times > 0)[:, None]
            total = tl.where(ready, (before + to_earlier) * slope(earlier_value * by + plus, ACT), 0.0)
            place = gradient + own + (frame - 1) * H * W * C
            tl.store(place, (total * by).to(gradient.dtype.element_ty), mask=ready)
            first += total * earlier_value
            second += total
            before, now = now + same, later
        store_pair(sums, clip * tiles + tile % tiles, channels, C, first, second)
    for index in tl.static_range(taps):
        place = of_weight + (part.to(tl.int64) * taps + index) * C + channels
        tl.store(place, tl.sum(of_taps[index], axis=0), mask=channels < C)
