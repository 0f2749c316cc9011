"""What a back end is: one way to compute a network's feature map."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor, nn

from vov3d.models import ClipClassifier

Precision = Literal["fp32", "bf16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

Compiled = Callable[[Tensor], Tensor]
"""Clips ``[N, 3, T, H, W]`` in float32, of any N -> the map ``[N, C, T', H', W']`` that the head pools."""


@dataclass(frozen=True)
class Job:
    """What a back end is to compute.

    Attributes:
        model: the network as given, in evaluation mode; not to be changed.
        folded: a copy of it whose norms are folded into its convolutions.
        example: clips of the shape to compute for; N may differ later, frames and pixels may not.
        precision: of weights and activations.
        calibration: clips that the ranges of int8 values are taken from.
        num_threads: threads of an operator.
    """

    model: ClipClassifier
    folded: ClipClassifier
    example: Tensor
    precision: Precision
    calibration: Tensor | None
    num_threads: int


@dataclass(frozen=True)
class Backend:
    """One way to compute a network.

    Attributes:
        name: what a user calls it.
        refuses: why it cannot compute this network in this precision here, one line; ``None`` if it may.
        compile: does all the work that need not be done for every clip; may raise anything.
        device: type of the device that it computes on.
        threads_of_torch: whether it computes on torch's threads, which no child of a fork has and calls there wait for.
    """

    name: str
    refuses: Callable[[ClipClassifier, Precision], str | None]
    compile: Callable[[Job], Compiled]
    device: str = "cpu"
    threads_of_torch: bool = False


class Trunk(nn.Module):
    """A network up to the map that its head pools.

    Shape: ``[N, 3, T, H, W] -> [N, C, T', H', W']``
    """

    def __init__(self, network: ClipClassifier) -> None:
        super().__init__()
        self.network = network

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        return self.network.head.before_pool(self.network.forward_features(clips))


def missing(*packages: str, extra: str = "fast") -> str | None:
    """Say which packages are not installed, and which extra of ours brings them."""
    absent = [package for package in packages if importlib.util.find_spec(package) is None]
    if not absent:
        return None
    verb = "is" if len(absent) == 1 else "are"
    return f"{' and '.join(absent)} {verb} not installed; pip install 'vov3d[{extra}]'"
