"""The device that the GPU benchmark runs on, and how it takes time and memory."""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import torch
from harness import Row

ON_GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if ON_GPU else "cpu")
if not ON_GPU:
    os.environ.setdefault("TRITON_INTERPRET", "1")

T = TypeVar("T")
MOST_ROUNDS, LEAST_ROUNDS = (20, 5) if ON_GPU else (1, 1)
SECONDS_OF_ROUNDS = 1.0


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
    """

    quick: bool = not ON_GPU
    steps: int = 200
    size: int = 64
    width: int = 0
    batch: int = 28
    frames: int = 8


def in_processes(work: Callable[[T], Row], jobs: Sequence[T]) -> Iterator[Row]:
    """Do jobs in several processes at a time, for what they compile; without a GPU one after the other."""
    if not ON_GPU:
        yield from map(work, jobs)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(len(jobs), max(1, len(os.sched_getaffinity(0)) - 2)), context) as pool:
        yield from pool.map(work, jobs)


def gpu_name() -> str:
    """What computes."""
    return torch.cuda.get_device_name() if ON_GPU else "none: Triton's interpreter"


def median_ms(run: Callable[[], object]) -> float:
    """Return the median time of a run, after two to warm up."""
    for _ in range(2 if ON_GPU else 0):
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
    return begun.elapsed_time(ended)


def copy_rate() -> float:
    """Return what memory reads and writes, in 1e9 bytes a second."""
    source = torch.zeros(2**28 if ON_GPU else 2**22, device=DEVICE)
    target = torch.empty_like(source)
    return 2 * source.numel() * 4 / median_ms(lambda: target.copy_(source)) / 1e6


def peak_mib(run: Callable[[], object]) -> float | None:
    """Return the most memory that a run needs beside what is there; ``None`` without a GPU."""
    if not ON_GPU:
        return None
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    run()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 2**20
