"""How the GPU benchmark takes time and memory, and does jobs side by side."""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from gpu_device import DEVICE, ON_GPU
from harness import Row

T = TypeVar("T")
MOST_ROUNDS, LEAST_ROUNDS = (20, 3) if ON_GPU else (1, 1)
SECONDS_OF_ROUNDS = 0.7
MOST_PROCESSES = 16  # each has a context of its own on the GPU, of some hundred MiB


@dataclass(frozen=True)
class Setting:
    """How large everything is.

    Attributes:
        quick: whether only to see that it works: small networks, small clips, few steps.
        steps: of a training, for the loss curves.
        size: side of its clips in pixels.
        width: of its network; 0 for VoV3D-M.
        batch: its clips at a time.
        frames: of each.
        data: a folder of videos that it also learns from.
    """

    quick: bool = not ON_GPU
    steps: int = 200
    size: int = 64
    width: int = 0
    batch: int = 28
    frames: int = 8
    data: Path | None = None


def in_processes(work: Callable[[T], Row], jobs: Sequence[T]) -> Iterator[Row]:
    """Do jobs in several processes at a time, for what they compile, rows as they come; without a GPU in order."""
    if not ON_GPU:
        yield from map(work, jobs)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(len(jobs), num_processes()), context) as pool:
        for done in as_completed([pool.submit(work, job) for job in jobs]):
            yield done.result()


def num_processes() -> int:
    """How many processes work at a time."""
    return min(MOST_PROCESSES, max(1, len(os.sched_getaffinity(0)) - 2))


def tried(measure: Callable[[], Row]) -> Row:
    """What was measured, or why it was not."""
    try:
        return measure()
    except Exception as error:  # noqa: BLE001  the rest goes on
        return {"failure": f"{type(error).__name__}: {(str(error).strip() or 'nothing said').splitlines()[0][:150]}"}


def gpu_name() -> str:
    """What computes."""
    return torch.cuda.get_device_name() if ON_GPU else "none: Triton's interpreter"


def median_ms(run: Callable[[], object]) -> float:
    """Return the median time of a run, after one to warm up."""
    if ON_GPU:
        run()
    times: list[float] = []
    begun = time.perf_counter()
    while len(times) < LEAST_ROUNDS or (len(times) < MOST_ROUNDS and time.perf_counter() - begun < SECONDS_OF_ROUNDS):
        times.append(_ms(run))
    return statistics.median(times)


def _ms(run: Callable[[], object]) -> float:
    if not ON_GPU:
        started = time.perf_counter()
        run()
        return (time.perf_counter() - started) * 1e3
    begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    begun.record()
    run()
    ended.record()
    torch.cuda.synchronize()
    return float(begun.elapsed_time(ended))


def copy_rate() -> float:
    """Return what memory reads and writes, in 1e9 bytes a second."""
    source = torch.zeros(2**28 if ON_GPU else 2**22, device=DEVICE)
    target = torch.empty_like(source)
    return 2 * source.numel() * 4 / median_ms(lambda: target.copy_(source)) / 1e6


def peak_mib(run: Callable[[], object]) -> float | None:
    """Return the most memory that is taken from the GPU in a run; ``None`` without a GPU.

    All that torch holds counts, weights and clips too: a graph's memory is taken as it is recorded, and a run that
    replays it takes none.
    """
    if not ON_GPU:
        return None
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    run()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_reserved() / 2**20
