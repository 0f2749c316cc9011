"""Mixup and cutmix: each clip of a batch becomes a mixture with another one, and its target too.

Own code, because torchvision's transforms mix each clip with the one before it in the batch, which with repeated
augmentation may be of the same video, and draw from torch's global generator.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor


def mix(
    clips: Tensor, targets: Tensor, *, mixup: float, cutmix: float, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Mix each clip with another of the batch, all of the batch in the same way and proportion.

    If both alphas are given, the batch draws one of the two. Each clip is drawn once as the other one, now and then for
    itself, which leaves it as it is.

    Shape: ``[N, 3, T, H, W], [N, K] -> [N, 3, T, H, W], [N, K]``

    Args:
        clips: the batch.
        targets: of floating point, what the network shall answer: one class each, smoothed, or several.
        mixup: alpha of mixup's proportion, drawn from Beta(alpha, alpha); 0: no mixup.
        cutmix: alpha of cutmix's proportion; 0: no cutmix. With both 0 the very batch comes back.
        rng: the source of all draws.

    Source: Zhang et al., arXiv 1710.09412 (mixup); Yun et al., arXiv 1905.04899 (cutmix).
    """
    if mixup == 0 and cutmix == 0:
        return clips, targets
    pastes = cutmix > 0 and (mixup == 0 or rng.random() < 0.5)
    alpha = cutmix if pastes else mixup
    kept = float(rng.beta(alpha, alpha))
    others = torch.from_numpy(rng.permutation(len(clips))).to(clips.device)
    if pastes:
        mixed, kept = _paste(clips, clips[others], kept, rng)
    else:
        mixed = torch.lerp(clips[others], clips, kept)
    return mixed, torch.lerp(targets[others], targets, kept)


def _paste(clips: Tensor, others: Tensor, kept: float, rng: np.random.Generator) -> tuple[Tensor, float]:
    """Paste a box of the others, in all frames; return the share of the picture that is kept.

    The box has the picture's proportions and its middle anywhere in it; what lies outside is cut off.
    """
    height, width = clips.shape[-2:]
    rows = _cut(height, math.sqrt(1 - kept), rng)
    columns = _cut(width, math.sqrt(1 - kept), rng)
    mixed = clips.clone()
    mixed[..., rows, columns] = others[..., rows, columns]
    pasted = (rows.stop - rows.start) * (columns.stop - columns.start)
    return mixed, 1 - pasted / (height * width)


def _cut(length: int, share: float, rng: np.random.Generator) -> slice:
    """A share of a length with its middle anywhere, as far as it lies inside."""
    start = int(rng.integers(length)) - (size := round(share * length)) // 2
    return slice(max(start, 0), min(start + size, length))
