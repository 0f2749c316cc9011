"""Confusion matrices."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from vov3d.plots.svg import decimal, fill, short, stroke, svg, text, text_width

NUMBERED_CLASSES = 25
"""A confusion matrix of at most this many classes shows the number in each cell."""

SHADES = 8
"""The cells of a confusion matrix are drawn in this many shades, one path a shade, so that 400 classes are small."""


def confusion_chart(labels: Sequence[str], confusion: Sequence[Sequence[int]]) -> str:
    """A confusion matrix: one row a true class, one column an answer, shaded by the share of the row.

    The diagonal is blue and mistakes are orange. Up to 25 classes show their numbers; where the cells are too small for
    names, the axes count the classes instead.

    Args:
        labels: K names, K at least 1.
        confusion: K rows of K counts.
    """
    num = len(labels)
    cell = min(44.0, max(24.0, 480 / num)) if num <= NUMBERED_CLASSES else 620 / num
    font = 12 if cell >= 20 else min(11, int(cell))
    named = font >= 8
    names = [short(label) if named else "" for label in labels]
    margin = max((text_width(name, font) for name in names), default=0.0) + 10 if named else 40.0
    left, top, side = margin + 22, 6.0, cell * num
    below = (margin * 0.72 + 8 if num <= NUMBERED_CLASSES else margin) if named else 22.0
    width, height = left + max(side + 16, 290.0), top + side + below + 62
    counts = [max(1, sum(row)) for row in confusion]
    body = [f'<g transform="translate({decimal(left)} {top})">', *_shaded_cells(confusion, counts, cell)]
    if num <= NUMBERED_CLASSES:
        body += _cell_numbers(labels, confusion, counts, cell)
    body.append("</g>")
    for index, name in enumerate(names):
        middle = (index + 0.5) * cell
        if named:
            x, y = left + middle, top + side + 8
            turn = f"rotate({-45 if num <= NUMBERED_CLASSES else -90} {decimal(x)} {decimal(y)})"
            body.append(text(left - 7, top + middle + font * 0.35, name, "end", size=font, hint=labels[index]))
            body.append(text(x + font * 0.35, y + font * 0.35, name, "end", size=font, hint=labels[index], turn=turn))
        elif (index + 1) % (50 if num > 150 else 25) == 0 or index == 0:
            body.append(text(left - 7, top + middle + 4, str(index + 1), "end", "muted", size=11))
            body.append(text(left + middle, top + side + 16, str(index + 1), "middle", "muted", size=11))
    y = top + side / 2
    body.append(text(12, y, "true class", "middle", "muted", turn=f"rotate(-90 12 {decimal(y)})"))
    body.append(text(left + side / 2, top + side + below + 18, "predicted class", "middle", "muted"))
    body += _shade_legend(left, height - 22)
    num_right, total = sum(confusion[index][index] for index in range(num)), sum(map(sum, confusion))
    return svg(width, height, "Confusion matrix", f"{num_right} of {total} videos of {num} classes are right", body)


def _shaded_cells(confusion: Sequence[Sequence[int]], counts: Sequence[int], cell: float) -> Iterable[str]:
    """One path for each shade of each colour, drawn in units of cells, so that 400 classes stay a small file."""
    num = len(counts)
    gap = 0.05 if num <= NUMBERED_CLASSES else 0.0
    yield f'<g transform="scale({cell:.5g})"><path d="M0 0h{num}v{num}h-{num}z" {fill("rule", 0.4)}/>'
    squares: dict[tuple[str, int], list[str]] = {}
    for i, row in enumerate(confusion):
        for j, count in enumerate(row):
            if count:
                key = ("blue" if i == j else "orange", _shade(count, counts[i]))
                squares.setdefault(key, []).append(f"M{j} {i}h1v1h-1z")
    for (role, shade), path in sorted(squares.items()):
        yield f'<path d="{"".join(path)}" {fill(role, _opacity(shade))}/>'
    if gap:
        lines = "".join(f"M0 {index}h{num}M{index} 0v{num}" for index in range(num + 1))
        yield f'<path d="{lines}" {stroke("surface", gap)}/>'
    yield "</g>"


def _cell_numbers(
    labels: Sequence[str], confusion: Sequence[Sequence[int]], counts: Sequence[int], cell: float
) -> Iterable[str]:
    for i, row in enumerate(confusion):
        for j, count in enumerate(row):
            if count:
                x, y = (j + 0.5) * cell, (i + 0.5) * cell + 4.5
                hint = f"{labels[i]} taken for {labels[j]}: {count} of {counts[i]}"
                role = "on-mark" if _shade(count, counts[i]) > SHADES / 2 else "ink"
                yield text(x, y, str(count), "middle", role, hint=hint)


def _shade_legend(x: float, y: float) -> Iterable[str]:
    for role, name in (("blue", "right"), ("orange", "wrong")):
        for shade in range(1, SHADES + 1):
            box = f'x="{decimal(x + shade * 9 - 9)}" y="{decimal(y)}" width="9" height="11"'
            yield f"<rect {box} {fill(role, _opacity(shade))}/>"
        yield text(x + 78, y + 10, f"{name}, 0–100%", "start", "muted", size=11)
        x += 170


def _shade(count: int, total: int) -> int:
    return math.ceil(count / total * SHADES)


def _opacity(shade: int) -> float:
    """Two ramps with a jump at one half, so that dark ink on the lower and its opposite on the upper can be read."""
    share = shade / SHADES
    return 0.12 + 0.6 * share if share <= 0.5 else 0.62 + 0.38 * share
