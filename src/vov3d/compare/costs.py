"""What a network costs at one clip: counted on the meta device, measured elsewhere."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from vov3d.errors import ArgumentError
from vov3d.models import ClipClassifier, create_model
from vov3d.models.counting import count_activations, count_gmacs, count_parameters


@dataclass(frozen=True, order=True)
class Clip:
    """A network and what it is shown: ``frames`` frames of ``crop`` x ``crop`` pixels."""

    model: str
    frames: int
    crop: int

    @property
    def size(self) -> str:
        """Frames x pixels."""
        return f"{self.frames}x{self.crop}"


@dataclass(frozen=True)
class Measurement:
    """What one clip took on this machine.

    Attributes:
        peak_mib: memory that building the network and one clip added to the process, at its peak, in MiB.
        latency_ms: median time of one clip; ``None`` if none was timed.
        fastest_ms: the quickest of the runs.
        slowest_ms: the slowest.
        num_runs: timed runs, one in each round.
        failure: why it could not be measured, or measured to the end.
        verdict: the same in two words, for a table.
    """

    peak_mib: float | None = None
    latency_ms: float | None = None
    fastest_ms: float | None = None
    slowest_ms: float | None = None
    num_runs: int = 0
    failure: str = ""
    verdict: str = ""

    @classmethod
    def of(cls, times_ms: Sequence[float], peak_mib: float | None, failure: str = "", verdict: str = "") -> Measurement:
        """Summarise runs."""
        if not times_ms:
            return cls(peak_mib, failure=failure, verdict=verdict)
        median, fastest, slowest = (
            round(one, 2) for one in (statistics.median(times_ms), min(times_ms), max(times_ms))
        )
        return cls(peak_mib, median, fastest, slowest, len(times_ms), failure, verdict)


@dataclass(frozen=True)
class Cost:
    """What one view costs.

    Attributes:
        clip: the network and its input.
        num_classes: K of what was counted.
        parameters: how many there are.
        gmacs: 1e9 multiply-adds of convolutions and linear layers; ``None`` if the network does not take the clip.
        activations: elements that convolutions and linear layers put out.
        measured: time and memory on this machine; ``None`` if they were not asked for.
        failure: why the network does not take the clip.
    """

    clip: Clip
    num_classes: int
    parameters: int
    gmacs: float | None
    activations: int | None
    measured: Measurement | None = None
    failure: str = ""


@functools.cache
def count(clip: Clip, num_classes: int) -> Cost:
    """Count one network at one clip; nothing is computed."""
    model = _on_meta(clip.model, num_classes)
    parameters = count_parameters(model)
    try:
        gmacs = count_gmacs(model, clip.frames, clip.crop)
        activations = count_activations(model, clip.frames, clip.crop)
    except ArgumentError as error:
        return Cost(clip, num_classes, parameters, None, None, failure=str(error))
    return Cost(clip, num_classes, parameters, round(gmacs, 6), activations)


@functools.cache
def parameters_of(name: str, num_classes: int) -> int:
    """Return the number of parameters of a model of the catalogue."""
    return count_parameters(_on_meta(name, num_classes))


def _on_meta(name: str, num_classes: int) -> ClipClassifier:
    with torch.device("meta"):
        return create_model(name, num_classes=num_classes)
