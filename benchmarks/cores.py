"""How fast a core reads what another one has written: what two threads pay for each other's work.

A virtual machine's cores may share a cache in one minute and not in the next, when the host has moved them.
"""

from __future__ import annotations

import os
import threading
import time

import torch

KIB, ROUNDS = 768, 60
"""As much as lies in a core's own cache."""


def other_core_gbps() -> float | None:
    """GB/s at which one core reads what another one wrote just before; ``None`` where threads cannot be told a core."""
    if not hasattr(os, "sched_setaffinity") or len(cores := sorted(os.sched_getaffinity(0))) < 2:
        return None
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _read_after_write(cores)
    finally:
        os.sched_setaffinity(0, cores)
        torch.set_num_threads(threads)


def _read_after_write(cores: list[int]) -> float:
    shared = torch.zeros(KIB * 256)
    wanted, written = threading.Semaphore(0), threading.Semaphore(0)

    def write() -> None:
        os.sched_setaffinity(0, cores[1:2])  # of this thread
        for _ in range(ROUNDS):
            wanted.acquire()
            shared.fill_(1.0)
            written.release()

    other = threading.Thread(target=write, daemon=True)
    other.start()
    os.sched_setaffinity(0, cores[:1])
    seconds = []
    for _ in range(ROUNDS):
        wanted.release()
        written.acquire()
        begun = time.perf_counter()
        shared.sum()
        seconds.append(time.perf_counter() - begun)
    other.join()
    return KIB * 1024 / sorted(seconds)[ROUNDS // 4] / 1e9
