"""What all charts are made of: colours, text, numbers, and the frame of a picture."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable
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

STYLES = tuple((role, second) for second in (False, True) for role in ("blue", "orange", "ink"))
"""Colour and second form (dashed lines, light bars) of as many things as one picture can tell apart."""

_FONT = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif"


def ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers from at most ``low`` to at least ``high``, roughly ``about`` of them."""
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def percent(fraction: float, digits: int = 1) -> str:
    """A fraction in percent; a dash for what is not finite."""
    return f"{100 * fraction:.{digits}f}%" if math.isfinite(fraction) else "–"


def short(label: str, limit: int = 26) -> str:
    """A long label without its middle; what tells "from left to right" from "from right to left" is at the end."""
    return label if len(label) <= limit else f"{label[: limit // 2].rstrip()}…{label[1 - limit // 2 :].lstrip()}"


def text_width(text: str, size: int = 12) -> float:
    """About how wide a text is, in pixels; wide letters are those of East Asian scripts."""
    return sum(1.0 if unicodedata.east_asian_width(letter) in "WF" else 0.6 for letter in text) * size


def decimal(number: float) -> str:
    """A length or a place in pixels, one decimal."""
    return f"{number:.1f}".removesuffix(".0")


def fill(role: str, opacity: float = 1.0) -> str:
    """The attributes of what is filled with a colour of ``COLOURS``."""
    see_through = f' fill-opacity="{opacity:.2f}"' if opacity < 1 else ""
    return f'fill="{COLOURS[role]}" style="fill:var(--chart-{role},{COLOURS[role]})"{see_through}'


def stroke(role: str, width: float = 1) -> str:
    """The attributes of a line of this colour and width."""
    return f'stroke="{COLOURS[role]}" style="stroke:var(--chart-{role},{COLOURS[role]})" stroke-width="{width:g}"'


def text(
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
    title = f"<title>{clean(hint)}</title>" if hint and hint != content else ""
    place = f'x="{decimal(x)}" y="{decimal(y)}" text-anchor="{anchor}" font-size="{size}"{transform}'
    return f"<text {place} {fill(role)}>{clean(content)}{title}</text>"


def clean(text: str) -> str:
    """Escaped, without the control characters that XML does not allow."""
    return escape("".join(letter if letter.isprintable() else " " for letter in text))


def svg(width: float, height: float, title: str, description: str, body: Iterable[str]) -> str:
    """The whole picture; title and description are for those who cannot see it."""
    sides = f'viewBox="0 0 {decimal(width)} {decimal(height)}" width="{decimal(width)}" height="{decimal(height)}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {sides} role="img" font-family="{_FONT}" '
        f'style="font-variant-numeric:tabular-nums"><title>{clean(title)}</title>'
        f"<desc>{clean(description or 'no values')}</desc>"
        f'<rect width="100%" height="100%" {fill("surface")}/>{"".join(body)}</svg>\n'
    )
