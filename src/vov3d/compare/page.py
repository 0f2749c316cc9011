"""The page and the plots of a comparison."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vov3d.compare.comparison import Comparison, Row, to_text
from vov3d.compare.field import DATASETS, VARIANTS
from vov3d.compare.tables import Table, cost_table, failures, notes, section_tables, short_name
from vov3d.files import write_text
from vov3d.plots import Panel, Point, scatter_chart

READING = (
    "`M params` are millions of parameters and `GMACs` 1e9 multiply-adds of convolutions and linear layers, which "
    "papers call GFLOPs, of one view: `clip` is frames x pixels. A test averages `views` of a video. `M act.` are "
    "millions of elements that convolutions and linear layers put out, `MiB` is what building the network and one clip "
    "add to the memory of a process at its peak, `ms` the median time of one clip, `spread` from the fastest to the "
    "slowest, as a share of it: a large one says that other programs ran beside it, and how little the time is worth."
)
PRINTED = (
    "Accuracies are top-1/top-5 in percent, parameters in millions, GFLOPs of one view (the `clip`) x views of a "
    "video, all as the `source` prints them: T3 to T7 are the paper's Tables 3 to 7, lit. is what the note names, "
    "here is a test made here; the numbers are those of the notes. In brackets is what is counted here, where "
    "it is more than 1% off and does not round to what is printed; some last digits are cut off. The printed GFLOPs "
    "mix crops of 224 and 256 pixels, as the column `clip` shows. `start` is what the weights were trained on before: "
    "IN is ImageNet, K400 Kinetics-400."
)
DRAWN = (
    "The plots show top-1 over what is counted and measured at the clip of each row. Where the printed cost is more "
    "than 5% off (*), a dotted line leads there."
)
FAMILIES = {"blue": "VoV3D", "orange": "X3D", "ink": "others"}
"""Colour of a mark -> whose it is."""

FAR_OFF = 0.05
"""From here on the plots show what is printed beside what is counted."""


def write_pages(comparison: Comparison, folder: Path) -> None:
    """Write ``compare.md``, ``compare.json`` and a plot for each data set, each file whole or not at all."""
    for name, picture in plots(comparison, "compare").items():
        write_text(folder / name, picture)
    write_text(folder / "compare.json", to_text(comparison))
    write_text(folder / "compare.md", f"# Every system, side by side\n\n{markdown(comparison, 'compare')}")


def markdown(comparison: Comparison, stem: str | None = None, others: Sequence[Comparison] = ()) -> str:
    """The comparison as Markdown: what it costs, how accurate it is, and the notes.

    Args:
        comparison: what was found.
        stem: how the names of its plots begin; ``None`` leaves them out.
        others: the same systems at other inputs, of which it shows the costs.
    """
    parts = [f"## What one view costs\n\n{READING}\n", *map(_costs, (comparison, *others))] if comparison.costs else []
    parts += [f"## Accuracy, as published\n\n{PRINTED if stem is None else f'{PRINTED} {DRAWN}'}\n"]
    files = plot_names(comparison, stem or "")
    for table in section_tables(comparison):
        parts.append(f"### {table.title}\n\n{_table(table)}")
        for name in table.datasets if stem is not None and table.title != VARIANTS else ():
            parts.append(f"![Accuracy on {DATASETS.get(name, name)} over what one view costs]({files[name]})\n")
    found = notes(comparison)
    if found:
        lines = "\n".join(f"{number}. {text}" for number, text in enumerate(found, 1))
        parts.append(f"## Notes\n\n{lines}\n")
    return "\n".join(parts)


def _costs(comparison: Comparison) -> str:
    parts = [f"### At {comparison.input}", _table(cost_table(comparison)).rstrip("\n")]
    if comparison.made_on is not None:
        parts.insert(1, measured_on(comparison))
    if broken := failures(comparison):
        parts.append("\n".join(f"- {line}" for line in broken))
    return "\n\n".join(parts) + "\n"


def measured_on(comparison: Comparison) -> str:
    """One sentence about the measurements."""
    made_on = comparison.made_on
    assert made_on is not None
    threads = f"{made_on.threads} thread{'s' * (made_on.threads != 1)}"
    rounds = f"{made_on.rounds} round{'s' * (made_on.rounds != 1)}"
    return (
        f"Measured on {made_on.processor}, {threads}, torch {made_on.torch}: one clip in eager float32, {rounds} in "
        "which all networks take turns."
    )


def plot_names(comparison: Comparison, stem: str) -> dict[str, str]:
    """Data set -> the file of its plot."""
    rows = [row.published for row in comparison.rows if row.published.section != VARIANTS]
    return {name: f"{stem}-{_file_name(name)}.svg" for row in rows for name in row.accuracy}


def plots(comparison: Comparison, stem: str) -> dict[str, str]:
    """File name -> picture, one for each data set: accuracy over GMACs and over milliseconds."""
    return {file: _plot(comparison, name) for name, file in plot_names(comparison, stem).items()}


def _plot(comparison: Comparison, dataset: str) -> str:
    by_gmacs, by_ms = [], []
    for row in comparison.rows:
        accuracy, cost = row.published.accuracy.get(dataset), comparison.cost_of(row.published)
        if row.published.section == VARIANTS or accuracy is None or accuracy.top1 is None or row.gmacs is None:
            continue
        point = _point(row, row.gmacs, accuracy.top1)
        by_gmacs.append(point)
        measured = cost.measured if cost is not None and comparison.is_own_clip(row.published) else None
        if measured is not None and measured.latency_ms is not None:
            by_ms.append(replace(point, x=measured.latency_ms, printed_x=None))
    name = DATASETS.get(dataset, dataset)
    is_own = comparison.frames is comparison.crop is None
    empty = "not measured" if is_own else "not measured at the clips of these accuracies"
    panels = [Panel("GMACs of one view", by_gmacs), Panel("milliseconds of one view", by_ms, empty)]
    title = f"Accuracy on {name} over what one view costs"
    return scatter_chart(title, f"top-1 on {name}", panels, _legend(by_gmacs))


def _point(row: Row, x: float, y: float) -> Point:
    printed = row.published
    role = "blue" if printed.model.startswith("vov3d") else "orange" if printed.model.startswith("x3d") else "ink"
    is_off = printed.gflops is not None and abs(x - printed.gflops) > FAR_OFF * printed.gflops
    return Point(
        f"{short_name(printed.system)}, {printed.frames}f{' *' * is_off}",
        x,
        y if math.isfinite(y) else 0.0,
        role,
        printed.pretrained is not None,
        printed.gflops if is_off else None,
    )


def _legend(points: Sequence[Point]) -> list[Point]:
    """The kinds of marks that are there."""
    roles = {point.role for point in points}
    found = [Point(name, 1, 0, role) for role, name in FAMILIES.items() if role in roles and len(roles) > 1]
    if any(point.hollow for point in points):
        found.append(Point("pretrained", 1, 0, "ink", hollow=True))
    if any(point.printed_x is not None for point in points):
        found.append(Point("* another cost is printed", 1, 0, printed_x=1))
    return found


def _file_name(dataset: str) -> str:
    return "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in dataset.lower())


def _table(table: Table) -> str:
    marks = "".join("---:|" if name.endswith(">") else "---|" for name in table.columns)
    rows: Sequence[Sequence[str]] = (tuple(name.rstrip(">") for name in table.columns), *table.rows)
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join([lines[0], f"|{marks}", *lines[1:]]) + "\n"
