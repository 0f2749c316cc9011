"""Processes that each hold one thing to be timed, and run it when they are asked to.

What else a machine does changes from minute to minute, so things to compare take turns; a process of its own makes the
peak of each one's memory measurable, and its death no one else's.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from vov3d.errors import ArgumentError
from vov3d.interrupts import ignore_interrupts


@dataclass(frozen=True)
class Ready:
    """What a process has built.

    Attributes:
        run: what is timed; it has run before.
        facts: what was found while it was built.
    """

    run: Callable[[], object]
    facts: Mapping[str, float | str | None] = field(default_factory=dict)


Build = Callable[[], Ready]
"""What a process does first; it is pickled."""


class MeasuringError(Exception):
    """Something cannot be measured; one line."""


class Worker:
    """A process that holds one thing to be timed.

    Attributes:
        facts: those of what it has built, once it has.
    """

    def __init__(self, build: Build, threads: int) -> None:
        if sys.platform == "win32":
            context = multiprocessing.get_context("spawn")
        else:
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload(["vov3d.compare.measuring"])  # torch is imported once, not for each of them
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, build, threads), daemon=True)
        self._process.start()
        theirs.close()
        self.facts: Mapping[str, float | str | None] = {}

    @classmethod
    @contextlib.contextmanager
    def started(cls, build: Build, threads: int) -> Iterator[Worker]:
        """A process that is ready; it ends with the context.

        Args:
            build: what it does first.
            threads: of torch, for an operator on the CPU.

        Raises:
            MeasuringError: it is not.
        """
        worker = cls(build, threads)
        try:
            worker.wait()
            yield worker
        finally:
            worker.close()

    def wait(self) -> None:
        """Return when it is ready.

        Raises:
            MeasuringError: it never will be.
        """
        facts = self._answer()
        assert isinstance(facts, dict)
        self.facts = facts

    def run(self, seconds: float = 0.0) -> float:
        """Return how long one more run took, in ms.

        Args:
            seconds: run again until so much time is spent, and return the median.

        Raises:
            MeasuringError: the process is gone, or the run failed.
        """
        with contextlib.suppress(OSError):  # it is gone, which the answer tells
            self._connection.send(seconds)
        taken = self._answer()
        assert isinstance(taken, float)
        return taken

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.kill()
        self._process.join()

    def _answer(self) -> object:
        try:
            answer: object = self._connection.recv()
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


def _serve(connection: Connection, build: Build, threads: int) -> None:
    """Build, answer with what was found; then run and answer for each word that comes."""
    ignore_interrupts()
    _die_first()
    torch.set_num_threads(threads)
    try:
        ready = build()
        connection.send(dict(ready.facts))
        while True:
            connection.send(_timed(ready.run, connection.recv()))
    except (EOFError, ConnectionError):
        return  # the one who asked is gone
    except (ArgumentError, MemoryError, RuntimeError) as error:
        connection.send(_reason(error))


def _timed(run: Callable[[], object], seconds: float) -> float:
    times: list[float] = []
    while not times or sum(times) < seconds:
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return 1e3 * statistics.median(times)


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, ArgumentError):
        return text
    if isinstance(error, MemoryError) or any(word in text for word in ("allocate", "out of memory", "bad_alloc")):
        return "does not fit: it needs more memory than there is"
    return text[:200] or type(error).__name__


def _die_first() -> None:
    """Ask Linux to take this process rather than another when memory runs out."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
