"""Time and memory of many networks, each in a process of its own: one clip in each round, medians over rounds."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from vov3d.compare.costs import Clip, Measurement
from vov3d.compare.workers import MeasuringError, Ready, Worker
from vov3d.errors import ArgumentError
from vov3d.models import VoV3D, create_model

KEPT_MIB = 2500
"""Networks that wait for their next turn may hold this much together; the others are built anew for each."""

PROCESS_MIB = 120
"""What a waiting process holds beside its weights."""


@dataclass(frozen=True)
class Machine:
    """How to run.

    Attributes:
        device: of torch, such as ``cpu`` or ``cuda:0``.
        threads: threads of an operator on the CPU.
        memory_gib: what a network may use; ``None`` for all there is. Linux only.
    """

    device: str
    threads: int
    memory_gib: float | None = None


def machine(device: str, threads: int | None, memory_gib: float | None) -> Machine:
    """A checked `Machine`.

    Raises:
        ArgumentError: the device is not there, or a number is out of range.
    """
    if (threads is not None and threads < 1) or (memory_gib is not None and memory_gib <= 0):
        raise ArgumentError(f"threads {threads}, memory {memory_gib} GiB: both must be above 0")
    try:
        if torch.empty(0, device=device).is_meta:
            raise ArgumentError(
                "device 'meta' computes nothing, so nothing can be measured on it; rounds 0 only counts"
            )
    except (RuntimeError, AssertionError) as error:
        raise ArgumentError(f"device {device!r} cannot be used here: {str(error).splitlines()[0]}") from error
    return Machine(device, threads or torch.get_num_threads(), memory_gib)


def measure(
    clips: Mapping[Clip, float],
    machine: Machine,
    rounds: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[Clip, Measurement]:
    """Run each network on its clip, one warm-up and then one timed run in each round.

    Args:
        clips: what to run -> size of its weights in MiB.
        machine: how.
        rounds: timed runs of each.
        on_progress: called with (runs done, all runs).
    """
    times: dict[Clip, list[float]] = {clip: [] for clip in clips}
    peaks: dict[Clip, float | None] = {}
    failures: dict[Clip, str] = {}
    with contextlib.ExitStack() as all_workers:
        kept: dict[Clip, Worker] = {}
        kept_mib = 0.0
        for turn in range(rounds):
            for place, (clip, mib) in enumerate(clips.items()):
                if on_progress is not None:
                    on_progress(turn * len(clips) + place, rounds * len(clips))
                if clip in failures:
                    continue
                build = functools.partial(_network, clip, machine)
                try:
                    worker = kept.get(clip) or all_workers.enter_context(Worker.started(build, machine.threads))
                    peak_mib = worker.facts["peak_mib"]
                    assert not isinstance(peak_mib, str)
                    peaks.setdefault(clip, peak_mib)
                    times[clip].append(worker.run())
                except MeasuringError as error:
                    failures[clip] = str(error)
                    continue
                if clip not in kept and kept_mib + mib + PROCESS_MIB <= KEPT_MIB:
                    kept[clip] = worker
                    kept_mib += mib + PROCESS_MIB
                elif clip not in kept:
                    worker.close()
    return {clip: Measurement.of(times[clip], peaks.get(clip), failures.get(clip, "")) for clip in clips}


def _network(clip: Clip, machine: Machine) -> Ready:
    """Build a network, run it once, and find the peak of memory that took."""
    device = torch.device(machine.device)
    with torch.inference_mode():
        VoV3D(8, (1, 1, 1, 1), num_classes=2).eval().to(device)(torch.zeros(1, 3, 2, 64, 64, device=device))
    before = _peak_bytes(device)
    _limit_memory(machine.memory_gib)
    model = create_model(clip.model, num_classes=400).eval().to(device)
    clips = torch.randn(1, 3, clip.frames, clip.crop, clip.crop, device=device)

    @torch.inference_mode()
    def run() -> None:
        model(clips)
        _wait_for(device)

    run()
    after = _peak_bytes(device)
    return Ready(run, {"peak_mib": None if before is None or after is None else (after - before) / 2**20})


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _peak_bytes(device: torch.device) -> int | None:
    """The most memory that was in use: of the device, or of this process; ``None`` where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if device.type == "mps":
        return torch.mps.driver_allocated_memory()
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _limit_memory(gib: float | None) -> None:
    """Let this process allocate so much more than it has."""
    if gib is None or not sys.platform.startswith("linux"):
        return
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[5])  # data and stack, what the limit is about
    limit = pages * resource.getpagesize() + int(gib * 2**30)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
