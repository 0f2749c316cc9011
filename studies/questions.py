"""What the study asks, as data: systems, sizes, and which systems at how many frames answer which question.

A run is a system, a number of frames and a seed; a run that several questions need is trained once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

from torch import nn

from vov3d.data.motion import MOTION_FAMILIES
from vov3d.layers import OPERATORS, BatchNorm, D2Plus1D
from vov3d.models import TSM, TSN, X3D, ClipClassifier, R2Plus1DNet, SlowFast, VoV3D, create_model

Build = Callable[[int], ClipClassifier]


@dataclass(frozen=True)
class Protocol:
    """What is equal for all systems, and the size of it all.

    Attributes:
        name: of the preset.
        size: side of the clips in pixels.
        frames: of a clip, where a question does not ask for another number.
        families: motion families whose classes are told apart.
        difficulty: of the clips, see `vov3d.data.motion`.
        clips: drawn for the training of one run; none is seen twice.
        batch: clips of a step.
        lr: highest learning rate of AdamW, for every system.
        test_clips: of the test, whose scenes no training clip shares; the same for all runs.
        precision: as in a recipe.
    """

    name: str
    size: int
    frames: int
    families: tuple[str, ...]
    difficulty: float
    clips: int
    batch: int
    lr: float
    test_clips: int
    precision: str = "float32"


PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        "cpu": Protocol("cpu", 32, 8, ("direction", "rotation", "depth", "speed"), 0.0, 6000, 20, 0.004, 500),
        "gpu": Protocol("gpu", 112, 16, tuple(MOTION_FAMILIES), 0.4, 300_000, 64, 0.003, 4500, "bf16"),
    }
)
"""The reduced size, about an hour of two cores, and the full one."""

SEEDS = (0, 1, 2)
PACES = (0.5, 1.0, 1.6, 2.4, 3.2)
"""How many times as fast the test plays; beyond 1, Figure 4's strides of 8, 12 and 16 over the 5 of the training."""

PACED_FAMILIES = ("speed", "tempo")
"""Families whose classes are paces, and so cannot be tested at another one."""


@dataclass(frozen=True)
class System:
    """A network, and the reduced one that stands for it where there is no GPU.

    Attributes:
        title: what it is.
        full: builds it for so many classes.
        small: builds the reduced one: for M one block in each stage, for L about twice M's multiply-adds.
    """

    title: str
    full: Build
    small: Build

    def build(self, protocol: Protocol) -> Build:
        """What builds it under a protocol."""
        return self.small if protocol.name == "cpu" else self.full


ONE_EACH = (1, 1, 1, 1)


def _published(name: str) -> Build:
    return lambda num_classes: create_model(name, num_classes=num_classes, dropout=0.0)


def _small(network: Callable[..., ClipClassifier], *places: object, **options: object) -> Build:
    return lambda num_classes: network(*places, num_classes=num_classes, dropout=0.0, **options)


_vov3d = partial(_small, VoV3D, 24, ONE_EACH)
_vov3d_m = partial(_small, VoV3D, 40, (1, 2, 3, 2))


def _rectifier(_channels: int) -> nn.Module:
    return nn.ReLU(inplace=True)


def _norm_and_rectifier(channels: int) -> nn.Module:
    return nn.Sequential(BatchNorm(channels), nn.ReLU(inplace=True))


def _between(what: Callable[[int], nn.Module]) -> partial[D2Plus1D]:
    return partial(D2Plus1D, between=what)


SYSTEMS: Mapping[str, System] = MappingProxyType(
    {
        "vov3d": System("VoV3D: T-OSA of D(2+1)D (e)", _published("vov3d_m"), _vov3d()),
        "vov3d_d1plus2d": System(
            "T-OSA of D(1+2)D (d)", _published("vov3d_m_d1plus2d"), _vov3d(operator=OPERATORS["d1plus2d"])
        ),
        "vov3d_dw": System(
            "T-OSA of depthwise 3x3x3 (c)",
            _published("vov3d_m_dw_bottleneck"),
            _vov3d(operator=OPERATORS["dw_bottleneck"]),
        ),
        "vov3d_r2plus1d": System(
            "T-OSA of R(2+1)D (b)", _published("vov3d_m_r2plus1d"), _vov3d(operator=OPERATORS["r2plus1d"])
        ),
        "vov3d_3x3x3": System(
            "T-OSA of 3x3x3 (a)", _published("vov3d_m_bottleneck"), _vov3d(operator=OPERATORS["bottleneck"])
        ),
        "x3d": System("X3D", _published("x3d_m"), _small(X3D, 1.0)),
        "x3d_d2plus1d": System(
            "X3D of D(2+1)D", _published("x3d_m_d2plus1d"), _small(X3D, 1.0, operator=OPERATORS["d2plus1d"])
        ),
        "vov3d_l": System("VoV3D-L", _published("vov3d_l"), _small(VoV3D, 28, (1, 1, 2, 2))),
        "x3d_l": System("X3D-L", _published("x3d_l"), _small(X3D, 2.0)),
        "tsn": System("TSN", _published("tsn_r50"), _small(TSN, ONE_EACH)),
        "tsm": System("TSM", _published("tsm_r50"), _small(TSM, ONE_EACH)),
        "r2plus1d": System("R(2+1)D", _published("r2plus1d_18"), _small(R2Plus1DNet, ONE_EACH)),
        "slowfast": System("SlowFast", _published("slowfast_r50_8x8"), _small(SlowFast, ONE_EACH, alpha=4)),
        "between_norm": System(
            "VoV3D, a norm between", _vov3d_m(operator=_between(BatchNorm)), _vov3d(operator=_between(BatchNorm))
        ),
        "between_relu": System(
            "VoV3D, a ReLU between", _vov3d_m(operator=_between(_rectifier)), _vov3d(operator=_between(_rectifier))
        ),
        "between_both": System(
            "VoV3D, both between",
            _vov3d_m(operator=_between(_norm_and_rectifier)),
            _vov3d(operator=_between(_norm_and_rectifier)),
        ),
        "strided_input": System("VoV3D, strided input", _vov3d_m(strided_input=True), _vov3d(strided_input=True)),
    }
)


class Run(NamedTuple):
    """One training and its test."""

    system: str
    frames: int
    seed: int


@dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes:
        title: in one line.
        systems: names of those that are compared.
        paired_with: the one that the others are compared with, seed by seed.
        frames: of the clips that they are trained and tested with; by default as the protocol says.
    """

    title: str
    systems: Sequence[str]
    paired_with: str = "vov3d"
    frames: Sequence[int] = ()


QUESTIONS: Mapping[str, Question] = MappingProxyType(
    {
        "operators": Question(
            "Which operator inside T-OSA (Table 4); does (d) differ from (e) by more than seeds do?",
            ("vov3d", "vov3d_d1plus2d", "vov3d_dw", "vov3d_r2plus1d", "vov3d_3x3x3"),
        ),
        "systems": Question(
            "VoV3D against other systems at equal protocol",
            ("vov3d", "x3d", "tsn", "tsm", "slowfast", "r2plus1d", "vov3d_l", "x3d_l"),
        ),
        "components": Question(
            "T-OSA and D(2+1)D, one by one (Table 3); do they gain over X3D at the same protocol?",
            ("x3d", "x3d_d2plus1d", "vov3d_dw", "vov3d"),
            paired_with="x3d",
        ),
        "between": Question(
            "Does a norm or an activation between the two depthwise convolutions help?",
            ("vov3d", "between_norm", "between_relu", "between_both"),
        ),
        "strided": Question(
            "Does concatenating the input help where a T-OSA block strides?", ("vov3d", "strided_input")
        ),
        "frames": Question("More or fewer frames (Table 5)", ("vov3d", "x3d"), frames=(8, 16, 32)),
    }
)
"""In the order in which their runs are made."""


def runs_of(question: Question, protocol: Protocol, seeds: Sequence[int] = SEEDS) -> list[Run]:
    """The runs that answer a question; all systems of a seed before the next seed."""
    return [
        Run(system, frames, seed)
        for seed in seeds
        for frames in question.frames or (protocol.frames,)
        for system in question.systems
    ]
