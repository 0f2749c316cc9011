"""The one way in which everything here is measured.

Variants that are compared live in processes of their own and take turns, because a machine is not the same from minute
to minute: what means something is the ratio of two times of the same round. Results are CSV files named after what was
measured, the machine and the day; lines that begin with # say with what.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import ctypes
import functools
import gc
import io
import json
import math
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from cores import other_core_gbps

from vov3d.compare.workers import Build, MeasuringError, Ready, Worker
from vov3d.environment import describe_environment
from vov3d.files import write_text
from vov3d.memory import keep_freed_memory

RESULTS = Path(__file__).parent / "results"
MAX_ROUNDS, MIN_ROUNDS = 15, 3
BEGAN = time.perf_counter()
TURN_SECONDS = 0.15
"""A turn lasts at least so long: what takes less runs again, so that caches are as warm as they are in use."""

PACKAGES = ("numpy", "openvino", "nncf", "onnxruntime", "pytorchvideo", "torchvision", "transformers", "av")
"""Whose versions are noted beside torch's, where they are installed."""

T = TypeVar("T")
Cell = str | int | float | None
Row = dict[str, Cell]


@dataclass(frozen=True)
class Variant:
    """One of the things that take turns.

    Attributes:
        row: what it is: the first columns of its row.
        build: what its process does first.
        threads: of an operator.
        keeps_memory: whether the allocator keeps what is freed, which spares page faults.
    """

    row: Mapping[str, Cell]
    build: Build
    threads: int = 1
    keeps_memory: bool = False


@dataclass
class Seat:
    """A variant and its process; without one where ``failure`` says why."""

    variant: Variant
    worker: Worker | None
    failure: str = ""


@contextlib.contextmanager
def seated(*variants: Variant) -> Iterator[list[Seat]]:
    """Start variants, as many at a time as there are cores for their threads; they end with the context."""
    at_a_time = max(1, (os.cpu_count() or 1) // max(one.threads for one in variants))
    with ThreadPoolExecutor(max_workers=at_a_time) as pool, contextlib.ExitStack() as stack:
        ended = threading.Event()
        stack.callback(ended.set)
        yield list(pool.map(functools.partial(_seat, stack, ended), variants))


def _seat(stack: contextlib.ExitStack, ended: threading.Event, variant: Variant) -> Seat:
    build = functools.partial(_with_allocator, variant.build, variant.keeps_memory)
    worker = Worker(build, variant.threads, None)
    stack.callback(worker.close)
    if ended.is_set():  # while the process was started
        worker.close()
    try:
        worker.wait()
    except MeasuringError as error:
        return Seat(variant, None, str(error))
    return Seat(variant, worker)


def take_turns(
    seats: Sequence[Seat], seconds: float, *, min_rounds: int = MIN_ROUNDS, max_rounds: int = MAX_ROUNDS
) -> list[Row]:
    """Run all in turns until the time is over, and return a row for each.

    ``speedup`` is how many times as fast as the first one is: the median over rounds of the ratios.

    Args:
        seats: at least one.
        seconds: after which no further round begins, ``min_rounds`` apart.
        min_rounds: at least so many.
        max_rounds: at most so many.
    """
    end = time.perf_counter() + seconds
    times: list[list[float]] = [[] for _ in seats]
    together = max(seat.variant.threads for seat in seats) > 1
    exchange: list[float | None] = []
    for turn in range(max_rounds):
        begun = time.perf_counter()
        if turn >= min_rounds and begun + (begun - end + seconds) / turn > end:  # one more would end too late
            break
        exchange.append(other_core_gbps() if together else None)
        for seat, mine in zip(seats, times, strict=True):
            if seat.worker is not None:
                try:
                    mine.append(seat.worker.run(TURN_SECONDS))
                except MeasuringError as error:
                    seat.worker, seat.failure = None, str(error)
    rows: list[Row] = []
    speeds = [speed for speed in exchange if speed is not None]
    other_core = {"other_core_gbps": round(statistics.median(speeds), 1)} if speeds else {}
    for seat, mine in zip(seats, times, strict=True):
        known = seat.worker.facts if seat.worker is not None else {}
        spread = _spread(mine, times[0])
        rows.append(
            {
                **seat.variant.row,
                "threads": seat.variant.threads,
                **spread,
                **other_core,
                **known,
                "failure": seat.failure,
            }
        )
        print("  ".join(f"{key} {_short(value)}" for key, value in rows[-1].items() if value not in (None, "")))
    sys.stdout.flush()
    return rows


def interleave(variants: Sequence[Variant], seconds: float, *, min_rounds: int = MIN_ROUNDS) -> list[Row]:
    """Start variants and let them take turns; ``seconds`` is for both."""
    end = time.perf_counter() + seconds
    with seated(*variants) as seats:
        return take_turns(seats, end - time.perf_counter(), min_rounds=min_rounds)


def remaining(seconds: float) -> float:
    """What is left of so many seconds since this process began."""
    return seconds - (time.perf_counter() - BEGAN)


def in_shares(cells: Mapping[T, float], seconds: float) -> Iterator[tuple[T, float]]:
    """Yield each cell with its share of the time that is left; once it is over, say which ones are left out.

    Args:
        cells: what is measured one after the other -> its weight.
        seconds: for all.
    """
    end, weight = time.perf_counter() + seconds, sum(cells.values())
    for cell, mine in cells.items():
        left = end - time.perf_counter()
        if left > 0:
            yield cell, left * mine / weight
        else:
            print(f"left out, since the time is over (--seconds): {cell}")
        weight -= mine


def _spread(times: list[float], first: list[float]) -> Row:
    """Median, quartiles and extremes in ms, and how many times as fast as the first."""
    if not times:
        return dict.fromkeys(("ms", "q1_ms", "q3_ms", "min_ms", "max_ms", "rounds", "speedup"))
    low, _, high = statistics.quantiles(times, n=4, method="inclusive") if len(times) > 1 else times * 3
    ratios = [slow / fast for slow, fast in zip(first, times, strict=False)]
    found = {"ms": statistics.median(times), "q1_ms": low, "q3_ms": high, "min_ms": min(times), "max_ms": max(times)}
    speedup = round(statistics.median(ratios), 3) if ratios else None
    return {**{key: round(value, 3) for key, value in found.items()}, "rounds": len(times), "speedup": speedup}


def _short(value: Cell) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


# ---- memory ----------------------------------------------------------------------------------------------------------


def _with_allocator(build: Build, keeps_memory: bool) -> Ready:
    if keeps_memory and not keep_freed_memory():
        raise RuntimeError("the C library of this system cannot be told to keep memory")
    return build()


def resident_mib() -> float | None:
    """What this process holds in memory now, after it gave back what it can; ``None`` where that is not told."""
    if not sys.platform.startswith("linux"):
        return None
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return _status("VmRSS")


def peak_mib(run: Callable[[], object]) -> float | None:
    """Return the most that this process holds in memory while something runs; ``None`` where that is not told."""
    if resident_mib() is None:
        run()
        return None
    Path("/proc/self/clear_refs").write_text("5")
    run()
    return _status("VmHWM")


def _status(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{key}:"))


# ---- files -----------------------------------------------------------------------------------------------------------


def machine_facts() -> dict[str, Cell]:
    """Machine and versions."""
    environment = describe_environment(device="cpu")
    keys = ("processor", "cores", "memory_gib", "platform", "python", "torch", "vov3d", "commit", "command", "started")
    facts: dict[str, Cell] = {key: environment[key] for key in keys}  # type: ignore[literal-required]
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            facts[name] = metadata.version(name)
    return facts


def results_path(what: str, suffix: str, folder: Path = RESULTS, machine: str = "") -> Path:
    """Return where results are written: named after what, the machine (its processor, if not told) and the day."""
    named = machine or describe_environment()["processor"]
    name = "-".join(named.lower().translate({ord(mark): " " for mark in "/:()"}).split()[:3]) or "unknown"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{what}-{name}-{date.today().isoformat()}.{suffix}"


def write_results(what: str, rows: Sequence[Row], folder: Path = RESULTS, *, machine: str = "", **facts: Cell) -> Path:
    """Write rows below what they were made with; the file is named after the machine, if told."""
    path = results_path(what, "csv", folder, machine)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    file = io.StringIO()
    taken = round(time.perf_counter() - BEGAN)
    for key, value in {**machine_facts(), **facts, "seconds": taken}.items():
        file.write(f"# {key}: {'' if value is None else value}\n")
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    write_text(path, file.getvalue())
    print(path)
    return path


def after_rows_of_today(what: str, rows: Sequence[Row], keys: Sequence[str], folder: Path = RESULTS) -> list[Row]:
    """Return rows behind those written before on this machine and day, but for those that were measured again.

    Args:
        what: as for `write_results`.
        rows: what was measured now.
        keys: what tells that a row is of the same thing.
        folder: where the results are.
    """
    path = results_path(what, "csv", folder)
    if not path.exists():
        return list(rows)
    lines = path.read_text(encoding="utf-8").splitlines()
    before: list[Row] = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    again = {tuple(str(row[key]) for key in keys) for row in rows}
    return [*(row for row in before if tuple(row[key] for key in keys) not in again), *rows]


def write_json(what: str, results: Mapping[str, Sequence[Row]], folder: Path, *, machine: str, **facts: Cell) -> Path:
    """Write several kinds of rows, and what they were made with, into one file."""
    path = results_path(what, "json", folder, machine)
    write_text(path, json.dumps({"facts": {**machine_facts(), **facts}, **results}, indent=1) + "\n")
    print(path)
    return path


def _cell(value: Cell) -> Cell:
    return f"{value:.6g}" if isinstance(value, float) and math.isfinite(value) else value


# ---- command line ----------------------------------------------------------------------------------------------------


class Flags(argparse.ArgumentParser):
    """Flags that send what a quick run finds to a temporary folder, lest it take the place of results of that day."""

    quick_seconds = math.inf

    def parse_args(self, words: Sequence[str] | None = None) -> argparse.Namespace:  # type: ignore[override]
        """Return what was given."""
        found = super().parse_args(words)
        sys.excepthook = _told_in_one_line
        if found.quick:
            found.seconds = min(found.seconds, self.quick_seconds)
        if found.out is None:
            found.out = Path(tempfile.mkdtemp(prefix="quick-")) if found.quick else RESULTS
        return found


def _told_in_one_line(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.stderr.write("interrupted; what this run measured is not written, earlier results stay\n")
    else:
        sys.__excepthook__(kind, error, trace)


def parser(description: str | None, seconds: float, threads: Sequence[int] = (1,)) -> Flags:
    """Return the flags that all have."""
    flags = Flags(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.quick_seconds = 30
    flags.add_argument("--threads", type=int, nargs="+", default=list(threads), metavar="N", help="of an operator")
    flags.add_argument("--seconds", type=float, default=seconds, help="about how long all of it takes")
    flags.add_argument("--quick", action="store_true", help="a few variants for about half a minute: whether it works")
    flags.add_argument("--out", type=Path, help="folder for the results [results; a temporary one with --quick]")
    return flags
