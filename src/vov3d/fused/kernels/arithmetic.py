"""What the kernels share: activations, products, rows of channels, sums."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def relu(u):
    """Return ``max(u, 0)``, NaN where u is."""
    return tl.where(u <= 0.0, 0.0, u)


@triton.jit
def activate(u, ACT: tl.constexpr):
    """Return ``act(u)``."""
    if ACT == 1:
        return relu(u)
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
    """Return ``total + a @ b`` with factors of type DOT; of float32 three products of parts, on tensor cores too."""
    if tl.float32 == DOT:
        return tl.dot(a.to(DOT), b.to(DOT), total, input_precision="tf32x3", out_dtype=total.dtype)
    return tl.dot(a.to(DOT), b.to(DOT), total, out_dtype=total.dtype)


@triton.jit
def vector(pointer, clip, channels, count, ACC: tl.constexpr):
    """Return what a clip has for some channels, as one row."""
    return tl.load(pointer + clip * count + channels, mask=channels < count, other=0.0).to(ACC)[None, :]


@triton.jit
def store_pair(sums, tile, channels, count, first, second):
    """Write the sums of two values over the rows of a tile, whose number has 64 bits."""
    place = sums + tile * 2 * count + channels
    tl.store(place, tl.sum(first, axis=0), mask=channels < count)
    tl.store(place + count, tl.sum(second, axis=0), mask=channels < count)


@triton.jit
def total_gradient(g, out, alpha, beta, clip, places, channels, seen, C, ACC: tl.constexpr):
    """Return ``g + alpha + beta * out`` where seen, zero elsewhere."""
    from_reader = tl.load(g + places, mask=seen, other=0.0).to(ACC)
    value = tl.load(out + places, mask=seen, other=0.0).to(ACC)
    total = from_reader + vector(alpha, clip, channels, C, ACC) + vector(beta, clip, channels, C, ACC) * value
    return tl.where(seen, total, 0.0)


@triton.jit
def several(value, COUNT: tl.constexpr):
    """Return a value COUNT times."""
    values = ()
    for _ in tl.static_range(COUNT):
        values = values + (value,)
    return values
