"""The table of truth: what the systems' multiply-adds become on the clock, beside those of VoV3D-M.

    python benchmarks/field.py [--threads 2 1]
    python benchmarks/field.py --models "tsm*" i3d --threads 1   # these alone; today's rows of the others stay

Each system is shown the most frames of its rows in `vov3d compare`, of 224 pixels or its own crop where that is
smaller, and takes turns with VoV3D-M (16x224) in the same way: in eager, and optimised in fp32 and bf16, each by the
back end that `vov3d.optimize` picks for it. In eager and in fp32 that is on the most threads; on fewer, and there in
fp32 and bf16, those of which a goal speaks.
"""

from __future__ import annotations

import contextlib
import fnmatch
import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from harness import (
    Row,
    Seat,
    Variant,
    after_rows_of_today,
    in_shares,
    parser,
    remaining,
    seated,
    take_turns,
    write_results,
)
from networks import Clips, optimised, ours

from vov3d.compare.field import FIELD, VARIANTS
from vov3d.compare.workers import Ready
from vov3d.models import create_model
from vov3d.models.counting import count_gmacs

REFERENCE = "vov3d_m"
GOALS = ("tsm_r50", "tea_r50", "slowfast_r50_4x16")
"""Systems that are to take some times as long as VoV3D-M, each in its best engine."""

WAYS: dict[str, Callable[[str, Clips], Ready]] = {
    "eager fp32": ours,
    "best fp32": functools.partial(optimised, precision="fp32"),
    "best bf16": functools.partial(optimised, precision="bf16"),
}
MANY_THREADS, FEW_THREADS = ("eager fp32", "best fp32"), ("best fp32", "best bf16")


def systems(patterns: Sequence[str]) -> dict[str, Clips]:
    """Each system of the field but the paper's variants, and the clip that it is shown."""
    found: dict[str, Clips] = {}
    for row in sorted((row for row in FIELD if row.section != VARIANTS), key=lambda row: row.frames):
        found[row.model] = Clips(row.frames, min(row.crop, 224))
    found[REFERENCE] = found["vov3d_l"] = found["x3d_m"] = found["x3d_l"] = Clips()  # their rows have 32 frames too
    del found[REFERENCE]
    return {name: clips for name, clips in found.items() if any(fnmatch.fnmatch(name, one) for one in patterns)}


def variant(name: str, clips: Clips, way: str, threads: int) -> Variant:
    """One system in one way."""
    row: Row = {"model": name, "frames": clips.frames, "crop": clips.crop}
    row |= {"gmacs": round(gmacs(name, clips), 3), "way": way}
    return Variant(row, functools.partial(WAYS[way], name, clips), threads)


@functools.cache
def gmacs(name: str, clips: Clips) -> float:
    """1e9 multiply-adds of one clip."""
    return count_gmacs(create_model(name), clips.frames, clips.crop)


@contextlib.contextmanager
def references(threads: int, ways: Sequence[str], rows: list[Row]) -> Iterator[dict[str, Seat]]:
    """VoV3D-M in some ways, with whom others take turns; its own rows are added."""
    with seated(*(variant(REFERENCE, Clips(), way, threads) for way in ways)) as seats:
        rows += [{**row, "times_reference": 1.0} for row in take_turns(seats, 3)]
        yield dict(zip(ways, seats, strict=True))


def beside(own: Mapping[str, Seat], variants: Mapping[str, Variant], seconds: float) -> list[Row]:
    """Rows with ``times_reference``: how many times as long as VoV3D-M it takes in the same way, round by round."""
    end, rows = time.perf_counter() + seconds, []
    with seated(*variants.values()) as seats:
        for way, seat, left in zip(variants, seats, range(len(seats), 0, -1), strict=True):
            share = (end - time.perf_counter()) / left
            first, row = take_turns([own[way], seat], share, min_rounds=2, max_rounds=5)
            speedup = row.pop("speedup")
            times = round(1 / speedup, 3) if isinstance(speedup, float) else None
            rows.append({**row, "reference_ms": first["ms"], "times_reference": times})
    return rows


def main() -> None:
    """Measure and write the results."""
    flags = parser(__doc__, 245, (2, 1))
    flags.add_argument("--models", nargs="+", default=["*"], help="patterns of names")
    args = flags.parse_args()
    first = sorted(systems(args.models).items(), key=lambda system: system[0] not in GOALS)
    chosen = dict(first[: 2 if args.quick else None])
    most = max(args.threads)
    ways = {threads: MANY_THREADS if threads == most else FEW_THREADS for threads in args.threads}
    cells = {
        (name, clips, threads): 1 + gmacs(name, clips) / 20
        for name, clips in chosen.items()
        for threads in args.threads
        if threads == most or name in GOALS
    }
    rows: list[Row] = []
    with contextlib.ExitStack() as stack:
        own = {threads: stack.enter_context(references(threads, ways[threads], rows)) for threads in args.threads}
        for (name, clips, threads), seconds in in_shares(cells, remaining(args.seconds)):
            variants = {way: variant(name, clips, way, threads) for way in ways[threads]}
            rows += beside(own[threads], variants, seconds)
    write_results("field", after_rows_of_today("field", rows, ("model", "threads"), args.out), args.out)


if __name__ == "__main__":
    main()
