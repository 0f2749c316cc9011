"""Points over a logarithmic axis, each with its name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vov3d.plots.svg import COLOURS, decimal, fill, percent, short, stroke, svg, text, text_width, ticks

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 560, 420, 64, 16, 40, 46
_SIZE, _LETTERS = 11, 36
_LEAST_DECADES = 0.8
"""An axis so long has at least two of 1, 2, 5, 10, ... on it."""
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Point:
    """One mark.

    Attributes:
        name: beside the mark.
        x: what it costs, above 0.
        y: fraction.
        role: colour, a key of ``COLOURS``.
        hollow: a ring in place of a disc.
        printed_x: what others print as its cost: a thin line leads there.
    """

    name: str
    x: float
    y: float
    role: str = "blue"
    hollow: bool = False
    printed_x: float | None = None


@dataclass(frozen=True)
class Panel:
    """One of the pictures that stand side by side.

    Attributes:
        x_label: what the points cost.
        points: the marks.
        empty: what stands there if there are none.
    """

    x_label: str
    points: Sequence[Point]
    empty: str = "not measured"


def scatter_chart(title: str, y_label: str, panels: Sequence[Panel], legend: Sequence[Point] = ()) -> str:
    """Fractions over what they cost, on a logarithmic axis, one panel for each kind of cost.

    Points far below all others are drawn at the lower edge with an arrow and their value, so that the rest keeps its
    room.

    Args:
        title: name of the picture for those who cannot see it.
        y_label: what is measured along y.
        panels: from left to right; all share the y axis.
        legend: name and look of each kind of mark.
    """
    values = sorted(point.y for panel in panels for point in panel.points)
    if not values:
        return svg(_WIDTH, 80, title, "no values", [text(_WIDTH / 2, 45, "no values yet", "middle", "muted")])
    quarter, spread = values[len(values) // 4], values[(3 * len(values)) // 4] - values[len(values) // 4]
    shown = [y for y in values if y >= quarter - 3 * max(spread, 0.01)]
    y_ticks = ticks(max(shown[0] - 0.01, 0.0), min(shown[-1] + 0.01, 1.0), 6)
    body: list[str] = []
    x = float(_LEFT)
    for one in legend:
        left = x + 5 if one.printed_x is None else x + 22
        body += [mark(x + 5, 18, one)] if one.printed_x is None else _leader(x, left, 18)
        body.append(text(left + 10, 22, one.name))
        x = left + 10 + text_width(one.name) + 22
    for place, panel in enumerate(panels):
        inner = "".join(_panel(panel, y_ticks))
        body.append(f'<g transform="translate({place * _WIDTH} 0)">{inner}</g>')
    y = (_TOP + _HEIGHT - _BOTTOM) / 2
    turn = f"rotate(-90 13 {decimal(y)})"
    body.append(text(13, y, short(y_label, _LETTERS), "middle", "muted", turn=turn, hint=y_label))
    summary = "; ".join(_in_words(one, panels[0].x_label) for one in panels[0].points)
    return svg(_WIDTH * len(panels), _HEIGHT, title, summary, body)


def _panel(panel: Panel, y_ticks: Sequence[float]) -> Iterable[str]:
    low, high = y_ticks[0], y_ticks[-1]
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    digits = max(0, len(f"{y_ticks[1] - y_ticks[0]:g}".partition(".")[2]) - 2)
    for tick in y_ticks:
        y = bottom - (tick - low) / (high - low) * (bottom - _TOP)
        yield f'<path d="M{_LEFT} {decimal(y)}H{right}" {stroke("rule")}/>'
        yield text(_LEFT - 8, y + 4, percent(tick, digits), "end", "muted")
    yield text((_LEFT + right) / 2, _HEIGHT - 6, panel.x_label, "middle", "muted")
    if not panel.points:
        yield text((_LEFT + right) / 2, (_TOP + bottom) / 2 - 10, panel.empty, "middle", "muted")
        return
    start, end = _span([x for one in panel.points for x in (one.x, one.printed_x) if x is not None])

    def along(x: float) -> float:
        return _LEFT + (math.log10(x) - start) / (end - start) * (right - _LEFT)

    for tick in log_ticks(start, end):
        yield f'<path d="M{decimal(along(tick))} {bottom}v4" {stroke("muted")}/>'
        yield text(along(tick), bottom + 20, f"{tick:,g}", "middle", "muted")
    places = [
        (
            along(one.x),
            bottom - (max(one.y, low) - low) / (high - low) * (bottom - _TOP) - (16 if one.y < low else 0),
        )
        for one in panel.points
    ]
    leaders = [
        (x, along(one.printed_x), y)
        for one, (x, y) in zip(panel.points, places, strict=True)
        if one.printed_x is not None
    ]
    for leader in leaders:
        yield from _leader(*leader)
    for one, place in zip(panel.points, places, strict=True):
        yield mark(*place, one)
        if one.y < low:
            arrow = f"M{decimal(place[0])} {bottom - 12}v10m-3 -3l3 3l3 -3"
            yield f'<path d="{arrow}" fill="none" {stroke(one.role, 1.5)}/>'
    shown = [short(one.name, _LETTERS) + (f" ({percent(one.y)})" if one.y < low else "") for one in panel.points]
    frame = (_LEFT, _TOP - 6, right, bottom)
    others = [(min(x, to) - 4, y - 4, max(x, to) + 4, y + 4) for x, to, y in leaders]
    boxes = beside(shown, places, frame, others)
    for name, one, box, (x, _) in zip(shown, panel.points, boxes, places, strict=True):
        on_the_left = box[2] < x  # then its end is what stands by the mark, however wide the letters are
        left, anchor = (box[2], "end") if on_the_left else (box[0], "start")
        yield text(left, box[3] - 2, name, anchor, size=_SIZE, hint=one.name)


def _in_words(point: Point, x_label: str) -> str:
    printed = "" if point.printed_x is None else f", printed {point.printed_x:.3g}"
    return f"{point.name} {percent(point.y)} at {point.x:.3g} {x_label}{printed}"


def _span(values: Sequence[float]) -> tuple[float, float]:
    """From where to where the axis goes, as powers of ten."""
    logs = [math.log10(one) for one in values]
    margin = max(0.08 * (max(logs) - min(logs)), (_LEAST_DECADES - max(logs) + min(logs)) / 2)
    return min(logs) - margin, max(logs) + margin


def _leader(x: float, to: float, y: float) -> list[str]:
    """A thin line from a mark to another place, and a cross there."""
    line = f'<path d="M{decimal(x)} {decimal(y)}H{decimal(to)}" {stroke("muted")} stroke-dasharray="2 2"/>'
    cross = f"M{decimal(to - 3)} {decimal(y - 3)}l6 6m0 -6l-6 6"
    return [line, f'<path d="{cross}" fill="none" {stroke("muted", 1.5)}/>']


def mark(x: float, y: float, point: Point) -> str:
    """A disc, or a ring."""
    if not point.hollow:
        return f'<circle cx="{decimal(x)}" cy="{decimal(y)}" r="4.5" {fill(point.role)}/>'
    inner, outer = COLOURS["surface"], COLOURS[point.role]
    style = f"fill:var(--chart-surface,{inner});stroke:var(--chart-{point.role},{outer})"
    look = f'fill="{inner}" stroke="{outer}" stroke-width="2" style="{style}"'
    return f'<circle cx="{decimal(x)}" cy="{decimal(y)}" r="3.7" {look}/>'


def log_ticks(start: float, end: float) -> list[float]:
    """1, 2, 5, 10, 20, ... or only some of them, within powers of ten."""
    decades = range(math.floor(start), math.ceil(end) + 1)
    for digits in ((1, 2, 5), (1, 3), (1,)):
        found = [digit * 10.0**power for power in decades for digit in digits]
        found = [tick for tick in found if start <= math.log10(tick) <= end]
        if len(found) <= 9:
            break
    return found


def beside(
    names: Sequence[str], marks: Sequence[tuple[float, float]], frame: Box, others: Sequence[Box] = ()
) -> list[Box]:
    """Where the names stand: near their marks, over as little of other marks, names and boxes as can be."""
    taken: list[Box] = [*((x - 5, y - 5, x + 5, y + 5) for x, y in marks), *others]
    boxes = []
    for name, (x, y) in zip(names, marks, strict=True):
        width, height = text_width(name, _SIZE) * 0.93, _SIZE + 1.0
        corners = [
            (left, y + up)
            for reach in range(0, 64, 9)
            for left, up in (
                (x + 8 + reach, -height / 2),
                (x - 8 - reach - width, -height / 2),
                (x - width / 2, -height - 5 - reach),
                (x - width / 2, 5 + reach),
                (x + 5, -height - 3 - reach),
                (x + 5, 3 + reach),
                (x - 5 - width, -height - 3 - reach),
                (x - 5 - width, 3 + reach),
            )
        ]
        tried = [(left, top, left + width, top + height) for left, top in corners]
        costs = [
            (sum(_overlap(box, other) for other in taken) + 20 * _outside(box, frame), number)
            for number, box in enumerate(tried)
        ]
        best = tried[min(costs)[1]]
        boxes.append(best)
        taken.append(best)
    return boxes


def _overlap(one: Box, other: Box) -> float:
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, wide) * max(0.0, high)


def _outside(box: Box, frame: Box) -> float:
    return sum(max(0.0, far) for far in (frame[0] - box[0], frame[1] - box[1], box[2] - frame[2], box[3] - frame[3]))
