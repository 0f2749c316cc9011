"""Horizontal bars of fractions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vov3d.plots.svg import STYLES, decimal, fill, percent, short, stroke, svg, text, text_width


@dataclass(frozen=True)
class Bar:
    """One horizontal bar.

    Attributes:
        label: what was measured.
        value: fraction, 0 to 1; None or NaN where nothing was measured.
        note: small text at the right edge.
        emphasis: full colour; a bar without it steps back.
    """

    label: str
    value: float | None
    note: str = ""
    emphasis: bool = True


def bar_chart(title: str, bars: Sequence[Bar], reference: tuple[str, float] | None = None) -> str:
    """Horizontal bars of fractions from 0 to 100%, such as the accuracy of each class.

    Args:
        title: name of the picture for those who cannot see it.
        bars: from top to bottom.
        reference: name and value of a line to compare with, such as chance.
    """
    width, top = 460, 26 if reference else 4
    names = max((text_width(bar.label) for bar in bars), default=0.0)
    above = names > 180  # long labels stand above their bars
    left, row, drop = (0.0, 46, 21) if above else (names + 10, 27, 5)
    right = max((text_width(bar.note, 11) for bar in bars), default=0.0) + 8
    scale = width - left - right - 52  # 52 for the number behind a full bar
    body = []
    for index, bar in enumerate(bars):
        y = top + index * row + drop
        value = bar.value if bar.value is not None and math.isfinite(bar.value) else None
        length = scale * min(1.0, max(0.0, value or 0.0))
        label = short(bar.label, 58)
        body.append(text(0, y - 6, label, hint=bar.label) if above else text(left - 10, y + 13, label, "end"))
        colour = fill("blue", 1.0 if bar.emphasis else 0.55)
        body.append(
            f'<rect x="{decimal(left)}" y="{y}" width="{decimal(scale)}" height="17" rx="2" {fill("rule", 0.5)}/>'
        )
        body.append(f'<rect x="{decimal(left)}" y="{y}" width="{decimal(length)}" height="17" rx="2" {colour}/>')
        body.append(text(left + length + 6, y + 13, "–" if value is None else percent(value)))
        body.append(text(width, y + 13, bar.note, "end", "muted", size=11))
        if reference:
            x = left + scale * reference[1]
            body.append(f'<path d="M{decimal(x)} {y - 3}v23" {stroke("ink", 1.5)}/>')
    summary = [f"{bar.label} {'unknown' if bar.value is None else percent(bar.value)}" for bar in bars]
    if reference:
        name = f"{reference[0]} {percent(reference[1])}"
        body.append(text(left + scale * reference[1] - 1, 16, name, "start", "muted", size=11))
        summary.append(name)
    return svg(width, top + len(bars) * row + 4, title, "; ".join(summary), body)


def group_chart(
    title: str, names: Sequence[str], groups: Sequence[tuple[str, Sequence[float | None]]], *, times: bool = False
) -> str:
    """Groups of horizontal bars of fractions, one bar a name in each group, such as networks under several conditions.

    Args:
        title: name of the picture for those who cannot see it.
        names: what the bars of each group stand for, shown in the legend; at most as many as there are `STYLES`.
        groups: label and values of each group, from top to bottom; None or NaN where nothing was measured.
        times: the values are no fractions but multiples, such as 5.3 times as fast, and the longest bar is the largest.
    """
    width, bar, gap = 460, 14, 12
    full = max((value or 0.0 for _, values in groups for value in values), default=1.0) if times else 1.0

    def shown_as(value: float) -> str:
        return (f"{value:.1f}x" if math.isfinite(value) else "–") if times else percent(value)

    left = max((text_width(label) for label, _ in groups), default=0.0) + 10
    scale = width - left - 52  # 52 for the number behind a full bar
    body = []
    for index, (name, style) in enumerate(zip(names, STYLES[: len(names)], strict=True)):
        y = 4 + 18 * index
        body += [f'<rect x="{decimal(left)}" y="{y}" width="22" height="12" rx="2" {_filled(style)}/>']
        body.append(text(left + 29, y + 10, short(name, 58), hint=name))
    y, summary = 18 * len(names) + 12, []
    for label, values in groups:
        body.append(text(left - 10, y + bar * len(values) / 2 + 4, label, "end"))
        shown = [math.nan if value is None else value for value in values]
        for value, style in zip(shown, STYLES[: len(shown)], strict=True):
            length = scale * min(1.0, max(0.0, value / full)) if math.isfinite(value) else 0.0
            place = f'x="{decimal(left)}" y="{y}" width="{decimal(length)}" height="{bar - 2}"'
            body.append(f'<rect {place} rx="2" {_filled(style)}/>')
            body.append(text(left + length + 6, y + 10, shown_as(value), size=11))
            y += bar
        y += gap
        summary.append(f"{label} {', '.join(map(shown_as, shown))}")
    return svg(width, y, title, "; ".join(summary), body)


def _filled(style: tuple[str, bool]) -> str:
    role, is_light = style
    return fill(role, 0.5 if is_light else 1.0)
