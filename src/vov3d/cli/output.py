"""How results are shown: as one JSON document, or as plain tables."""

from __future__ import annotations

import json
import math
import shlex
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vov3d.errors import visible

if TYPE_CHECKING:
    from rich.console import Console


def to_json(value: object) -> str:
    """A result as a JSON document; dataclasses become objects, paths text, numbers that are not finite null."""
    return json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, gap: int = 3) -> str:
    """A table, a row a line; columns whose names end in ``>`` are numbers, set right; 2 or 3 spaces are between."""
    from rich import box
    from rich.table import Table

    padding = (0, 1, 0, gap - 2)
    result = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="", padding=padding)
    for column in columns:
        is_number = column.endswith(">")
        result.add_column(column.rstrip(">"), justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        result.add_row(*map(visible, row))
    return printed(lambda console: console.print(result))


def printed(render: Callable[[Console], None]) -> str:
    """What ``render`` prints: as wide as the terminal, wide in a pipe; brackets in class names are not styles."""
    from rich.console import Console

    width = shutil.get_terminal_size((160, 24)).columns
    console = Console(markup=False, highlight=False, emoji=False, width=width)
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
