"""The field: every row of the paper's comparison, as printed, and what the literature prints in its place.

One `Published` is one row. What a row prints and what is counted here may differ; each such row names a note that says
why, which a test enforces.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True)
class Accuracy:
    """Fractions; ``None`` where none was published."""

    top1: float | None
    top5: float | None


@dataclass(frozen=True)
class Published:
    """One row of a comparison, as its source prints it.

    Attributes:
        system: the name that is printed.
        model: its name in `vov3d.models.MODELS`.
        frames: frames of a view.
        crop: side in pixels that the row's multiply-adds belong to.
        num_classes: K.
        params_millions: as printed.
        gflops: of one view, as printed.
        views: views of a video in the test.
        pretrained: what its weights started from; ``None`` for none.
        accuracy: by data set, a key of ``DATASETS`` or the name of a local one.
        source: ``T5`` is Table 5 of the paper, and so on; ``lit.`` is named by the first note; ``here`` was measured.
        notes: keys of ``NOTES``.
        absent: why the model is not built here, if it is not.
        section: the table that it stands in; empty for a network without accuracies.
    """

    system: str
    model: str
    frames: int
    crop: int
    num_classes: int
    params_millions: float | None = None
    gflops: float | None = None
    views: int | None = None
    pretrained: str | None = None
    accuracy: Mapping[str, Accuracy] = field(default_factory=dict)
    source: str = ""
    notes: tuple[str, ...] = ()
    absent: str = ""
    section: str = ""


DATASETS = {"ssv1": "SSv1", "ssv2": "SSv2", "k400": "K400", "k600": "K600"}
"""Data set -> its short name in the tables."""

SOMETHING, KINETICS, KINETICS_600 = "Something-Something V1 and V2", "Kinetics-400", "Kinetics-600"
VARIANTS = "The paper's own variants, on Something-Something V1"
"""The tables of accuracies, each a ``section`` of rows."""

_SECTIONS = {"ssv1": SOMETHING, "ssv2": SOMETHING, "k400": KINETICS, "k600": KINETICS_600}
_Percents: TypeAlias = "tuple[float | None, float | None]"
_NUM_CLASSES = {"ssv1": 174, "ssv2": 174, "k400": 400, "k600": 600}


def _row(
    system: str,
    model: str,
    clip: str,
    cost: tuple[float | None, float | None, int | None],
    *notes: str,
    of: str = "lit.",
    start: str | None = None,
    absent: str = "",
    section: str = "",
    **percent: _Percents,
) -> Published:
    """A row as printed: ``clip`` is frames x crop, ``cost`` millions, GFLOPs and views, ``percent`` top-1 and top-5."""
    frames, crop = map(int, clip.split("x"))
    accuracy = {name: Accuracy(_fraction(top1), _fraction(top5)) for name, (top1, top5) in percent.items()}
    dataset = next(iter(percent))
    return Published(
        *(system, model, frames, crop, _NUM_CLASSES[dataset], *cost, start, accuracy, of, notes, absent),
        section=section or _SECTIONS[dataset],
    )


def _fraction(percent: float | None) -> float | None:
    return None if percent is None else round(percent / 100, 4)


_SOMETHING = (
    _row(
        "TSM ResNet-50",
        "tsm_r50",
        "16x224",
        (24.3, 33, 6),
        "tsm-16",
        "tsm-mmaction",
        of="T6",
        start="Kinetics",
        ssv1=(47.2, 77.0),
        ssv2=(63.0, 88.1),
    ),
    _row(
        "TSM ResNet-101",
        "tsm_r101",
        "8x224",
        (24.3, 65, 6),
        "tsm-101",
        "tsm-mmaction",
        of="T6",
        start="Kinetics",
        ssv1=(48.7, 77.2),
        ssv2=(63.2, 88.2),
    ),
    _row(
        "TSM+TPN ResNet-50",
        "tsm_tpn_r50",
        "8x224",
        (None, None, None),
        "tpn",
        of="T6",
        start="ImageNet",
        ssv1=(50.7, None),
        ssv2=(64.7, None),
    ),
    _row(
        "STM ResNet-50",
        "stm_r50",
        "16x224",
        (None, 67, 30),
        "stm",
        of="T6",
        start="ImageNet",
        ssv1=(50.7, 80.4),
        ssv2=(64.2, 89.8),
    ),
    _row("TEA ResNet-50", "tea_r50", "8x224", (24.4, 35, 30), of="T6", start="ImageNet", ssv1=(51.7, 80.5)),
    _row(
        "TEA ResNet-50",
        "tea_r50",
        "16x224",
        (24.4, 70, 30),
        "tea-70",
        of="T6",
        start="ImageNet",
        ssv1=(52.3, 81.9),
        ssv2=(65.1, 89.9),
    ),
    _row(
        "NL-I3D+GCN 3D ResNet-50",
        "nl_i3d_gcn",
        "32x224",
        (None, 303, 6),
        "region-graph",
        of="T6",
        start="Kinetics",
        ssv1=(46.1, 76.8),
    ),
    _row(
        "SlowFast 16x8 R50",
        "slowfast_r50_16x8",
        "64x256",
        (34.0, 131.4, 6),
        "slowfast-16x8",
        of="T6",
        start="Kinetics",
        ssv2=(63.9, 88.2),
    ),
    _row("ip-CSN-152", "ip_csn_152", "32x224", (29.7, 74.0, 10), "ip-is-ir", of="T6", ssv1=(49.3, None)),
    _row("X3D-M", "x3d_m", "16x256", (3.3, 6.1, 6), of="T6", ssv1=(46.4, 75.3), ssv2=(63.1, 88.0)),
    _row("X3D-M", "x3d_m", "16x256", (3.3, 6.1, 6), of="T5", start="Kinetics", ssv1=(51.2, 78.9)),
    _row("X3D-M", "x3d_m", "32x256", (3.3, 12.3, 6), of="T5", ssv1=(48.9, 77.6)),
    _row("X3D-M", "x3d_m", "32x256", (3.3, 12.3, 6), of="T5", start="Kinetics", ssv1=(51.5, 79.6)),
    _row("VoV3D-M", "vov3d_m", "16x256", (3.2, 6.4, 6), "m-3.3", of="T6", ssv1=(49.0, 78.2), ssv2=(63.6, 88.6)),
    _row("VoV3D-M", "vov3d_m", "16x256", (3.3, 6.4, 6), "m-3.3", of="T5", start="Kinetics", ssv1=(52.4, 80.3)),
    _row("VoV3D-M", "vov3d_m", "32x256", (3.2, 12.8, 6), "m-32", of="T6", ssv1=(49.8, 78.0), ssv2=(64.3, 88.9)),
    _row(
        "VoV3D-M",
        "vov3d_m",
        "32x256",
        (3.2, 12.8, 6),
        "m-32-k400",
        of="T6",
        start="Kinetics",
        ssv1=(53.2, 81.1),
        ssv2=(65.8, 89.6),
    ),
    _row("X3D-L", "x3d_l", "16x256", (5.6, 12.0, 6), "x3d-l-12", of="T6", ssv1=(47.1, 76.5), ssv2=(62.7, 87.8)),
    _row("X3D-L", "x3d_l", "16x256", (5.6, 11.9, 6), "x3d-l-12", of="T5", start="Kinetics", ssv1=(50.8, 79.3)),
    _row("X3D-L", "x3d_l", "32x256", (5.6, 23.9, 6), of="T5", ssv1=(48.4, 77.8)),
    _row("X3D-L", "x3d_l", "32x256", (5.6, 23.9, 6), of="T5", start="Kinetics", ssv1=(52.6, 81.2)),
    _row("VoV3D-L", "vov3d_l", "16x256", (5.8, 12.1, 6), "l-16", of="T6", ssv1=(49.5, 78.0), ssv2=(64.5, 88.7)),
    _row("VoV3D-L", "vov3d_l", "16x256", (5.8, 12.1, 6), of="T5", start="Kinetics", ssv1=(53.4, 81.4)),
    _row("VoV3D-L", "vov3d_l", "32x256", (5.8, 24.3, 6), "l-32", of="T6", ssv1=(50.7, 78.8), ssv2=(65.9, 89.6)),
    _row(
        "VoV3D-L", "vov3d_l", "32x256", (5.8, 24.3, 6), of="T6", start="Kinetics", ssv1=(54.7, 82.0), ssv2=(67.4, 90.5)
    ),
    _row(
        "TSM ResNet-50",
        "tsm_r50",
        "8x224",
        (None, None, 6),
        "tsm",
        "tsm-mmaction",
        start="ImageNet",
        ssv1=(47.2, None),
        ssv2=(61.2, None),
    ),
    _row(
        "TSN ResNet-50",
        "tsn_r50",
        "8x224",
        (None, None, None),
        "tsn-mmaction",
        start="ImageNet",
        ssv1=(18.55, 44.80),
        ssv2=(32.41, 64.05),
    ),
)

_KINETICS = (
    _row("I3D", "i3d", "64x224", (12, 108, None), "i3d", of="T7", start="ImageNet", k400=(71.1, 90.3)),
    _row(
        "Nonlocal R50",
        "i3d_nl_r50",
        "32x256",
        (35.3, 282, 30),
        "nonlocal",
        of="T7",
        start="ImageNet",
        k400=(76.5, 92.6),
    ),
    _row("TSM", "tsm_r50", "16x224", (24.3, 65, 30), "tsm-mmaction", of="T7", start="ImageNet", k400=(74.7, None)),
    _row("STM", "stm_r50", "16x224", (None, 67, 30), "stm", of="T7", start="ImageNet", k400=(73.7, 91.6)),
    _row(
        "TEA R50",
        "tea_r50",
        "16x224",
        (24.4, 70, 30),
        "tea-174",
        "tea-70",
        of="T7",
        start="ImageNet",
        k400=(76.1, 92.5),
    ),
    _row("R(2+1)D", "r2plus1d_34", "16x112", (63.6, 152, 115), "r2plus1d", of="T7", k400=(72.0, 90.0)),
    _row(
        "SlowFast 4x16 R50",
        "slowfast_r50_4x16",
        "32x256",
        (34.4, 36.1, 30),
        "slowfast-4x16",
        of="T7",
        k400=(75.6, 92.1),
    ),
    _row("ip-CSN-152", "ip_csn_152", "32x256", (32.8, 109, 30), "csn", of="T7", k400=(77.8, 92.8)),
    _row("X3D-M", "x3d_m", "16x256", (3.8, 6.2, 30), "x3d-m-views", of="T7", k400=(75.1, 92.2)),
    _row("X3D-L", "x3d_l", "16x224", (6.1, 9.1, 30), "l-224", "x3d-l-312", of="T7", k400=(76.1, 92.6)),
    _row("VoV3D-M", "vov3d_m", "16x256", (3.7, 6.4, 30), of="T7", k400=(74.7, 92.1)),
    _row("VoV3D-L", "vov3d_l", "16x224", (6.2, 9.3, 30), "l-224", "l-6.2", of="T7", k400=(76.3, 92.9)),
    _row("ir-CSN-152", "ir_csn_152", "32x256", (29.6, 96.7, 30), "vmz", k400=(76.5, 92.1)),
    _row(
        "TSM ResNet-50",
        "tsm_r50",
        "8x224",
        (None, None, 30),
        "tsm",
        "tsm-mmaction",
        start="ImageNet",
        k400=(74.1, None),
    ),
    _row("TSN ResNet-50", "tsn_r50", "8x224", (None, None, 30), "tsm", start="ImageNet", k400=(70.6, None)),
    _row("X3D-XS", "x3d_xs", "4x160", (3.8, 0.60, 30), "pyslowfast", k400=(69.5, None)),
    _row("X3D-S", "x3d_s", "13x160", (3.8, 1.96, 30), "pyslowfast", k400=(73.5, None)),
)


def _stream(system: str, model: str, clip: str, gflops: float, top: _Percents) -> Published:
    return _row(system, model, clip, (None, gflops, 1), "movinet", "movinet-stream", k600=top)


_MOVINETS = (
    _row("MoViNet-A0", "movinet_a0", "50x172", (None, 2.7, 1), "movinet", k600=(72.28, 90.92)),
    _row("MoViNet-A1", "movinet_a1", "50x172", (None, 6.0, 1), "movinet", k600=(76.69, 93.40)),
    _row("MoViNet-A2", "movinet_a2", "50x224", (None, 10, 1), "movinet", k600=(78.62, 94.17)),
    _stream("MoViNet-A0-Stream", "movinet_a0_stream", "50x172", 2.7, (72.05, 90.63)),
    _stream("MoViNet-A1-Stream", "movinet_a1_stream", "50x172", 6.0, (76.45, 93.25)),
    _stream("MoViNet-A2-Stream", "movinet_a2_stream", "50x224", 10, (78.40, 94.05)),
)


def _variant(
    system: str, model: str, cost: tuple[float | None, float | None, int | None], *notes: str, of: str, top: _Percents
) -> Published:
    return _row(system, model, "16x256", cost, *notes, of=of, section=VARIANTS, ssv1=top)


_VARIANTS = (
    _variant("M, bottleneck", "vov3d_m_bottleneck", (42.9, 103.2, 6), "mixed", of="T4", top=(48.6, 76.8)),
    _variant("M, R(2+1)D", "vov3d_m_r2plus1d", (20.9, 48.9, 6), "mixed", of="T4", top=(48.6, 77.6)),
    _variant("M, dw-bottleneck", "vov3d_m_dw_bottleneck", (3.3, 7.0, 6), "deltas", of="T4", top=(48.0, 76.7)),
    _variant("M, D(1+2)D", "vov3d_m_d1plus2d", (3.2, 6.5, 6), "commute", of="T4", top=(48.0, 77.2)),
    _variant("M, D(2+1)D", "vov3d_m", (3.2, 6.4, 6), "commute", of="T4", top=(49.0, 78.2)),
    _variant("X3D-M", "x3d_m", (3.3, 6.1, 6), of="T4", top=(46.4, 75.3)),
    _variant("X3D-M, D(2+1)D", "x3d_m_d2plus1d", (3.2, 5.8, 6), "x3d-d2plus1d", of="T4", top=(47.4, 75.9)),
    _variant(
        "X3D-M, D(2+1)D", "x3d_m_d2plus1d", (None, None, None), "deltas", "x3d-d2plus1d", of="T3", top=(48.5, 76.9)
    ),
    _variant("L, dw-bottleneck", "vov3d_l_dw_bottleneck", (None, None, None), of="T3", top=(48.9, 77.6)),
    _variant("X3D-L, D(2+1)D", "x3d_l_d2plus1d", (None, None, None), of="T3", top=(48.8, 77.4)),
    _row("M of 2020", "vov3d_m_2020", "32x256", (3.3, 11.5, 6), "m-2020", section=VARIANTS, ssv1=(49.8, 78.0)),
)

FIELD: tuple[Published, ...] = (
    *(*_SOMETHING, *_KINETICS, *_MOVINETS, *_VARIANTS),
    Published("VoV3D-S", "vov3d_s", 16, 224, 400),
)
"""Tables 3 to 7 of the paper, with what a user may choose beside them."""
