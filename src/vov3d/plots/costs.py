"""Two costs of the same things against each other, both on logarithmic axes, with the line on which they agree."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from vov3d.plots.scatter import Panel, Point, beside, log_ticks, mark
from vov3d.plots.svg import decimal, stroke, svg, text, text_width

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 560, 470, 64, 16, 60, 46
_SIZE = 11
Range = tuple[float, float]


def cost_chart(title: str, labels: tuple[str, str], panels: Sequence[Panel], legend: Sequence[Point] = ()) -> str:
    """One cost over another; what lies above the dashed line takes more of the second than the first says.

    Args:
        title: name of the picture for those who cannot see it.
        labels: what is counted along x and along y, both in multiples of the same thing.
        panels: from left to right, on the same axes; their ``x_label`` stands above them.
        legend: name and look of each kind of mark.
    """
    points = [point for panel in panels for point in panel.points]
    if not points:
        return svg(_WIDTH, 80, title, "no values", [text(_WIDTH / 2, 45, "no values yet", "middle", "muted")])
    across, up = _range([one.x for one in points]), _range([one.y for one in points])
    body, x = [], float(_LEFT)
    for one in legend:
        body += [mark(x + 5, 18, one), text(x + 15, 22, one.name)]
        x += 15 + text_width(one.name) + 22
    for place, panel in enumerate(panels):
        inner = "".join(_panel(panel, labels[0], across, up))
        body.append(f'<g transform="translate({place * _WIDTH} 0)">{inner}</g>')
    y = (_TOP + _HEIGHT - _BOTTOM) / 2
    body.append(text(13, y, labels[1], "middle", "muted", turn=f"rotate(-90 13 {decimal(y)})"))
    summary = "; ".join(f"{one.name} {one.y:.3g} at {one.x:.3g}" for one in panels[-1].points)
    return svg(_WIDTH * len(panels), _HEIGHT, title, summary, body)


def _range(values: Sequence[float]) -> Range:
    """Logarithms of the ends of an axis."""
    logs = [math.log10(value) for value in values]
    margin = 0.06 * max(max(logs) - min(logs), 0.5)
    return min(logs) - margin, max(logs) + margin


def _panel(panel: Panel, x_label: str, across: Range, up: Range) -> Iterable[str]:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def at(x: float, y: float) -> tuple[float, float]:
        return (
            _LEFT + (x - across[0]) / (across[1] - across[0]) * (right - _LEFT),
            bottom - (y - up[0]) / (up[1] - up[0]) * (bottom - _TOP),
        )

    for tick in log_ticks(*up):
        y = at(0, math.log10(tick))[1]
        yield f'<path d="M{_LEFT} {decimal(y)}H{right}" {stroke("rule")}/>'
        yield text(_LEFT - 8, y + 4, f"{tick:,g}", "end", "muted")
    for tick in log_ticks(*across):
        x = at(math.log10(tick), 0)[0]
        yield f'<path d="M{decimal(x)} {bottom}v4" {stroke("muted")}/>'
        yield text(x, bottom + 20, f"{tick:,g}", "middle", "muted")
    yield text((_LEFT + right) / 2, _HEIGHT - 6, x_label, "middle", "muted")
    yield text((_LEFT + right) / 2, _TOP - 14, panel.x_label, "middle", size=13)
    low, high = max(across[0], up[0]), min(across[1], up[1])
    if low < high:
        ends = "L".join(f"{decimal(x)} {decimal(y)}" for x, y in (at(low, low), at(high, high)))
        yield f'<path d="M{ends}" fill="none" {stroke("muted")} stroke-dasharray="4 4"/>'
    places = [at(math.log10(one.x), math.log10(one.y)) for one in panel.points]
    for one, place in zip(panel.points, places, strict=True):
        yield mark(*place, one)
    names = [one.name for one in panel.points]
    for name, box, (x, _) in zip(names, beside(names, places, (_LEFT, _TOP, right, bottom)), places, strict=True):
        on_the_left = box[2] < x
        yield text(box[2] if on_the_left else box[0], box[3] - 2, name, "end" if on_the_left else "start", size=_SIZE)
