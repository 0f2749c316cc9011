"""What is done to training clips so that a network looks at motion and not at scenes; all of it off by default."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def colour_jitter(clip: Tensor, strength: float, rng: np.random.Generator) -> Tensor:
    """Change the colours of a whole clip: gain and offset by channel, at times negative or with channels swapped.

    Shape: ``[3, T, H, W] -> [3, T, H, W]``

    Args:
        clip: normalised, with a standard deviation of about 1.
        strength: 0 leaves the clip as it is; gains lie within ``1 +- strength``, offsets within ``+- 2 strength``, and
            each of negative and swapped happens with probability ``0.75 strength``.
        rng: the source of all draws.
    """
    if strength == 0:
        return clip
    gain = torch.from_numpy(rng.uniform(1 - strength, 1 + strength, (3, 1, 1, 1)).astype(np.float32))
    offset = torch.from_numpy(rng.uniform(-2 * strength, 2 * strength, (3, 1, 1, 1)).astype(np.float32))
    sign = -1.0 if rng.random() < 0.75 * strength else 1.0
    channels = rng.permutation(3) if rng.random() < 0.75 * strength else np.arange(3)
    return (clip * (sign * gain) + offset)[torch.from_numpy(channels)]


def add_stills(clips: Tensor, strength: float, rng: np.random.Generator) -> Tensor:
    """Lay one frame of another clip of the batch, standing still, over all frames of each clip.

    What stands still then says nothing about the class, what moves says as much as before.

    Shape: ``[N, 3, T, H, W] -> [N, 3, T, H, W]``

    Args:
        clips: the batch.
        strength: largest weight of the still; each clip draws its own between 0 and this. 0 leaves the batch as it is.
        rng: the source of all draws.

    Source: after Wang et al., "Removing the Background by Adding the Background", arXiv 2009.05769, who take the still
        from the clip itself.
    """
    if strength == 0:
        return clips
    num_clips, num_frames = len(clips), clips.shape[2]
    weights = torch.from_numpy(rng.uniform(0, strength, (num_clips, 1, 1, 1, 1)).astype(np.float32)).to(clips)
    others = torch.from_numpy(rng.permutation(num_clips)).to(clips.device)
    stills = clips[others, :, int(rng.integers(num_frames))].unsqueeze(2)
    return torch.lerp(clips, stills.expand_as(clips), weights)
