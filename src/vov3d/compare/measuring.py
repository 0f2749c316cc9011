"""Time and memory of many networks, each in a process of its own: one clip in each round, medians over rounds."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

from vov3d.compare.costs import Clip, Measurement
from vov3d.compare.memory import limit_memory, peak_bytes
from vov3d.compare.workers import MeasuringError, Ready, Worker
from vov3d.distributed import resolve_device
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
        memory_gib: what a network may use, of a CUDA device or on Linux; ``None`` for all there is.
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
    return Machine(str(resolve_device(device)), threads or torch.get_num_threads(), memory_gib)


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

    Raises:
        MeasuringInterrupted: Ctrl+C or SIGTERM.
    """
    found = {clip: _Runs() for clip in clips}
    try:
        _take_turns(clips, machine, rounds, on_progress or (lambda _done, _all: None), found)
    except KeyboardInterrupt as stop:
        raise MeasuringInterrupted({clip: runs.summary() for clip, runs in found.items()}) from stop
    return {clip: runs.summary() for clip, runs in found.items()}


@dataclass
class _Runs:
    """What is known of one network so far."""

    times_ms: list[float] = field(default_factory=list)
    peak_mib: float | None = None
    error: MeasuringError | None = None

    def summary(self) -> Measurement:
        failure, verdict = (str(self.error), self.error.verdict) if self.error is not None else ("", "")
        return Measurement.of(self.times_ms, self.peak_mib, failure, verdict)


def _take_turns(
    clips: Mapping[Clip, float],
    machine: Machine,
    rounds: int,
    on_progress: Callable[[int, int], None],
    found: Mapping[Clip, _Runs],
) -> None:
    """Fill ``found``, so that what is there is not lost when this is interrupted."""
    with contextlib.ExitStack() as all_workers:
        kept: dict[Clip, Worker] = {}
        kept_mib = 0.0
        for turn in range(rounds):
            for place, (clip, mib) in enumerate(clips.items()):
                on_progress(turn * len(clips) + place, rounds * len(clips))
                runs = found[clip]
                if runs.error is not None:
                    continue
                started = functools.partial(Worker.started, functools.partial(_network, clip, machine))
                try:
                    worker = kept.get(clip) or all_workers.enter_context(started(machine.threads, machine.memory_gib))
                    peak_mib = worker.facts["peak_mib"]
                    assert not isinstance(peak_mib, str)
                    runs.peak_mib = peak_mib if not runs.times_ms else runs.peak_mib
                    runs.times_ms.append(worker.run())
                except MeasuringError as error:
                    runs.error = error
                    continue
                if clip not in kept and kept_mib + mib + PROCESS_MIB <= KEPT_MIB:
                    kept[clip] = worker
                    kept_mib += mib + PROCESS_MIB
                elif clip not in kept:
                    worker.close()


class MeasuringInterrupted(KeyboardInterrupt):
    """Ctrl+C or SIGTERM, which is the cause.

    Attributes:
        found: what was measured until then.
    """

    def __init__(self, found: dict[Clip, Measurement]) -> None:
        super().__init__()
        self.found = found


def _network(clip: Clip, machine: Machine) -> Ready:
    """Build a network, run it once, and find the peak of memory that took."""
    device = torch.device(machine.device)
    with torch.inference_mode():
        VoV3D(8, (1, 1, 1, 1), num_classes=2).eval().to(device)(torch.zeros(1, 3, 2, 64, 64, device=device))
    before = peak_bytes(device)
    limit_memory(machine.memory_gib, device)
    model = create_model(clip.model, num_classes=400).eval().to(device)
    clips = torch.randn(1, 3, clip.frames, clip.crop, clip.crop, device=device)

    @torch.inference_mode()
    def run() -> None:
        model(clips)
        _wait_for(device)

    run()
    after = peak_bytes(device)
    return Ready(run, {"peak_mib": None if before is None or after is None else (after - before) / 2**20})


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
