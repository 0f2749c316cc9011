"""From the views of videos to the probabilities of their classes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor

from vov3d.models import ClipClassifier

Activation = Literal["softmax", "sigmoid"]
"""From logits to probabilities: shares of one whole, or one of its own for each class; ``train.loss`` of a recipe."""


@torch.no_grad()
def video_probabilities(
    model: ClipClassifier,
    videos: list[Tensor],
    device: torch.device,
    window: tuple[int, int, int] | None,
    activation: Activation = "softmax",
) -> list[Tensor]:
    """Return the class probabilities of videos: softmax or sigmoid at every position, mean over positions and views.

    Shape: each ``[V, 3, T, H, W] -> [K]``, on the CPU in float64.

    Args:
        model: the network, in evaluation mode.
        videos: the views of each video.
        device: where the network is.
        window: pooling window of the head; ``None`` pools over the whole map.
        activation: what makes probabilities of logits.
    """
    if not videos:
        return []
    clips = torch.cat(videos).to(device, next(model.parameters()).dtype)
    logits = model(clips)[:, None] if window is None else model.position_logits(clips, window)  # [N*V,P,K]
    values = logits.cpu().double()
    of_views = (values.sigmoid() if activation == "sigmoid" else values.softmax(-1)).mean(1)
    return [of_video.mean(0) for of_video in of_views.split([len(views) for views in videos])]


def default_workers() -> int:
    """Return how many processes decode by default: half of the cores, at most 8, shared by those of `torchrun`."""
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return min(8, max(1, _cores() // 2 // processes))


@contextmanager
def threads_beside(workers: int) -> Iterator[None]:
    """Let torch use the cores that decoding leaves; more threads than cores wait for each other at every layer.

    Args:
        workers: processes that decode.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, min(before, _cores() - workers)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
