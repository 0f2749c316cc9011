"""How results are shown: as one JSON document, or as plain tables."""

from __future__ import annotations

import json
import math
import shlex
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vov3d.errors import visible

if TYPE_CHECKING:
    from rich.console import Console


def to_json(value: object) -> str:
    """A result as a JSON document; dataclasses become objects, paths text, numbers that are not finite null."""
    return json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, gap: int = 3, spare: Sequence[str] = ()) -> str:
    """A table, a row a line; columns whose names end in ``>`` are numbers, set right; 2 or 3 spaces are between.

    Where it is wider than the terminal, ``spare`` columns are left out, the first of them first, and a line says so.
    """
    from rich import box
    from rich.table import Table

    lines = [tuple(map(visible, row)) for row in rows]
    left_out = _left_out(columns, lines, gap, spare)
    shown = [number for number, column in enumerate(columns) if column not in left_out]
    padding = (0, 1, 0, gap - 2)
    result = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="", padding=padding)
    for number in shown:
        justify: Literal["left", "right"] = "right" if columns[number].endswith(">") else "left"
        keeps_width = bool(spare) and number > 0
        result.add_column(columns[number].rstrip(">"), justify=justify, overflow="fold", no_wrap=keeps_width)
    for line in lines:
        result.add_row(*(line[number] for number in shown))
    text = printed(lambda console: console.print(result))
    names = ", ".join(column.rstrip(">") for column in columns if column in left_out)
    return f"{text}\nonly in a wider terminal, or with --json: {names}" if names else text


def _left_out(columns: Sequence[str], rows: Sequence[Sequence[str]], gap: int, spare: Sequence[str]) -> Sequence[str]:
    """As few of the spare columns as lets the others fit; the first column may break between words."""
    from rich.cells import cell_len

    widths = {}
    for number, column in enumerate(columns):
        cells = [column.rstrip(">"), *(row[number] for row in rows)]
        parts = [word for cell in cells for word in cell.split()] if number == 0 else cells
        widths[column] = max(map(cell_len, parts)) + gap
    room = _terminal_width() + gap
    for count in range(len(spare)):
        if sum(width for column, width in widths.items() if column not in spare[:count]) <= room:
            return spare[:count]
    return spare


def _terminal_width() -> int:
    """That of the terminal; much in a pipe."""
    return shutil.get_terminal_size((160, 24)).columns


def printed(render: Callable[[Console], None]) -> str:
    """What ``render`` prints: as wide as the terminal, wide in a pipe; brackets in class names are not styles."""
    from rich.console import Console

    console = Console(markup=False, highlight=False, emoji=False, width=_terminal_width())
    with console.capture() as captured:
        render(console)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def facts(rows: Mapping[str, object]) -> str:
    """Names and values, one a line; what is None is left out."""
    width = max(len(name) for name in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows.items() if value is not None)


def shell_command(*words: str | Path) -> str:
    """A command that a shell takes as it stands, whatever the names in it."""
    return shlex.join(map(str, words))


def percent(fraction: float | None) -> str:
    """A fraction in percent, one decimal; a dash where there is none."""
    return "-" if fraction is None or math.isnan(fraction) else f"{100 * fraction:.1f}"


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
