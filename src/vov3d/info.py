"""``vov3d info MODEL``: what a network costs."""

from __future__ import annotations

import platform
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from vov3d.checkpoint import JSON, read_checkpoint
from vov3d.errors import ArgumentError
from vov3d.models import ClipClassifier
from vov3d.models.counting import count_activations, count_gmacs, count_parameters
from vov3d.trained import load_network
from vov3d.weights import Weights, find_weights

REPEATS = 5


@dataclass(frozen=True)
class ModelInfo:
    """What a network costs for one clip.

    Attributes:
        name: name of the model.
        causal: whether no frame sees a later one, so that it can stream.
        num_classes: K.
        num_frames: frames of the clip.
        crop: height and width of the clip, in pixels.
        parameters: how many there are.
        gmacs: 1e9 multiply-adds of convolutions and linear layers in the published test of one view.
        activations: elements that all convolutions and linear layers put out.
        latency_ms: median time of one clip in eager float32; ``None`` if not measured.
        latency_ms_spread: fastest and slowest of the measured times.
        device: where it was measured.
        threads: threads it was measured with.
        weights: what weights of the package say of themselves; ``None`` for others.
    """

    name: str
    causal: bool
    num_classes: int
    num_frames: int
    crop: int
    parameters: int
    gmacs: float
    activations: int
    latency_ms: float | None
    latency_ms_spread: tuple[float, float] | None
    device: str
    threads: int
    weights: str | None = None


def info(
    model: str | Path, *, frames: int = 16, crop: int = 224, num_classes: int | None = None, measure: bool = True
) -> ModelInfo:
    """Count and measure a network.

    Args:
        model: a name of `vov3d.list_models()`, or a checkpoint.
        frames: frames of the clip.
        crop: height and width of the clip, in pixels.
        num_classes: K; by default that of the checkpoint, or 400.
        measure: whether to time it on this machine's CPU.

    Raises:
        ArgumentError: for an unknown name, or a clip that is too small.
        CheckpointError: if the checkpoint cannot be read.
    """
    if frames < 1 or crop < 32:
        raise ArgumentError(
            f"a clip of {frames} frames of {crop}x{crop} is too small; allowed are 1 or more of 32x32 up"
        )
    name, network, _ = load_network(model, num_classes)
    times = _latencies_ms(network.eval(), frames, crop) if measure else None
    return ModelInfo(
        name=name,
        causal=network.causal,
        num_classes=network.num_classes,
        num_frames=frames,
        crop=crop,
        parameters=count_parameters(network),
        gmacs=count_gmacs(network, frames, crop),
        activations=count_activations(network, frames, crop),
        latency_ms=statistics.median(times) if times else None,
        latency_ms_spread=(min(times), max(times)) if times else None,
        device=f"cpu ({platform.machine()})",
        threads=torch.get_num_threads(),
        weights=_about(find_weights(model)),
    )


def _about(weights: Weights | None) -> str | None:
    if weights is None:
        return None
    about = read_checkpoint(weights.path).description.get("weights")
    assert isinstance(about, dict)
    said = [f"{name} {_flat(value)}" for name, value in about.items()]
    return ", ".join([*said, f"sha256 {weights.sha256}"])


def _flat(value: JSON) -> str:
    return " ".join(f"{name} {number:.3f}" for name, number in value.items()) if isinstance(value, dict) else str(value)


@torch.inference_mode()
def _latencies_ms(model: ClipClassifier, frames: int, crop: int) -> list[float]:
    clips = torch.randn(1, 3, frames, crop, crop)
    model(clips)
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        model(clips)
        times.append(1e3 * (time.perf_counter() - started))
    return times
