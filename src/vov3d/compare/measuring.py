"""Time and memory of many networks, each in a process of its own, in rounds that take turns.

What else a machine does changes from minute to minute. So every network runs one clip in each round, and medians are
taken over rounds. A process of its own makes the peak of its memory measurable, and its death no one else's.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from vov3d.compare.costs import Clip, Measurement
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
                try:
                    worker = kept[clip] if clip in kept else all_workers.enter_context(Worker.started(clip, machine))
                    peaks.setdefault(clip, worker.peak_mib)
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


class MeasuringError(Exception):
    """A network cannot be measured; one line."""


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
            answer: float | str | None = self._connection.recv()
        except (EOFError, ConnectionError):
            self._process.join()
            raise MeasuringError(_death(self._process.exitcode or 0)) from None
        if isinstance(answer, str):
            raise MeasuringError(answer)
        return answer


def _death(code: int) -> str:
    """What the exit code of a process that did not answer says."""
    if sys.platform != "win32" and code == -signal.SIGKILL:
        return "its process was killed, as the system does when memory runs out"
    return f"its process ended with exit code {code}"


def _serve(connection: Connection, clip: Clip, machine: Machine) -> None:
    """Build, run once, answer with the peak of memory; then run and answer for each word that comes."""
    ignore_interrupts()
    _die_first()
    torch.set_num_threads(machine.threads)
    device = torch.device(machine.device)
    try:
        with torch.inference_mode():
            VoV3D(8, (1, 1, 1, 1), num_classes=2).eval().to(device)(torch.zeros(1, 3, 2, 64, 64, device=device))
            before = _peak_bytes(device)
            _limit_memory(machine.memory_gib)
            model = create_model(clip.model, num_classes=400).eval().to(device)
            clips = torch.randn(1, 3, clip.frames, clip.crop, clip.crop, device=device)
            model(clips)
            _wait_for(device)
            after = _peak_bytes(device)
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
        connection.send(_reason(error))


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, ArgumentError):
        return text
    if isinstance(error, MemoryError) or any(word in text for word in ("allocate", "out of memory", "bad_alloc")):
        return "does not fit: it needs more memory than there is"
    return text[:200] or type(error).__name__


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


def _die_first() -> None:
    """Ask Linux to take this process rather than another when memory runs out."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
