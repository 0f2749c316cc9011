"""The sum of feature maps that are shifted in time, which a kernel of several frames is made of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx


def shifted_sum(taps: Sequence[Tensor], present: int) -> Tensor:
    """Return the sum over taps: output t has frame t + i - present of tap i. The present tap may be added to.

    Shape: ``t * [N, C, T, H, W] -> [N, C, T, H, W]``
    """
    if torch.is_grad_enabled() and taps[present].requires_grad:
        summed: Tensor = _ShiftedSum.apply(present, *taps)  # type: ignore[no-untyped-call]
        return summed
    return _add_shifted(taps[present], taps, present)


def _add_shifted(summed: Tensor, taps: Sequence[Tensor], present: int) -> Tensor:
    for offset, tap in enumerate(taps, start=-present):
        if offset < 0:
            summed[:, :, -offset:] += tap[:, :, :offset]
        elif offset > 0:
            summed[:, :, :-offset] += tap[:, :, offset:]
    return summed


class _ShiftedSum(torch.autograd.Function):
    """The sum of shifted taps; of additions into parts of a tensor autograd makes whole gradients twice over."""

    @staticmethod
    def forward(ctx: FunctionCtx, present: int, *taps: Tensor) -> Tensor:
        ctx.offsets = range(-present, len(taps) - present)  # type: ignore[attr-defined]
        return _add_shifted(taps[present].clone(), taps, present)

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return None, *(_delayed(gradient, offset) for offset in ctx.offsets)  # type: ignore[attr-defined]


def _delayed(clips: Tensor, frames: int) -> Tensor:
    """Return clips so many frames later, earlier where it is negative; what is not known is 0."""
    if frames == 0:
        return clips
    if abs(frames) >= clips.shape[2]:
        return torch.zeros_like(clips)
    delayed = torch.empty_like(clips)
    if frames > 0:
        delayed[:, :, :frames] = 0
        delayed[:, :, frames:] = clips[:, :, :-frames]
    else:
        delayed[:, :, frames:] = 0
        delayed[:, :, :frames] = clips[:, :, -frames:]
    return delayed
