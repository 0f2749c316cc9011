"""What a test at several paces found, as data, files and plots."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from vov3d.files import csv_text, write_text
from vov3d.plots import STYLES, Series, group_chart, line_chart


@dataclass(frozen=True)
class Pace:
    """One way to show the videos, and what it left; scores are fractions.

    Attributes:
        name: ``"stride 8"``, ``"x0.5"``, ``"reversed"``.
        kind: what was changed.
        value: the stride in frames or the speed; ``None`` for an order.
        top1: see `vov3d.evaluate.Metrics`.
        top5: likewise.
        mean_average_precision: likewise.
        score: mean average precision with several labels a video, else top-1.
        change: the score less that at the pace of the training: below 0 where accuracy is lost.
        change_margin: half of the 95% interval of ``change``, the same videos compared one by one; ``None`` with
            several labels a video.
    """

    name: str
    kind: Literal["stride", "speed", "order"]
    value: float | None
    top1: float
    top5: float
    mean_average_precision: float | None
    score: float
    change: float
    change_margin: float | None


@dataclass(frozen=True)
class NetworkTempo:
    """One network at every pace.

    Attributes:
        name: of the network in tables and plots.
        checkpoint: its file.
        sampling: ``"dense"`` or ``"segment"``.
        num_frames: frames of a clip.
        frame_stride: stride that it was trained with; ``None`` with segments.
        score_name: what the scores are called.
        score: that at the pace of the training.
        num_videos: videos scored.
        strides: in the order asked for; none with segments.
        speeds: speeds, then orders, likewise.
    """

    name: str
    checkpoint: str
    sampling: str
    num_frames: int
    frame_stride: int | None
    score_name: str
    score: float
    num_videos: int
    strides: tuple[Pace, ...]
    speeds: tuple[Pace, ...]


@dataclass(frozen=True)
class Tempo:
    """A finished test at several paces.

    Attributes:
        data: the data set.
        split: the part of it.
        networks: in the order given.
        notes: what could not be tested or was left out, one line each.
        seconds: how long it took.
        out: folder with the files, if any were written.
    """

    data: str
    split: str
    networks: tuple[NetworkTempo, ...]
    notes: tuple[str, ...]
    seconds: float
    out: Path | None = None


def write_tempo(result: Tempo, out: Path) -> None:
    """Write the results as JSON and as a table, and the plots."""
    write_text(out / "tempo.json", json.dumps({**asdict(result), "out": str(out)}, indent=1, ensure_ascii=False) + "\n")
    columns = ["network", "pace", "kind", "value", "top1", "top5", "mean_average_precision", "change", "change_margin"]
    rows = [
        [network.name, *("" if value is None else str(value) for value in _cells(pace))]
        for network in result.networks
        for pace in (*network.strides, *network.speeds)
    ]
    write_text(out / "tempo.csv", csv_text([columns, *rows]))
    charts = {"strides.svg": strides_chart(result), "speeds.svg": speeds_chart(result)}
    for name, chart in charts.items():
        if chart is not None:
            write_text(out / name, chart)


def strides_chart(result: Tempo) -> str | None:
    """Figure 4: what is lost at each stride, one line a network; ``None`` where no network has strides."""
    series = []
    for network, (role, dashed) in zip(result.networks, STYLES, strict=False):
        if network.strides:
            points = {float(pace.value or 0): 100 * pace.change for pace in network.strides}
            points[float(network.frame_stride or 0)] = 0.0
            series.append(Series(network.name, sorted(points.items()), role, markers=True, dashed=dashed))
    if not series:
        return None
    tested = sorted({x for one in series for x, _ in one.points})
    label = f"change of {result.networks[0].score_name}, points"
    return line_chart("Accuracy by test stride", "test stride, frames", series, y_label=label, x_ticks=tested)


def speeds_chart(result: Tempo) -> str | None:
    """The score at each speed and in each order, one bar a network; ``None`` where none was asked for."""
    networks = result.networks
    if not networks[0].speeds:
        return None
    groups = [
        (paces[0].name, [pace.score for pace in paces])
        for paces in zip(*(network.speeds for network in networks), strict=True)
    ]
    names = [f"{network.name}, {network.score_name}" for network in networks]
    return group_chart("Accuracy by speed and order", names, groups)


def _cells(pace: Pace) -> tuple[object, ...]:
    return (
        *(pace.name, pace.kind, pace.value, pace.top1, pace.top5),
        *(pace.mean_average_precision, pace.change, pace.change_margin),
    )
