"""A report for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from vov3d.check.report import SHORT_FRAMES, ClassReport, DataReport, Spread
from vov3d.errors import visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_ROWS_SHOWN = 12


def render(report: DataReport, console: Console) -> None:
    """Print a report as tables, with the verdicts at the end."""
    from rich.text import Text

    console.print(Text(f"{report.data}: {report.kind}, {len(report.classes)} classes"))
    for note in report.notes:
        console.print(Text(f"  {note}"))
    console.print(_split_table(report), _class_table(report))
    found = {"frame size": report.resolutions, "codec": report.codecs}
    for name, counts in found.items():
        console.print(Text(f"{name}: {_first(f'{value} ({number} videos)' for value, number in counts.items())}"))
    lists = {
        "cannot be decoded": [f"{one.path}: {one.reason}" for one in report.broken],
        "in several splits": [" = ".join(group) for group in report.leaked],
        "more than once in a split": [" = ".join(group) for group in report.duplicates],
        "the same under several labels": [" = ".join(group) for group in report.contradictory],
        "namesakes in train and val": [" ~ ".join(pair) for pair in report.shared_names],
        f"fewer than {SHORT_FRAMES} frames": list(report.short),
    }
    for title, lines in lists.items():
        if lines:
            console.print(Text(f"\n{title} ({len(lines)})", style="bold"))
            more = [f"... and {len(lines) - _ROWS_SHOWN} more"] if len(lines) > _ROWS_SHOWN else []
            for line in (*lines[:_ROWS_SHOWN], *more):
                console.print(Text(f"  {line}"))
    console.print()
    styles = {"wrong": "bold red", "look": "yellow", "good": "green"}
    for verdict in report.verdicts:
        console.print(Text.assemble((f"{verdict.level:<5}", styles[verdict.level]), f"  {verdict.text}"))


def _split_table(report: DataReport) -> Table:
    rows = [
        (
            one.split,
            str(one.num_videos),
            str(one.num_classes),
            str(one.num_opened),
            *(_range(spread) for spread in (one.num_frames, one.duration_seconds, one.fps)),
        )
        for one in report.splits
    ]
    return _table(("split", "videos", "classes", "decode", "frames", "seconds", "frames/s"), rows)


def _class_table(report: DataReport) -> Table:
    """The classes, or of many the largest and the smallest in train."""
    splits = [one.split for one in report.splits]
    classes = list(report.classes)
    if len(classes) > 2 * _ROWS_SHOWN:
        by_size = sorted(classes, key=lambda one: -one.num_videos["train"])
        classes = by_size[:_ROWS_SHOWN] + by_size[-_ROWS_SHOWN:]
    rows = [(one.label, *(str(one.num_videos[split]) for split in splits), _mirror(one)) for one in classes]
    return _table(("class", *splits, "mirror image"), rows)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in columns:
        is_text = column in ("split", "class", "mirror image")
        table.add_column(column, justify="left" if is_text else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(visible(cell)) for cell in row))
    return table


def _mirror(one: ClassReport) -> str:
    return "no class" if one.mirror is None else "itself" if one.mirror == one.label else one.mirror


def _range(spread: Spread | None) -> str:
    if spread is None:
        return "-"
    low, middle, high = (f"{value:.4g}" for value in (spread.minimum, spread.median, spread.maximum))
    return low if low == high else f"{low} to {high}, median {middle}"


def _first(values: Iterable[str]) -> str:
    everything = list(values)
    more = f", and {len(everything) - _ROWS_SHOWN} more" if len(everything) > _ROWS_SHOWN else ""
    return ", ".join(everything[:_ROWS_SHOWN]) + more
