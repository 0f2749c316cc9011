"""Squeeze-and-excitation in inference: from the sums that a convolution left to the scale and shift of its reader."""

from __future__ import annotations

import triton
import triton.language as tl

from vov3d.fused.kernels.arithmetic import relu


@triton.jit(do_not_specialize=["S", "tiles"])
def gate_forward(
    sums,  # [N, tiles, 2, C]: of out and of its square
    shift,  # [C]
    reduce,  # [R, C]
    reduce_bias,  # [R]
    expand,  # [C, R]
    expand_bias,  # [C]
    gates,  # [N, C]
    gated_shift,  # [N, C]
    S,
    C: tl.constexpr,
    R: tl.constexpr,
    tiles,
    TILES: tl.constexpr,
    CHANNELS: tl.constexpr,
    HIDDEN: tl.constexpr,
):
    """Write the gates that the means of ``out + shift`` give, and the shift times them; a program for each clip."""
    clip = tl.program_id(0).to(tl.int64)
    channels, hidden = tl.arange(0, CHANNELS), tl.arange(0, HIDDEN)
    total = tl.zeros((CHANNELS,), tl.float32)
    for start in range(0, tiles, TILES):
        some = start + tl.arange(0, TILES)
        places = (clip * tiles + some)[:, None] * 2 * C + channels[None, :]
        read = tl.load(sums + places, mask=(some < tiles)[:, None] & (channels < C)[None, :], other=0.0)
        total += tl.sum(read, axis=0)
    plus = tl.load(shift + channels, mask=channels < C, other=0.0)
    mean = total / S + plus
    some = (hidden < R)[:, None] & (channels < C)[None, :]
    first = tl.load(reduce + hidden[:, None] * C + channels[None, :], mask=some, other=0.0)
    seen = relu(tl.sum(first * mean[None, :], axis=1) + tl.load(reduce_bias + hidden, mask=hidden < R, other=0.0))
    second = tl.load(expand + channels[None, :] * R + hidden[:, None], mask=some, other=0.0)
    u = tl.sum(second * seen[:, None], axis=0) + tl.load(expand_bias + channels, mask=channels < C, other=0.0)
    gate = 1.0 / (1.0 + tl.exp(-u))
    tl.store(gates + clip * C + channels, gate, mask=channels < C)
    tl.store(gated_shift + clip * C + channels, gate * plus, mask=channels < C)
