"""A network in front of a faster engine, for the videos that it is about to see."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

import torch

from vov3d.data.items import Broken
from vov3d.data.views import Views
from vov3d.errors import ArgumentError
from vov3d.models import ClipClassifier
from vov3d.optimize import Optimized, Precision, optimize

log = logging.getLogger("vov3d")

EXAMPLE_CLIPS = 2
CALIBRATION_CLIPS, CLIPS_OF_A_VIDEO = 32, 4


def fast_network(model: ClipClassifier, precision: Precision, videos: Iterable[Views | Broken]) -> Optimized | None:
    """Return an optimised network that was checked, and calibrated for int8, on some views of the videos.

    Labels are not looked at. The log says which back end it is and how far off.

    Args:
        model: the network, on its device.
        precision: of weights and activations.
        videos: decoded one after the other until there are enough clips.

    Returns:
        The network; ``None`` if no video could be decoded.
    """
    wanted = CALIBRATION_CLIPS if precision == "int8" else EXAMPLE_CLIPS
    clips: list[torch.Tensor] = []
    for video in videos:
        if isinstance(video, Views):
            clips.extend(video.views[:: -(-len(video) // CLIPS_OF_A_VIDEO)])
        if len(clips) >= wanted:
            break
    if not clips:
        return None
    shown = torch.stack(clips[:wanted]).to(next(model.parameters()).device)
    optimized = optimize(model, shown[:EXAMPLE_CLIPS], precision, calibration=shown)
    log.info("fast: %s", optimized)
    return optimized


def spread_over(count: int) -> Iterator[int]:
    """Yield all numbers below ``count``, those first that lie far apart."""
    step = max(1, count // (CALIBRATION_CLIPS // CLIPS_OF_A_VIDEO))
    for first in range(step):
        yield from range(first, count, step)


def device_for(fast: Precision | None, device: str) -> str:
    """Return the device to ask for: where a faster engine is wanted, a CUDA GPU if there is one, else the CPU.

    Raises:
        ArgumentError: there is no faster engine for the one asked for.
    """
    if fast is None:
        return device
    if device == "auto":
        return "cuda" if torch.cuda.is_available() and fast != "int8" else "cpu"
    if device != "cpu" and (fast == "int8" or not device.startswith("cuda")):
        where = "the CPU" if fast == "int8" else "CPUs and CUDA GPUs"
        raise ArgumentError(f"fast {fast!r} is for {where}, and the device is {device!r}; leave out one of them")
    return device
