"""Train and test what the questions of ``questions.py`` ask for, one row of results for each run.

Runs that have a row already, on whatever machine, are left out; one that was stopped or killed goes on when this is
started again. Ctrl+C, or the end of ``--minutes``, stops it with its state kept.

python studies/evidence.py                                   # the reduced size, for a CPU
python studies/evidence.py --preset gpu --device cuda --minutes 9
python studies/evidence.py --only operators --list
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import time
from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import date
from pathlib import Path

import torch
from questions import PROTOCOLS, QUESTIONS, SEEDS, SYSTEMS, Protocol, Run, runs_of
from refusals import told_in_one_line
from trial import Row, Trial, columns_of, gmacs_of

from vov3d.data.motion import MOTION_FAMILIES
from vov3d.distributed import process_group
from vov3d.environment import describe_environment
from vov3d.errors import DataError
from vov3d.files import csv_text, write_text
from vov3d.interrupts import interrupts_noted
from vov3d.locks import sole_writer
from vov3d.memory import keep_freed_memory

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "studies" / "results"
FACTS = ("processor", "cores", "gpus", "python", "torch", "vov3d")
KEY = (*columns_of(PROTOCOLS["cpu"]), *Run._fields)
NEEDED = (*KEY, "device", "parameters", "gmacs", "train_seconds", "top1", "shuffled")


def rows_in(path: Path) -> list[Row]:
    """The rows of one file of results, without what it was made with."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def read_rows(folder: Path) -> list[Row]:
    """All rows of all machines and days; of a run that two machines made, that of the first file.

    Raises:
        DataError: a row is not whole.
    """
    rows: dict[tuple[str, ...], Row] = {}
    for path in sorted(folder.glob("evidence-*.csv")):
        for row in rows_in(path):
            lacking = [name for name in NEEDED if not row.get(name)]
            if lacking or None in row or None in row.values():
                what = f"lacks {', '.join(lacking[:3])}" if lacking else "has more or fewer cells than columns"
                raise DataError(f"{path}: the row {' '.join(filter(None, map(row.get, Run._fields)))!r} {what}")
            rows.setdefault(tuple(row[name] for name in KEY), row)
    return list(rows.values())


def results_path(folder: Path, what: str = "evidence") -> Path:
    """Where this machine writes today."""
    environment = describe_environment()
    machine = [*environment["gpus"], environment["processor"]][0]
    words = "".join(letter if letter.isalnum() else " " for letter in machine.lower()).split()[:3]
    return folder / f"{what}-{'-'.join(words) or 'unknown'}-{date.today().isoformat()}.csv"


def facts_of_machine() -> list[str]:
    """The first lines of a file of results."""
    environment: dict[str, object] = {**describe_environment()}
    return [f"# {name}: {environment[name]}" for name in FACTS]


def add_row(row: Row, folder: Path) -> None:
    """Add a row; the file is there whole or as it was."""
    path = results_path(folder)
    with sole_writer(folder, folder / f".{path.name}.lock"):
        old = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        rows = [*csv.DictReader(line for line in old if not line.startswith("#")), row]
        facts = [line for line in old if line.startswith("#")] or facts_of_machine()
        cells = [list(row), *([one[name] for name in row] for one in rows)]
        write_text(path, "\n".join(facts) + "\n" + csv_text(cells))


def key_of(row: Row, protocol: Protocol) -> Row:
    """The cells by which a run is known."""
    return {name: row[name] for name in (*columns_of(protocol), *Run._fields)}


def open_runs(protocol: Protocol, only: Sequence[str], seeds: Sequence[int], rows: Sequence[Row]) -> list[Run]:
    """The runs that are asked for and have no row, each once."""
    wanted = [run for name in only for run in runs_of(QUESTIONS[name], protocol, seeds)]
    there = [key_of(row, protocol) for row in rows]
    return [run for run in dict.fromkeys(wanted) if key_of(_cells(run, protocol), protocol) not in there]


def state_folder(work: Path, protocol: Protocol, run: Run) -> Path:
    """Where the state of a run lies, which no other run shares."""
    text = repr(sorted(_cells(run, protocol).items()))
    return work / f"{run.system}-{run.frames}-{run.seed}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _cells(run: Run, protocol: Protocol) -> Row:
    return {**columns_of(protocol), **{name: str(value) for name, value in run._asdict().items()}}


def list_runs(protocol: Protocol, runs: Sequence[Run], rows: Sequence[Row]) -> None:
    """Print what is to be done and what it costs: counted, and as long as the same took before."""
    known = {
        (row["system"], row["frames"]): float(row["train_seconds"]) / 60
        for row in rows
        if columns_of(protocol).items() <= row.items()
    }
    print(f"{'system':<16} frames seed  10^12 multiply-adds  minutes, as last time")
    for run in runs:
        work = 3 * gmacs_of(protocol, run) * protocol.clips / 1e3
        minutes = known.get((run.system, str(run.frames)))
        print(f"{run.system:<16} {run.frames:>6} {run.seed:>4}  {work:>19.3g}  {minutes or float('nan'):.1f}")
    print(f"{len(runs)} runs")


def count(text: str) -> int:
    """A whole number from 1.

    Raises:
        ValueError: if it is none.
    """
    if int(text) < 1:
        raise ValueError(text)
    return int(text)


def share(text: str) -> tuple[int, int]:
    """Which part of how many.

    Raises:
        ValueError: if it is none.
    """
    first, step = map(int, text.split("/"))
    if not 1 <= first <= step:
        raise ValueError(text)
    return first, step


def parsed(words: Sequence[str] | None) -> tuple[argparse.Namespace, Protocol]:
    """The flags, and the protocol that they make."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=sorted(PROTOCOLS), default="cpu")
    parser.add_argument("--only", nargs="+", choices=list(QUESTIONS), default=list(QUESTIONS), metavar="QUESTION")
    parser.add_argument("--systems", nargs="+", choices=list(SYSTEMS), default=list(SYSTEMS), metavar="SYSTEM")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--share", type=share, default="1/1", help="2/3: the second of three processes that share")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so many")
    parser.add_argument("--list", action="store_true", help="say what is to be done, and do nothing")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=count, default=1)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "evidence", help="where stopped runs wait")
    sizes = parser.add_argument_group("sizes in place of the preset's")
    sizes.add_argument("--families", nargs="+", choices=list(MOTION_FAMILIES), metavar="FAMILY")
    for name in ("size", "frames", "clips", "batch", "test_clips"):
        sizes.add_argument(f"--{name.replace('_', '-')}", type=count)
    for name in ("difficulty", "lr"):
        sizes.add_argument(f"--{name}", type=float)
    sizes.add_argument("--precision", choices=["float32", "bf16"])
    args = parser.parse_args(words)
    given = {field.name: getattr(args, field.name, None) for field in fields(Protocol)}
    changes = {name: value for name, value in given.items() if value is not None}
    return args, replace(PROTOCOLS[args.preset], **changes)


def main(words: Sequence[str] | None = None) -> None:
    """Make the runs that are missing, until the time is over."""
    args, protocol = parsed(words)
    rows = read_rows(args.results)
    runs = [run for run in open_runs(protocol, args.only, args.seeds, rows) if run.system in args.systems]
    first, step = args.share
    runs = runs[first - 1 :: step]
    if args.list:
        list_runs(protocol, runs, rows)
        return
    keep_freed_memory()
    torch.set_num_threads(args.threads)
    end = time.monotonic() + 60 * args.minutes
    with process_group(args.device) as group, interrupts_noted() as signalled:
        for number, run in enumerate(runs, start=1):
            folder = state_folder(args.work, protocol, run)
            with sole_writer(folder):
                if not open_runs(protocol, args.only, [run.seed], read_rows(args.results)).count(run):
                    print(f"{number}/{len(runs)} {' '.join(map(str, run))}: another process has made it", flush=True)
                    continue
                trial = Trial(protocol, run, group, folder / "state")
                row = trial.finish(lambda: bool(signalled()) or time.monotonic() > end)
                if row is None:
                    print(f"stopped at {' '.join(map(str, run))}, run {number} of {len(runs)}; start again to go on")
                    return
                add_row(row, args.results)
                trial.forget()
            print(
                f"{number}/{len(runs)} {' '.join(map(str, run))}: top-1 {row['top1']}, {row['train_seconds']} s",
                flush=True,
            )


if __name__ == "__main__":
    with told_in_one_line():
        main()
