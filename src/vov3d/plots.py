"""Charts as SVG text: pure functions from numbers to a picture.

Each picture stands alone as a file and follows the colours of a page it is put into: a colour is written once as a
plain value and once as a CSS variable (``--chart-ink`` and so on) that a page may set. Blue is right and orange is
wrong, a pair that colour-blind readers tell apart. All names are escaped.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

COLOURS = {
    "ink": "#1b2430",
    "muted": "#566272",
    "rule": "#dde2e8",
    "surface": "#ffffff",
    "blue": "#1b5fa6",
    "orange": "#a34604",
    "on-mark": "#ffffff",
}
"""What the variables ``--chart-NAME`` are where a page does not set them."""

NUMBERED_CLASSES = 25
"""A confusion matrix of at most this many classes shows the number in each cell."""

SHADES = 8
"""The cells of a confusion matrix are drawn in this many shades, one path a shade, so that 400 classes are small."""

_FONT = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif"


@dataclass(frozen=True)
class Series:
    """One line of a chart; points that are not finite are left out.

    Attributes:
        name: shown in the legend.
        points: (x, y) in the order of x.
        role: colour, a key of ``COLOURS``.
        markers: whether each point is marked, for values that were measured now and then.
    """

    name: str
    points: Sequence[tuple[float, float]]
    role: str = "blue"
    markers: bool = False


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


def line_chart(title: str, x_label: str, series: Sequence[Series], *, fractions: bool = False) -> str:
    """Lines over a common x axis, such as the loss of training and validation over the epochs.

    Args:
        title: name of the picture for those who cannot see it.
        x_label: what is counted along x, in whole numbers.
        series: the lines.
        fractions: the values are fractions; y is labelled in percent.
    """
    width, height, left, right, top, bottom = 460, 280, 48, 14, 40, 46
    lines = [(one, [(x, y) for x, y in one.points if math.isfinite(x) and math.isfinite(y)]) for one in series]
    points = [point for _, kept in lines for point in kept]
    if not points:
        return _svg(width, 80, title, "no values", [_text(width / 2, 45, "no values yet", "middle", "muted")])
    x_low, x_high = min(x for x, _ in points), max(x for x, _ in points)
    if x_low == x_high:
        x_low, x_high = x_low - 0.5, x_high + 0.5
    y_low, y_high = min(0.0, *(y for _, y in points)), max(0.0, *(y for _, y in points))
    y_ticks = _ticks(y_low, y_high if y_high > y_low else 1.0, 5)
    digits = len(f"{y_ticks[1] - y_ticks[0]:g}".partition(".")[2])

    def at(x: float, y: float) -> tuple[float, float]:
        share_x = (x - x_low) / (x_high - x_low)
        share_y = (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return left + share_x * (width - left - right), height - bottom - share_y * (height - top - bottom)

    body = []
    for tick in y_ticks:
        _, y = at(x_low, tick)
        body.append(f'<path d="M{left} {_n(y)}H{width - right}" {_stroke("rule")}/>')
        shown = _percent(tick, max(0, digits - 2)) if fractions else f"{tick:.{digits}f}"
        body.append(_text(left - 8, y + 4, shown, "end", "muted"))
    for tick in _ticks(x_low, x_high, 7):
        if x_low <= tick <= x_high and tick == round(tick):
            body.append(_text(at(tick, 0)[0], height - bottom + 20, f"{tick:g}", "middle", "muted"))
    body.append(_text((left + width - right) / 2, height - 6, x_label, "middle", "muted"))
    legend_x = float(left)
    summary = []
    for one, kept in lines:
        if not kept:
            continue
        body += _line([at(x, y) for x, y in kept], one)
        body += _line([(legend_x, 18), (legend_x + 22, 18)], one)
        body.append(_text(legend_x + 29, 22, one.name))
        legend_x += 29 + _text_width(one.name) + 22
        last = kept[-1]
        summary.append(f"{one.name}: {_percent(last[1]) if fractions else f'{last[1]:.3g}'} at {x_label} {last[0]:g}")
    return _svg(width, height, title, "; ".join(summary), body)


def bar_chart(title: str, bars: Sequence[Bar], reference: tuple[str, float] | None = None) -> str:
    """Horizontal bars of fractions from 0 to 100%, such as the accuracy of each class.

    Args:
        title: name of the picture for those who cannot see it.
        bars: from top to bottom.
        reference: name and value of a line to compare with, such as chance.
    """
    width, top = 460, 26 if reference else 4
    names = max((_text_width(bar.label) for bar in bars), default=0.0)
    above = names > 180  # long labels stand above their bars
    left, row, drop = (0.0, 46, 21) if above else (names + 10, 27, 5)
    right = max((_text_width(bar.note, 11) for bar in bars), default=0.0) + 8
    scale = width - left - right - 52  # 52 for the number behind a full bar
    body = []
    for index, bar in enumerate(bars):
        y = top + index * row + drop
        value = bar.value if bar.value is not None and math.isfinite(bar.value) else None
        length = scale * min(1.0, max(0.0, value or 0.0))
        label = _short(bar.label, 58)
        body.append(_text(0, y - 6, label, hint=bar.label) if above else _text(left - 10, y + 13, label, "end"))
        fill = _fill("blue", 1.0 if bar.emphasis else 0.55)
        body.append(f'<rect x="{_n(left)}" y="{y}" width="{_n(scale)}" height="17" rx="2" {_fill("rule", 0.5)}/>')
        body.append(f'<rect x="{_n(left)}" y="{y}" width="{_n(length)}" height="17" rx="2" {fill}/>')
        body.append(_text(left + length + 6, y + 13, "–" if value is None else _percent(value)))
        body.append(_text(width, y + 13, bar.note, "end", "muted", size=11))
        if reference:
            x = left + scale * reference[1]
            body.append(f'<path d="M{_n(x)} {y - 3}v23" {_stroke("ink", 1.5)}/>')
    summary = [f"{bar.label} {'unknown' if bar.value is None else _percent(bar.value)}" for bar in bars]
    if reference:
        name = f"{reference[0]} {_percent(reference[1])}"
        body.append(_text(left + scale * reference[1] - 1, 16, name, "start", "muted", size=11))
        summary.append(name)
    return _svg(width, top + len(bars) * row + 4, title, "; ".join(summary), body)


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
    names = [_short(label) if named else "" for label in labels]
    margin = max((_text_width(name, font) for name in names), default=0.0) + 10 if named else 40.0
    left, top, side = margin + 22, 6.0, cell * num
    below = (margin * 0.72 + 8 if num <= NUMBERED_CLASSES else margin) if named else 22.0
    width, height = left + max(side + 16, 290.0), top + side + below + 62
    counts = [max(1, sum(row)) for row in confusion]
    body = [f'<g transform="translate({_n(left)} {top})">', *_shaded_cells(confusion, counts, cell)]
    if num <= NUMBERED_CLASSES:
        body += _cell_numbers(labels, confusion, counts, cell)
    body.append("</g>")
    for index, name in enumerate(names):
        middle = (index + 0.5) * cell
        if named:
            x, y = left + middle, top + side + 8
            turn = f"rotate({-45 if num <= NUMBERED_CLASSES else -90} {_n(x)} {_n(y)})"
            body.append(_text(left - 7, top + middle + font * 0.35, name, "end", size=font, hint=labels[index]))
            body.append(_text(x + font * 0.35, y + font * 0.35, name, "end", size=font, hint=labels[index], turn=turn))
        elif (index + 1) % (50 if num > 150 else 25) == 0 or index == 0:
            body.append(_text(left - 7, top + middle + 4, str(index + 1), "end", "muted", size=11))
            body.append(_text(left + middle, top + side + 16, str(index + 1), "middle", "muted", size=11))
    y = top + side / 2
    body.append(_text(12, y, "true class", "middle", "muted", turn=f"rotate(-90 12 {_n(y)})"))
    body.append(_text(left + side / 2, top + side + below + 18, "predicted class", "middle", "muted"))
    body += _shade_legend(left, height - 22)
    num_right, total = sum(confusion[index][index] for index in range(num)), sum(map(sum, confusion))
    return _svg(width, height, "Confusion matrix", f"{num_right} of {total} videos of {num} classes are right", body)


def _shaded_cells(confusion: Sequence[Sequence[int]], counts: Sequence[int], cell: float) -> Iterable[str]:
    """One path for each shade of each colour, drawn in units of cells, so that 400 classes stay a small file."""
    num = len(counts)
    gap = 0.05 if num <= NUMBERED_CLASSES else 0.0
    yield f'<g transform="scale({cell:.5g})"><path d="M0 0h{num}v{num}h-{num}z" {_fill("rule", 0.4)}/>'
    squares: dict[tuple[str, int], list[str]] = {}
    for i, row in enumerate(confusion):
        for j, count in enumerate(row):
            if count:
                key = ("blue" if i == j else "orange", _shade(count, counts[i]))
                squares.setdefault(key, []).append(f"M{j} {i}h1v1h-1z")
    for (role, shade), path in sorted(squares.items()):
        yield f'<path d="{"".join(path)}" {_fill(role, _opacity(shade))}/>'
    if gap:
        lines = "".join(f"M0 {index}h{num}M{index} 0v{num}" for index in range(num + 1))
        yield f'<path d="{lines}" {_stroke("surface", gap)}/>'
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
                yield _text(x, y, str(count), "middle", role, hint=hint)


def _shade_legend(x: float, y: float) -> Iterable[str]:
    for role, name in (("blue", "right"), ("orange", "wrong")):
        for shade in range(1, SHADES + 1):
            box = f'x="{_n(x + shade * 9 - 9)}" y="{_n(y)}" width="9" height="11"'
            yield f"<rect {box} {_fill(role, _opacity(shade))}/>"
        yield _text(x + 78, y + 10, f"{name}, 0–100%", "start", "muted", size=11)
        x += 170


def _shade(count: int, total: int) -> int:
    return math.ceil(count / total * SHADES)


def _opacity(shade: int) -> float:
    """Two ramps with a jump at one half, so that dark ink on the lower and its opposite on the upper can be read."""
    share = shade / SHADES
    return 0.12 + 0.6 * share if share <= 0.5 else 0.62 + 0.38 * share


def _line(points: Sequence[tuple[float, float]], series: Series) -> Iterable[str]:
    path = "L".join(f"{_n(x)} {_n(y)}" for x, y in points)
    yield f'<path d="M{path}" fill="none" stroke-linejoin="round" {_stroke(series.role, 2)}/>'
    if series.markers or len(points) == 1:
        for x, y in points:
            yield f'<circle cx="{_n(x)}" cy="{_n(y)}" r="3" {_fill(series.role)}/>'


def _ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers from at most ``low`` to at least ``high``, roughly ``about`` of them."""
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def _percent(fraction: float, digits: int = 1) -> str:
    return f"{100 * fraction:.{digits}f}%" if math.isfinite(fraction) else "–"


def _short(label: str, limit: int = 26) -> str:
    """A long label without its middle; what tells "from left to right" from "from right to left" is at the end."""
    return label if len(label) <= limit else f"{label[: limit // 2].rstrip()}…{label[1 - limit // 2 :].lstrip()}"


def _text_width(text: str, size: int = 12) -> float:
    """About how wide a text is, in pixels; wide letters are those of East Asian scripts."""
    return sum(1.0 if unicodedata.east_asian_width(letter) in "WF" else 0.6 for letter in text) * size


def _n(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


def _fill(role: str, opacity: float = 1.0) -> str:
    see_through = f' fill-opacity="{opacity:.2f}"' if opacity < 1 else ""
    return f'fill="{COLOURS[role]}" style="fill:var(--chart-{role},{COLOURS[role]})"{see_through}'


def _stroke(role: str, width: float = 1) -> str:
    return f'stroke="{COLOURS[role]}" style="stroke:var(--chart-{role},{COLOURS[role]})" stroke-width="{width:g}"'


def _text(
    x: float,
    y: float,
    content: str,
    anchor: str = "start",
    role: str = "ink",
    *,
    size: int = 12,
    turn: str = "",
    hint: str = "",
) -> str:
    """A line of text; ``hint`` is the full text where ``content`` had to be cut."""
    transform = f' transform="{turn}"' if turn else ""
    title = f"<title>{_clean(hint)}</title>" if hint and hint != content else ""
    place = f'x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}" font-size="{size}"{transform}'
    return f"<text {place} {_fill(role)}>{_clean(content)}{title}</text>"


def _clean(text: str) -> str:
    """Escaped, without the control characters that XML does not allow."""
    return escape("".join(letter if letter.isprintable() else " " for letter in text))


def _svg(width: float, height: float, title: str, description: str, body: Iterable[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_n(width)} {_n(height)}" width="{_n(width)}" '
        f'height="{_n(height)}" role="img" font-family="{_FONT}" style="font-variant-numeric:tabular-nums">'
        f"<title>{_clean(title)}</title><desc>{_clean(description or 'no values')}</desc>"
        f'<rect width="100%" height="100%" {_fill("surface")}/>{"".join(body)}</svg>\n'
    )
