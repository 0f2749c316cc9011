"""`docs/evidence.md` and its plots, from all results of `studies/evidence.py`; `make_tables.py` writes them."""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "studies"))

from clip_times import Key, key_of, read_times  # noqa: E402
from evidence import RESULTS, read_rows  # noqa: E402
from evidence_texts import HEAD, NETWORKS, NOT_RUN, PROTOCOL, QUESTION_TEXTS, TITLES  # noqa: E402
from questions import PACES, PROTOCOLS, QUESTIONS, SYSTEMS, Protocol, Question, runs_of  # noqa: E402
from trial import Row, columns_of  # noqa: E402

from vov3d.data.motion import classes_of  # noqa: E402
from vov3d.plots import STYLES, Bar, Series, bar_chart, group_chart, line_chart  # noqa: E402

T_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""Student's t at 97.5% for 1 to 9 degrees of freedom; more seeds than ten take the last, which is too wide."""

TRAINED_STRIDE, MIN_SEEDS = 5, 3
Runs = Sequence[Row]
Times = Mapping[Key, float]


def evidence_files(folder: Path = RESULTS) -> dict[str, str]:
    """What `docs/evidence.md` and its plots must be."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in read_rows(folder):
        groups.setdefault(tuple(row[name] for name in columns_of(PROTOCOLS["cpu"])), []).append(row)
    sections, pictures = [], dict[str, str]()
    for preset, protocol in PROTOCOLS.items():
        ours = [rows for key, rows in groups.items() if key[0] == preset]
        if not ours:
            sections.append(NOT_RUN[preset])
        for number, rows in enumerate(ours):
            name = f"evidence-{preset}{f'-{number + 1}' if number else ''}"
            drawn = plots_of(rows, protocol)
            pictures |= {f"docs/{name}-{what}.svg": picture for what, picture in drawn.items()}
            sections.append(section(rows, protocol, name, list(drawn), read_times(folder)))
    return {"docs/evidence.md": "\n".join([HEAD, *sections]), **pictures}


# ---- statistics ------------------------------------------------------------------------------------------------------


def mean_and_half(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half of its 95% interval over seeds; without an interval (NaN) for one seed."""
    if len(values) < 2:
        return statistics.mean(values), math.nan
    freedom = min(len(values) - 1, len(T_95))
    return statistics.mean(values), T_95[freedom - 1] * statistics.stdev(values) / math.sqrt(len(values))


def paired(one: Runs, other: Runs) -> list[float]:
    """Differences of top-1, seed by seed, in points."""
    before = {row["seed"]: float(row["top1"]) for row in other}
    return [100 * (float(row["top1"]) - before[row["seed"]]) for row in one if row["seed"] in before]


def shown(values: Sequence[float], digits: int = 1, sign: str = "") -> str:
    """``mean ± half``."""
    if not values:
        return "not run"
    mean, half = mean_and_half(values)
    text = f"{mean:{sign}.{digits}f}"
    return text if math.isnan(half) else f"{text} ± {half:.{digits}f}"


def verdict(differences: Sequence[float]) -> str:
    """What an interval of paired differences says."""
    if len(differences) < MIN_SEEDS:
        return "too few seeds"
    mean, half = mean_and_half(differences)
    if abs(mean) <= half:
        return "not told apart"
    return "above" if mean > 0 else "below"


# ---- the page --------------------------------------------------------------------------------------------------------


def section(rows: Runs, protocol: Protocol, name: str, plots: Sequence[str], times: Times) -> str:
    """What was found under one protocol."""
    first = rows[0]
    families = first["families"].split()
    facts = {
        **first,
        "families": ", ".join(families),
        "classes": len(classes_of(families)),
        "chance": f"{100 / len(classes_of(families)):.0f}%",
        "runs": len(rows),
        "planned": len({run for question in QUESTIONS.values() for run in runs_of(question, protocol)}),
        "minutes": f"{sum(float(row['train_seconds']) for row in rows) / 60:.0f}",
        "networks": NETWORKS[protocol.name],
        "device": ", ".join(sorted({row["device"] for row in rows})),
    }
    parts = [f"## {TITLES[protocol.name]}", PROTOCOL.format(**facts)]
    for key, question in QUESTIONS.items():
        parts += [f"### {question.title}", QUESTION_TEXTS[key], question_table(rows, question, protocol, times)]
        parts.append(missing(rows, question, protocol))
    tables = {"top1": "", "families": family_table(rows, protocol), "tempo": tempo_table(rows, protocol)}
    for what in plots:
        parts += [f"### {TITLES[what]}", QUESTION_TEXTS[what], f"![{TITLES[what]}]({name}-{what}.svg)", tables[what]]
    return "\n\n".join(part for part in parts if part) + "\n"


def question_table(rows: Runs, question: Question, protocol: Protocol, times: Times) -> str:
    """One row for each system and number of frames."""
    reference = SYSTEMS[question.paired_with].title
    columns = ["system>", "frames", "M parameters", "GMACs", "ms", "seeds", "top-1, %", "shuffled, %"]
    lines = [[*columns, f"points over {reference}", "verdict>"]]
    for frames in question.frames or (protocol.frames,):
        before = _runs(rows, question.paired_with, frames)
        for system in question.systems:
            runs = _runs(rows, system, frames)
            costs = _costs(runs, key_of(protocol, system, frames), times)
            differences = paired(runs, before) if system != question.paired_with else []
            lines.append(
                [
                    *(
                        SYSTEMS[system].title,
                        str(frames),
                        *costs,
                        str(len(runs)),
                    ),
                    *(shown(_percents(runs, key)) for key in ("top1", "shuffled")),
                    shown(differences, 1, "+") if differences else "",
                    verdict(differences) if differences else "",
                ]
            )
    return table(lines)


def missing(rows: Runs, question: Question, protocol: Protocol) -> str:
    """Whether the question is answered, in one sentence."""
    wanted = {(run.system, run.frames) for run in runs_of(question, protocol)}
    few = sum(len(_runs(rows, *one)) < MIN_SEEDS for one in wanted)
    return f"Not answered yet: {few} of {len(wanted)} rows have fewer than {MIN_SEEDS} seeds." if few else ""


def family_table(rows: Runs, protocol: Protocol) -> str:
    """Top-1 of each system in each family."""
    families = rows[0]["families"].split()
    lines = [["system>", *families]]
    for system in _tested(rows, protocol):
        runs = _runs(rows, system, protocol.frames)
        lines.append([SYSTEMS[system].title, *(shown(_percents(runs, f"family {family}")) for family in families)])
    return table(lines)


def tempo_table(rows: Runs, protocol: Protocol) -> str:
    """Top-1 of each system at each pace."""
    lines = [["system>", *(f"x{pace:g}" for pace in PACES)]]
    for system in _tested(rows, protocol):
        runs = _runs(rows, system, protocol.frames)
        lines.append([SYSTEMS[system].title, *(shown(_percents(runs, f"pace {pace:g}")) for pace in PACES)])
    return table(lines)


def plots_of(rows: Runs, protocol: Protocol) -> dict[str, str]:
    """All plots of one protocol."""
    tested = _tested(rows, protocol)
    families = rows[0]["families"].split()
    bars = []
    for system in tested:
        mean, half = mean_and_half(_percents(_runs(rows, system, protocol.frames), "top1"))
        note = "one seed" if math.isnan(half) else f"± {half:.1f}"
        bars.append(Bar(SYSTEMS[system].title, mean / 100, note, emphasis=system == "vov3d"))
    lead = [system for system in QUESTIONS["systems"].systems if system in tested][: len(STYLES)]
    names = [SYSTEMS[system].title for system in lead]

    def means(column: str) -> list[float | None]:
        return [statistics.mean(_percents(_runs(rows, system, protocol.frames), column)) / 100 for system in lead]

    curves = [
        Series(
            name,
            [(TRAINED_STRIDE * pace, value) for pace, value in zip(PACES, paces, strict=True)],
            role,
            markers=True,
            dashed=dashed,
        )
        for name, paces, (role, dashed) in zip(
            names, zip(*(means(f"pace {pace:g}") for pace in PACES), strict=True), STYLES, strict=False
        )
    ]
    ticks = [TRAINED_STRIDE * pace for pace in PACES]
    chance = ("chance", 1 / len(classes_of(families)))
    return {
        "top1": bar_chart(TITLES["top1"], bars, chance),
        "families": group_chart(TITLES["families"], names, [(one, means(f"family {one}")) for one in families]),
        "tempo": line_chart(
            TITLES["tempo"], "stride of the test, frames", curves, y_label="top-1", x_ticks=ticks, fractions=True
        ),
    }


def table(lines: Iterable[Sequence[str]]) -> str:
    """Rows in Markdown; columns whose name ends in > are text."""
    head, *rows = lines
    marks = "".join("---|" if name.endswith(">") else "---:|" for name in head)
    names = [name.removesuffix(">") for name in head]
    return "\n".join([_line(names), f"|{marks}", *map(_line, rows)])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _runs(rows: Runs, system: str, frames: int) -> list[Row]:
    return [row for row in rows if (row["system"], row["frames"]) == (system, str(frames))]


def _tested(rows: Runs, protocol: Protocol) -> list[str]:
    """The systems that have runs at the protocol's number of frames."""
    return [system for system in SYSTEMS if _runs(rows, system, protocol.frames)]


def _percents(runs: Runs, column: str) -> list[float]:
    return [100 * float(run[column]) for run in runs]


def _costs(runs: Runs, key: Key, times: Times) -> tuple[str, str, str]:
    milliseconds = f"{times[key]:.1f}" if key in times else ""
    if not runs:
        return "", "", milliseconds
    parameters, gmacs = (float(runs[0][name]) for name in ("parameters", "gmacs"))
    return f"{parameters / 1e6:.2f}", f"{gmacs:.3g}", milliseconds
