"""Where the pixels of a clip come from: sizes and offsets are planned first, then the pixels are moved once.

The resize happens inside the decoder, the crop is a view, and one pass turns the bytes that are left into a normalised
float clip. All planning is pure arithmetic and equals the published pipeline; only the interpolation differs from it
by a few grey levels, because the decoder resizes bytes before the colours are converted (`resize_clip` is the published
one).

H and W are the height and width of the frames in pixels, T the number of frames.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch.nn import functional as F

ShortSideLaw = Literal["uniform", "inverse_uniform"]


def short_side_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """Size after a resize of the shorter side to `short_side`; the longer one keeps the shape, rounded down.

    Returns:
        Height and width in pixels.
    """
    if min(height, width, short_side) < 1:
        raise ValueError(f"height={height}, width={width}, short_side={short_side}; each must be at least 1")
    if width <= height:
        return math.floor(height / width * short_side), short_side
    return short_side, math.floor(width / height * short_side)


def jittered_short_side(low: int, high: int, law: ShortSideLaw, rng: np.random.Generator) -> int:
    """Draw the length of the shorter side for one training clip.

    Args:
        low: shortest length in pixels.
        high: longest length in pixels.
        law: "uniform" draws the length itself, "inverse_uniform" its inverse, which favours short ones.
        rng: source of the draw.
    """
    if law == "uniform":
        return round(rng.uniform(low, high))
    return round(1 / rng.uniform(1 / high, 1 / low))


def crop_offsets(height: int, width: int, crop: int, num_crops: int) -> list[tuple[int, int]]:
    """Top left corners of the test crops: the centre, or three along the longer side (its two ends and the centre).

    Returns:
        `num_crops` pairs (y, x) in pixels.
    """
    _check_crop(height, width, crop)
    y, x = math.ceil((height - crop) / 2), math.ceil((width - crop) / 2)
    if num_crops == 1:
        return [(y, x)]
    if num_crops != 3:
        raise ValueError(f"num_crops={num_crops}; allowed are 1 (the centre) and 3 (along the longer side)")
    if height > width:
        return [(0, x), (y, x), (height - crop, x)]
    return [(y, 0), (y, x), (y, width - crop)]


def random_crop_offset(height: int, width: int, crop: int, rng: np.random.Generator) -> tuple[int, int]:
    """Draw the top left corner (y, x) of a training crop; as published, the last possible one is never drawn."""
    _check_crop(height, width, crop)
    return int(rng.integers(max(height - crop, 1))), int(rng.integers(max(width - crop, 1)))


def hflip(frames: torch.Tensor) -> torch.Tensor:
    """Mirror frames: the width in reverse.

    Shape:
        [..., W] -> [..., W]
    """
    return frames.flip(-1)


def normalise(frames: torch.Tensor, mean: float, std: float) -> torch.Tensor:
    """Turn bytes into a clip, (x / 255 - mean) / std, in one pass.

    Shape:
        uint8 [T, 3, H, W] -> float32 [3, T, H, W], channels-last in memory as decoded frames are: [T, H, W, 3]

    Args:
        frames: the frames of the clip; a crop of larger ones is welcome.
        mean: subtracted from every channel, on the scale of 0 to 1.
        std: divides every channel.
    """
    pixels = frames.permute(0, 2, 3, 1)
    clip = empty_clip(pixels.shape, pixels.device).copy_(pixels)
    torch.add(torch.tensor(-mean / std, device=frames.device), clip, alpha=1 / (255 * std), out=clip)
    return clip.permute(3, 0, 1, 2)


def empty_clip(shape: Sequence[int], device: torch.device) -> torch.Tensor:
    """Memory for float32 numbers; on the CPU it is NumPy's, which asks for huge pages.

    To be given a fresh 10 MB clip in pages of 4 KiB takes longer than to compute what goes into it.
    """
    if device.type == "cpu":
        return torch.from_numpy(np.empty(tuple(shape), np.float32))
    return torch.empty(tuple(shape), device=device)


def resize_clip(clip: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Resize a float clip as the published pipeline does: bilinear, corners not aligned, no antialiasing.

    Shape:
        float [3, T, H, W] -> float [3, T, *size]
    """
    return F.interpolate(clip, size=tuple(size), mode="bilinear", align_corners=False, antialias=False)


def _check_crop(height: int, width: int, crop: int) -> None:
    if not 1 <= crop <= min(height, width):
        raise ValueError(f"a crop of {crop} pixels does not fit into frames of {height} x {width}")
