"""What each layer of a network sees of the frames: rows of shaded cells, one cell a frame."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vov3d.plots.svg import decimal, fill, stroke, svg, text, text_width, ticks

ROW, SHADES = 15, 8
"""Height of a row in pixels; the cells are drawn in this many shades, one path a shade."""


@dataclass(frozen=True)
class FieldRow:
    """One row.

    Attributes:
        label: what sees.
        energy: share of each frame, at least 0.
        span: first and last frame of the theoretical field, counted from the position; ``None`` for all frames.
        notes: small text at the right edge, in columns.
        indented: whether the row is a part of what follows it.
    """

    label: str
    energy: Sequence[float]
    span: tuple[int, int] | None
    notes: tuple[str, ...] = ()
    indented: bool = False


def field_chart(title: str, x_label: str, rows: Sequence[FieldRow], *, position: int, heads: Sequence[str]) -> str:
    """Rows of shaded cells, dark where much depends on a frame, each underlined as far as the theory reaches.

    Shades are square roots of shares of the largest in the row, so that small ones can be seen.

    Args:
        title: name of the picture for those who cannot see it.
        x_label: what is counted along x.
        rows: from top to bottom, all with equally many frames.
        position: the frame that counts as 0.
        heads: what the columns of notes are called.
    """
    frames = len(rows[0].energy)
    cell = max(6.0, min(16.0, 420 / frames))
    left = max(text_width(row.label, 11) + 14 * row.indented for row in rows) + 10
    right, columns = left + cell * frames, [52 * (number + 1) for number in range(len(heads))]
    top = 46
    bottom = top + ROW * len(rows)
    body = [*_key(left)]
    body += [text(right + x, top - 6, head, "end", "muted", size=11) for x, head in zip(columns, heads, strict=True)]
    for number, row in enumerate(rows):
        y = top + ROW * number
        body.append(text(left - 8, y + 11, row.label, "end", "muted" if row.indented else "ink", size=11))
        body += _cells(row.energy, left, y, cell)
        first, last = row.span or (-position, frames - 1 - position)
        edges = [left + cell * min(frames, max(0, position + at)) for at in (first, last + 1)]
        body.append(f'<path d="M{decimal(edges[0])} {y + ROW - 1.5}H{decimal(edges[1])}" {stroke("orange", 1.5)}/>')
        body += [text(right + x, y + 11, note, "end", size=11) for x, note in zip(columns, row.notes, strict=True)]
    for tick in ticks(-position, max(1, frames - 1 - position), 8):
        if tick == round(tick) and -position <= tick < frames - position:
            x = left + cell * (position + tick + 0.5)
            body.append(text(x, bottom + 16, f"{tick:g}".replace("-", "−"), "middle", "muted", size=11))
    x = left + cell * (position + 0.5)
    body.append(f'<path d="M{decimal(x)} {top - 3}V{bottom + 3}" {stroke("muted", 0.75)} stroke-dasharray="2 3"/>')
    body.append(text((left + right) / 2, bottom + 34, x_label, "middle", "muted"))
    summary = [f"{row.label}: {', '.join(map(' '.join, zip(heads, row.notes, strict=True)))}" for row in rows]
    return svg(right + columns[-1] + 8, bottom + 42, title, "; ".join(summary), body)


def _cells(energy: Sequence[float], left: float, top: float, cell: float) -> Iterable[str]:
    """The cells of a row, one path for each shade."""
    largest = max(energy) or 1.0
    shades: dict[int, list[str]] = {}
    for frame, share in enumerate(energy):
        shade = round(SHADES * math.sqrt(share / largest))
        if shade:
            place = f"M{decimal(left + cell * frame)} {decimal(top + 1)}"
            shades.setdefault(shade, []).append(f"{place}h{decimal(cell - 0.5)}v{ROW - 4}h-{decimal(cell - 0.5)}z")
    for shade, path in sorted(shades.items()):
        yield f'<path d="{"".join(path)}" {fill("blue", shade / SHADES)}/>'


def _key(left: float) -> Iterable[str]:
    """What shades and lines mean."""
    for shade in range(1, SHADES + 1):
        box = f'x="{decimal(left + shade * 9 - 9)}" y="6" width="9" height="11"'
        yield f"<rect {box} {fill('blue', shade / SHADES)}/>"
    yield text(left + 78, 16, "measured", "start", "muted", size=11)
    yield f'<path d="M{decimal(left + 146)} 12h22" {stroke("orange", 1.5)}/>'
    yield text(left + 174, 16, "in theory", "start", "muted", size=11)
