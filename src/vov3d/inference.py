"""From the views of videos to the probabilities of their classes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from vov3d.data.views import Views
from vov3d.models import ClipClassifier
from vov3d.optimize import Optimized

Network: TypeAlias = "ClipClassifier | Optimized"
"""What gives logits of clips."""

Activation = Literal["softmax", "sigmoid"]
"""From logits to probabilities: shares of one whole, or one of its own for each class; ``train.loss`` of a recipe."""


VIEWS_AT_ONCE = 8
"""How many views a network computes at the same time by default, if they are small or on a GPU."""

VALUES_AT_ONCE = 1 << 21
"""Frames times pixels of the views that a CPU computes at the same time, two at least: more leave its caches."""

MANY_VIEWS = 4
"""From so many views of a video on, decoding it takes little of the time (benchmarks/from_file.py)."""


@torch.no_grad()
def video_probabilities(
    model: Network,
    videos: Sequence[Views],
    device: torch.device,
    window: tuple[int, int, int] | None,
    activation: Activation = "softmax",
    *,
    views_at_once: int | None = None,
) -> list[Tensor]:
    """Return the class probabilities of videos: softmax or sigmoid at every position, mean over positions and views.

    Shape: for each video ``[K]``, on the CPU in float64.

    Args:
        model: the network, in evaluation mode.
        videos: the views of each video.
        device: where the network is.
        window: pooling window of the head; ``None`` pools over the whole map.
        activation: what makes probabilities of logits.
        views_at_once: most views that the network sees at the same time; by default 8, on a CPU 2 if they are large.
    """
    if not videos:
        return []
    there = [views.to(device) for views in videos]
    of_views = []
    for batch in _batches(there, views_at_once or _default_at_once(videos[0], device)):
        clips = torch.cat([views.on(device) for views in batch]).to(model.dtype)
        logits = model(clips)[:, None] if window is None else model.position_logits(clips, window)  # [V,P,K]
        values = logits.cpu().double()
        of_views.append((values.sigmoid() if activation == "sigmoid" else values.softmax(-1)).mean(1))
    return [of_video.mean(0) for of_video in torch.cat(of_views).split([len(views) for views in videos])]


def _default_at_once(views: Views, device: torch.device) -> int:
    if device.type != "cpu":
        return VIEWS_AT_ONCE
    return min(max(VALUES_AT_ONCE // (views.places.shape[1] * views.crop**2), 2), VIEWS_AT_ONCE)


def _batches(videos: Sequence[Views], most: int) -> Iterator[list[Views]]:
    """Yield the views of videos in their order, so many at a time at most."""
    batch: list[Views] = []
    for part in (part for views in videos for part in views.split(most)):
        if sum(map(len, batch)) + len(part) > most:
            yield batch
            batch = []
        batch.append(part)
    yield batch


def default_workers() -> int:
    """Return how many processes decode by default: half of the cores, at most 8, shared by those of `torchrun`."""
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return min(8, max(1, _cores() // 2 // processes))


@contextmanager
def threads_beside(workers: int, num_views: int = 1) -> Iterator[None]:
    """Let torch use the cores that decoding leaves; more threads than cores wait for each other at every layer.

    Where the network computes many views of each video, decoding is a small part of it, and takes no core away.

    Args:
        workers: processes that decode.
        num_views: of a video.
    """
    before = torch.get_num_threads()
    taken = workers if num_views < MANY_VIEWS else 0
    torch.set_num_threads(max(1, min(before, _cores() - taken)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
