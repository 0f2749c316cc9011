"""Results of the benchmarks as `performance_page.py` shows them: read, looked up, and as cells of tables."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
PRECISIONS = ("fp32", "bf16", "int8")
NAMES = {"vov3d_m": "VoV3D-M", "vov3d_l": "VoV3D-L", "x3d_m": "X3D-M"}
Row = Mapping[str, str]


@dataclass(frozen=True)
class Results:
    """A file of results.

    Attributes:
        facts: what it was made with.
        rows: what was measured; every value a text, empty where there is none.
    """

    facts: Mapping[str, str]
    rows: Sequence[Row]

    def where(self, **wanted: str) -> list[Row]:
        """The rows with these values."""
        return [row for row in self.rows if all(row.get(key) == value for key, value in wanted.items())]

    def inputs(self) -> list[Cell]:
        """What was compared with each other: a network, an input and a number of threads."""
        found: dict[tuple[str, str, str, str, str], list[Row]] = {}
        for row in self.rows:
            what = row["model"], row["frames"], row["crop"], row["batch"], row["threads"]
            found.setdefault(what, []).append(row)
        models = list(dict.fromkeys(row["model"] for row in self.rows))
        cells = [Cell(*key, Results(self.facts, rows)) for key, rows in found.items()]
        return sorted(cells, key=lambda one: (models.index(one.model), *map(int, (one.batch, one.crop, one.threads))))


Found = Mapping[str, Results]
"""Of each benchmark."""


@dataclass(frozen=True)
class Cell:
    """One network at one input, in all ways that were tried."""

    model: str
    frames: str
    crop: str
    batch: str
    threads: str
    ways: Results

    @property
    def name(self) -> list[str]:
        """Network and clip."""
        return [NAMES.get(self.model, self.model), f"{self.frames}x{self.crop}"]

    def way(self, name: str) -> Row:
        """The row of plain, or of another way that there is once."""
        return self.ways.where(way=name)[0]

    def best(self, precision: str) -> Row | None:
        """The fastest of what was optimised in a precision."""
        rows = [row for row in self.ways.where(way="optimised", precision=precision) if row["speedup"]]
        return max(rows, key=lambda row: number(row, "speedup"), default=None)


def read_results(path: Path) -> Results:
    """Read what `write_results` of benchmarks/harness.py wrote."""
    lines = path.read_text(encoding="utf-8").splitlines()
    facts = dict(line[2:].split(": ", 1) for line in lines if line.startswith("# ") and ": " in line)
    return Results(facts, tuple(csv.DictReader(line for line in lines if not line.startswith("#"))))


def newest(what: str, folder: Path = RESULTS) -> Results | None:
    """The newest results of one benchmark, by the day in their name; ``None`` where it never ran."""
    files = sorted(folder.glob(f"{what}-*.csv"), key=lambda file: file.stem[-10:])
    return read_results(files[-1]) if files else None


def goal(
    name: str, aim: float, values: Sequence[float], form: str = "{:.1f}x", *, at_most: bool | None = None
) -> list[str]:
    """A row of the goals; an aim below 1 is to be undercut, unless told otherwise."""
    values = [value for value in values if math.isfinite(value)]
    if not values:
        return [name, form.format(aim), "-", "-", "not measured"]
    at_most = aim < 1 if at_most is None else at_most
    worst, best = (max(values), min(values)) if at_most else (min(values), max(values))
    met = sum(value <= aim if at_most else value >= aim for value in values)
    word = "**yes**" if met == len(values) else f"in {met} of {len(values)}" if met else "no"
    return [name, form.format(aim), form.format(worst), form.format(best), word]


def number(row: Row | None, key: str) -> float:
    """A value, not a number where there is none."""
    return float(row[key]) if row is not None and row.get(key) else math.nan


def shown(value: float, form: str) -> str:
    """A number in a table, a dash for none."""
    return form.format(value) if math.isfinite(value) else "-"


def times(value: float) -> str:
    """How many times, in a table."""
    return shown(value, "{:.2f}" if value < 0.995 else "{:.1f}" if value < 99.95 else "{:.0f}")


def ms(value: float) -> str:
    """Milliseconds in a table, two digits at least."""
    return shown(value, "{:.1f}" if value < 99.95 else "{:,.0f}")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown; columns whose names end in ``>`` are numbers."""
    marks = "".join("---:|" if name.endswith(">") else "---|" for name in columns)
    lines = [f"| {' | '.join(cells)} |" for cells in ([name.rstrip(">") for name in columns], *rows)]
    return "\n".join([lines[0], f"|{marks}", *lines[1:]]) + "\n"


def threads_of(row: Row) -> str:
    """In words."""
    return f"{row['threads']} thread{'' if row['threads'] == '1' else 's'}"
