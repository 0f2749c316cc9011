"""Time and memory of many networks, each in a process of its own, in rounds that take turns.

What else a machine does changes from minute to minute. So every network runs one clip in each round, and medians are
taken over rounds. A process of its own makes the peak of its memory measurable, and its death no one else's.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

import torch

from vov3d.compare.costs import Clip, Measurement
from vov3d.compare.memory import die_first, limit_memory, peak_bytes
from vov3d.errors import ArgumentError
from vov3d.interrupts import ignore_interrupts
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
                try:
                    worker = kept[clip] if clip in kept else all_workers.enter_context(Worker.started(clip, machine))
                    runs.peak_mib = worker.peak_mib if not runs.times_ms else runs.peak_mib
                    runs.times_ms.append(worker.run())
                except MeasuringError as error:
                    runs.error = error
                    continue
                if clip not in kept and kept_mib + mib + PROCESS_MIB <= KEPT_MIB:
                    kept[clip] = worker
                    kept_mib += mib + PROCESS_MIB
                elif clip not in kept:
                    worker.close()


class MeasuringError(Exception):
    """A network cannot be measured.

    Attributes:
        verdict: why, in two words.
    """

    def __init__(self, reason: str, verdict: str) -> None:
        super().__init__(reason)
        self.verdict = verdict


class MeasuringInterrupted(KeyboardInterrupt):
    """Ctrl+C or SIGTERM, which is the cause.

    Attributes:
        found: what was measured until then.
    """

    def __init__(self, found: dict[Clip, Measurement]) -> None:
        super().__init__()
        self.found = found


class Worker:
    """A process that holds one network.

    Attributes:
        peak_mib: memory that its network and one clip took.
    """

    def __init__(self, clip: Clip, machine: Machine) -> None:
        if sys.platform == "win32":
            context = multiprocessing.get_context("spawn")
        else:
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload([__name__])  # torch is imported once, not for each network
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, clip, machine), daemon=True)
        self._process.start()
        theirs.close()
        self.peak_mib: float | None = None

    @classmethod
    @contextlib.contextmanager
    def started(cls, clip: Clip, machine: Machine) -> Iterator[Worker]:
        """A process whose network has run once; it ends with the context.

        Raises:
            MeasuringError: it has not.
        """
        worker = cls(clip, machine)
        try:
            worker.peak_mib = worker._answer()
            yield worker
        finally:
            worker.close()

    def run(self) -> float:
        """Return how long one more clip took, in ms.

        Raises:
            MeasuringError: the process is gone, or the clip failed.
        """
        with contextlib.suppress(OSError):  # it is gone, which the answer tells
            self._connection.send(None)
        taken = self._answer()
        assert taken is not None
        return taken

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.kill()
        self._process.join()

    def _answer(self) -> float | None:
        try:
            answer: float | tuple[str, str] | None = self._connection.recv()
        except (EOFError, ConnectionError):
            self._process.join()
            raise MeasuringError(*_death(self._process.exitcode or 0)) from None
        if isinstance(answer, tuple):
            raise MeasuringError(*answer)
        return answer


def _death(code: int) -> tuple[str, str]:
    """What the exit code of a process that did not answer says, at length and in two words."""
    if sys.platform != "win32" and code == -signal.SIGKILL:
        return "its process was killed, as the system does when memory runs out", "killed"
    return f"its process ended with exit code {code}", "fails"


def _serve(connection: Connection, clip: Clip, machine: Machine) -> None:
    """Build, run once, answer with the peak of memory; then run and answer for each word that comes."""
    ignore_interrupts()
    die_first()
    torch.set_num_threads(machine.threads)
    device = torch.device(machine.device)
    try:
        with torch.inference_mode():
            VoV3D(8, (1, 1, 1, 1), num_classes=2).eval().to(device)(torch.zeros(1, 3, 2, 64, 64, device=device))
            before = peak_bytes(device)
            limit_memory(machine.memory_gib, device)
            model = create_model(clip.model, num_classes=400).eval().to(device)
            clips = torch.randn(1, 3, clip.frames, clip.crop, clip.crop, device=device)
            model(clips)
            _wait_for(device)
            after = peak_bytes(device)
            connection.send(None if before is None or after is None else (after - before) / 2**20)
            while True:
                connection.recv()
                started = time.perf_counter()
                model(clips)
                _wait_for(device)
                connection.send(1e3 * (time.perf_counter() - started))
    except (EOFError, ConnectionError):
        return  # the one who asked is gone
    except (ArgumentError, MemoryError, RuntimeError) as error:
        connection.send(failure_reason(error, machine.memory_gib))


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def failure_reason(error: Exception, limit_gib: float | None) -> tuple[str, str]:
    """Why a network failed, at length and in two words."""
    text = " ".join(str(error).split())
    if isinstance(error, ArgumentError):
        return text, "fails"
    words = ("allocate", "out of memory", "bad_alloc", *(("a primitive",) if limit_gib is not None else ()))
    if not (isinstance(error, MemoryError) or any(word in text for word in words)):
        return text[:200] or type(error).__name__, "fails"
    if limit_gib is None:
        return "does not fit: it needs more memory than there is", "no memory"
    asked = re.search(r"allocate (\d+) bytes", text)
    last = f": when they were full it asked for {int(asked[1]) / 2**20:,.0f} MiB" if asked else ""
    return f"does not fit into the {limit_gib:g} GiB of --memory-gib{last}", f"over {limit_gib:g} GiB"
