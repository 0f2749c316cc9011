"""The fill and input rules of the golden numbers (tests/golden/README.md)."""

from __future__ import annotations

import zlib

import numpy as np
import torch
from numpy.random import PCG64, Generator
from torch import Tensor, nn

from vov3d.models.published import published_names


def filled_value(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The golden value of one published state-dict entry."""
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    z = Generator(PCG64(zlib.crc32(name.encode()))).standard_normal(shape)
    leaf = name.rpartition(".")[2]
    if leaf == "running_mean" or leaf == "bias":
        z = 0.1 * z
    elif leaf == "running_var":
        z = 1 + 0.1 * np.abs(z)
    elif len(shape) == 5:
        z = z / np.sqrt(np.prod(shape[1:]))
    elif len(shape) == 2:
        z = z * np.sqrt(2 / shape[1])
    else:
        z = 1 + 0.1 * z
    return z.astype(np.float32)


def fill(model: nn.Module) -> None:
    """Load the golden weights into a network."""
    state = model.state_dict()
    model.load_state_dict(
        {
            ours: torch.from_numpy(np.asarray(filled_value(name, tuple(state[ours].shape))))
            for ours, name in published_names(model).items()
        }
    )


def golden_clips(num_clips: int, num_frames: int, height: int, width: int, seed: int) -> Tensor:
    """The golden input, float32 [N,3,T,H,W]."""
    generator = Generator(PCG64(seed))
    p = generator.random((num_clips, 3, 5))[:, :, :, None, None, None]
    noise = generator.standard_normal((num_clips, 3, num_frames, height, width))
    t = (np.arange(num_frames) / num_frames)[:, None, None]
    h = (np.arange(height) / height)[None, :, None]
    w = (np.arange(width) / width)[None, None, :]
    phase = (0.25 + 2 * p[:, :, 0]) * w + (0.25 + 2 * p[:, :, 1]) * h + (4 * p[:, :, 2] - 2) * t + p[:, :, 3]
    x = 3 * p[:, :, 4] - 1.5 + 1.5 * np.sin(2 * np.pi * phase) + 0.3 * noise
    return torch.from_numpy(x.astype(np.float32))
