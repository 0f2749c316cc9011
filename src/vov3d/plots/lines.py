"""Lines over a common axis."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vov3d.plots.svg import decimal, fill, percent, stroke, svg, text, text_width, ticks


@dataclass(frozen=True)
class Series:
    """One line of a chart; points that are not finite are left out.

    Attributes:
        name: shown in the legend.
        points: (x, y) in the order of x.
        role: colour, a key of ``COLOURS``.
        markers: whether each point is marked, for values that were measured now and then.
        dashed: whether the line is, so that more lines than colours can be told apart.
    """

    name: str
    points: Sequence[tuple[float, float]]
    role: str = "blue"
    markers: bool = False
    dashed: bool = False


def line_chart(
    title: str,
    x_label: str,
    series: Sequence[Series],
    *,
    y_label: str = "",
    x_ticks: Sequence[float] = (),
    fractions: bool = False,
) -> str:
    """Lines over a common x axis, such as the loss of training and validation over the epochs.

    Args:
        title: name of the picture for those who cannot see it.
        x_label: what is counted along x, in whole numbers.
        series: the lines.
        y_label: what is measured along y, beside the axis.
        x_ticks: where x is labelled; round numbers by default.
        fractions: the values are fractions; y is labelled in percent.
    """
    lines = [(one, [(x, y) for x, y in one.points if math.isfinite(x) and math.isfinite(y)]) for one in series]
    points = [point for _, kept in lines for point in kept]
    left, right, bottom = 48 + 18 * bool(y_label), 14, 46
    width = 460 + 18 * bool(y_label)
    names = [one.name for one, kept in lines if kept]
    legend = _legend([29 + text_width(name) + 22 for name in names], left, width)
    top = 40 + (legend[-1][1] - 18 if legend else 0)
    height = 240 + top
    if not points:
        return svg(width, 80, title, "no values", [text(width / 2, 45, "no values yet", "middle", "muted")])
    x_low, x_high = min(x for x, _ in points), max(x for x, _ in points)
    if x_low == x_high:
        x_low, x_high = x_low - 0.5, x_high + 0.5
    y_low, y_high = min(0.0, *(y for _, y in points)), max(0.0, *(y for _, y in points))
    y_ticks = ticks(y_low, y_high if y_high > y_low else 1.0, 5)
    digits = len(f"{y_ticks[1] - y_ticks[0]:g}".partition(".")[2])

    def at(x: float, y: float) -> tuple[float, float]:
        share_x = (x - x_low) / (x_high - x_low)
        share_y = (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return left + share_x * (width - left - right), height - bottom - share_y * (height - top - bottom)

    body = []
    for tick in y_ticks:
        _, y = at(x_low, tick)
        body.append(f'<path d="M{left} {decimal(y)}H{width - right}" {stroke("rule")}/>')
        shown = percent(tick, max(0, digits - 2)) if fractions else f"{tick:.{digits}f}"
        body.append(text(left - 8, y + 4, shown, "end", "muted"))
    for tick in x_ticks or ticks(x_low, x_high, 7):
        if x_low <= tick <= x_high and tick == round(tick):
            body.append(text(at(tick, 0)[0], height - bottom + 20, f"{tick:g}", "middle", "muted"))
    body.append(text((left + width - right) / 2, height - 6, x_label, "middle", "muted"))
    if y_label:
        y = (top + height - bottom) / 2
        body.append(text(13, y, y_label, "middle", "muted", turn=f"rotate(-90 13 {decimal(y)})"))
    summary = []
    for (one, kept), (x, y) in zip([line for line in lines if line[1]], legend, strict=True):
        body += _line([at(*point) for point in kept], one)
        body += _line([(x, y), (x + 22, y)], one)
        body.append(text(x + 29, y + 4, one.name))
        last = kept[-1]
        summary.append(f"{one.name}: {percent(last[1]) if fractions else f'{last[1]:.3g}'} at {x_label} {last[0]:g}")
    return svg(width, height, title, "; ".join(summary), body)


def _legend(widths: Sequence[float], left: float, right: float) -> list[tuple[float, int]]:
    """Where the entries of a legend stand: in rows from left to right, the first of a row wherever it ends."""
    places: list[tuple[float, int]] = []
    x, y = float(left), 18
    for width in widths:
        if x + width > right + 22 and x > left:
            x, y = float(left), y + 18
        places.append((x, y))
        x += width
    return places


def _line(points: Sequence[tuple[float, float]], series: Series) -> Iterable[str]:
    path = "L".join(f"{decimal(x)} {decimal(y)}" for x, y in points)
    dashes = ' stroke-dasharray="5 4"' if series.dashed else ""
    yield f'<path d="M{path}" fill="none" stroke-linejoin="round" {stroke(series.role, 2)}{dashes}/>'
    if series.markers or len(points) == 1:
        for x, y in points:
            yield f'<circle cx="{decimal(x)}" cy="{decimal(y)}" r="3" {fill(series.role)}/>'
