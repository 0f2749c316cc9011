"""The tables of a comparison as text, the same for the terminal and for the page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vov3d.compare.comparison import Comparison, Row
from vov3d.compare.costs import Cost
from vov3d.compare.field import DATASETS, Accuracy
from vov3d.compare.notes import NOTES
from vov3d.models import MODELS

_STARTS = {"Kinetics": "K400", "ImageNet": "IN"}


@dataclass(frozen=True)
class Table:
    """A table; columns whose names end in ``>`` are numbers.

    Attributes:
        title: what it shows.
        columns: names.
        rows: cells.
        datasets: whose accuracies it shows.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    datasets: tuple[str, ...] = ()


def cost_table(comparison: Comparison) -> Table:
    """What one view of each network costs, the cheapest first."""
    columns = ("model", "clip", "M params>", "GMACs>", "views>", "GMACs/video>", "M act.>", "MiB>", "ms>", "spread>")
    by_gmacs = sorted(comparison.costs, key=lambda cost: math.inf if cost.gmacs is None else cost.gmacs)
    rows = tuple((cost.clip.model, cost.clip.size, *_cost(cost, comparison)) for cost in by_gmacs)
    return Table(f"What one view costs: {comparison.input}", columns, rows)


def section_tables(comparison: Comparison) -> list[Table]:
    """How accurate the systems are, as published, one table for each kind of data."""
    numbers = note_numbers(comparison)
    tables = []
    for title in dict.fromkeys(row.published.section for row in comparison.rows if row.published.section):
        rows = [row for row in comparison.rows if row.published.section == title]
        datasets = tuple(dict.fromkeys(name for row in rows for name in row.published.accuracy))
        names = (f"{DATASETS.get(name, 'top-1/5')}>" for name in datasets)
        columns = ("system", "clip", "start", "M params>", "GFLOPs>", *names, "source")
        cells = tuple(_published(row, datasets, numbers) for row in rows)
        tables.append(Table(title, columns, cells, datasets))
    return tables


def notes(comparison: Comparison) -> list[str]:
    """What the numbers in the column of notes say, in their order."""
    return [NOTES.get(key, key) for key in note_numbers(comparison)]


def failures(comparison: Comparison) -> list[str]:
    """One line for each network that could not be shown its clip or was not measured to the end."""
    found = ((cost, cost.failure or (cost.measured.failure if cost.measured else "")) for cost in comparison.costs)
    return [f"{cost.clip.model} at {cost.clip.size}: {reason}" for cost, reason in found if reason]


def note_numbers(comparison: Comparison) -> dict[str, int]:
    """Key of a note, or its text, -> its number: in the order of first use."""
    used = [key for row in comparison.rows for key in _note_keys(row)]
    return {key: number for number, key in enumerate(dict.fromkeys(used), 1)}


def _note_keys(row: Row) -> tuple[str, ...]:
    if row.published.model in MODELS:
        return row.published.notes
    return (*row.published.notes, row.published.absent or f"{row.published.model} is not in the catalogue.")


def _cost(cost: Cost, comparison: Comparison) -> tuple[str, ...]:
    rows = [row for row in comparison.rows if comparison.clip_of(row.published) == cost.clip]
    views = sorted({row.published.views for row in rows if row.published.views})
    per_video = [cost.gmacs * one for one in views] if cost.gmacs is not None else []
    counted = (
        f"{cost.parameters / 1e6:.2f}",
        _short(cost.gmacs),
        _joined(map(str, views)),
        _joined(map(_whole, per_video)),
        "-" if cost.activations is None else _whole(cost.activations / 1e6),
    )
    found = cost.measured
    if found is None or found.latency_ms is None or found.fastest_ms is None or found.slowest_ms is None:
        return (*counted, "-", (found and found.verdict) or "-", "-")
    peak = "-" if found.peak_mib is None else f"{found.peak_mib:,.0f}"
    spread = (found.slowest_ms - found.fastest_ms) / found.latency_ms
    return (*counted, peak, f"{found.latency_ms:,.0f}", f"{spread:.0%}")


def _published(row: Row, datasets: Sequence[str], numbers: dict[str, int]) -> tuple[str, ...]:
    printed = row.published
    return (
        short_name(printed.system),
        f"{printed.frames}x{printed.crop}",
        _STARTS.get(printed.pretrained or "", printed.pretrained or "-"),
        printed_and_counted(printed.params_millions, None if row.parameters is None else row.parameters / 1e6),
        f"{printed_and_counted(printed.gflops, row.gmacs)} x{printed.views or '?'}",
        *(_accuracy(printed.accuracy.get(name)) for name in datasets),
        " ".join([printed.source, *(str(numbers[key]) for key in _note_keys(row))]),
    )


def short_name(system: str) -> str:
    """A system's name as it fits a table."""
    return system.replace(" 3D ResNet-", " R").replace("ResNet-", "R")


def _accuracy(found: Accuracy | None) -> str:
    if found is None:
        return "-"
    return "/".join("-" if one is None else f"{100 * one:.1f}" for one in (found.top1, found.top5))


def printed_and_counted(printed: float | None, counted: float | None) -> str:
    """What is printed, and in brackets what is counted where that is more than 1% off and does not round to it."""
    shown = "" if counted is None else f"({counted:.1f})" if counted >= 1 else f"({counted:.2g})"
    if printed is None:
        return shown or "-"
    digits = len(str(printed).partition(".")[2])
    is_near = counted is None or abs(counted - printed) <= 0.01 * printed or round(counted, digits) == printed
    return str(printed) if is_near else f"{printed} {shown}"


def _short(gmacs: float | None) -> str:
    return "-" if gmacs is None else f"{gmacs:.2f}" if gmacs < 100 else f"{gmacs:.1f}"


def _whole(number: float) -> str:
    """Without decimals, but for what would round to little or nothing."""
    return f"{number:,.0f}" if number >= 1 else f"{number:.2g}"


def _joined(words: Iterable[str]) -> str:
    return ", ".join(words) or "-"
