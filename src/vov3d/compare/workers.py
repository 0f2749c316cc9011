"""Processes that each hold one thing to be timed, and run it when they are asked to.

What else a machine does changes from minute to minute, so things to compare take turns; a process of its own makes the
peak of each one's memory measurable, and its death no one else's.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection

import torch

from vov3d.compare.memory import die_first
from vov3d.errors import Vov3dError
from vov3d.interrupts import ignore_interrupts, interrupts_held_back


@dataclass(frozen=True)
class Ready:
    """What a process has built.

    Attributes:
        run: what is timed; it has run before.
        facts: what was found while it was built.
    """

    run: Callable[[], object]
    facts: Mapping[str, float | str | None] = field(default_factory=dict)


SECONDS_TO_END = 2.0
Build = Callable[[], Ready]
"""What a process does first; it is pickled."""


class MeasuringError(Exception):
    """Something cannot be measured; one line.

    Attributes:
        verdict: why, in two words.
    """

    def __init__(self, reason: str, verdict: str) -> None:
        super().__init__(reason)
        self.verdict = verdict


class Worker:
    """A process that holds one thing to be timed.

    Attributes:
        facts: those of what it has built, once it has.
    """

    def __init__(self, build: Build, threads: int, memory_gib: float | None) -> None:
        if sys.platform == "win32":
            context = multiprocessing.get_context("spawn")
        else:
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload(["vov3d.compare.measuring"])  # torch is imported once, not for each of them
            resource_tracker.ensure_running()  # which would let signals through again
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, build, threads, memory_gib), daemon=True)
        self.facts: Mapping[str, float | str | None] = {}
        try:
            with interrupts_held_back():
                self._process.start()
                theirs.close()
        except KeyboardInterrupt:  # which was held back
            self.close()
            raise

    @classmethod
    @contextlib.contextmanager
    def started(cls, build: Build, threads: int, memory_gib: float | None = None) -> Iterator[Worker]:
        """A process that is ready; it ends with the context.

        Args:
            build: what it does first.
            threads: of torch, for an operator on the CPU.
            memory_gib: the limit of memory that it sets itself, if any.

        Raises:
            MeasuringError: it is not.
        """
        worker = cls(build, threads, memory_gib)
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
        self._connection.close()  # which ends it, unless it computes; killed it would leave semaphores behind
        if self._process.pid is None:  # an interrupt came first
            return
        try:
            self._process.join(SECONDS_TO_END)
        finally:  # even if a second interrupt comes
            self._process.kill()
            self._process.join()

    def _answer(self) -> object:
        try:
            answer: object = self._connection.recv()
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


def _serve(connection: Connection, build: Build, threads: int, memory_gib: float | None) -> None:
    """Build, answer with what was found; then run and answer for each word that comes."""
    ignore_interrupts()
    die_first()
    if sys.platform != "win32":  # whose semaphores have no names that would stay when this process is killed
        multiprocessing.set_start_method("fork", force=True)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    try:
        ready = build()
        connection.send(dict(ready.facts))
        while True:
            connection.send(_timed(ready.run, connection.recv()))
    except (EOFError, ConnectionError):
        return  # the one who asked is gone
    except (Vov3dError, MemoryError, RuntimeError) as error:
        connection.send(failure_reason(error, memory_gib))


def _end_with_parent() -> None:
    """End when the one who asked is killed, however long what is computed would still take."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _timed(run: Callable[[], object], seconds: float) -> float:
    times: list[float] = []
    while not times or sum(times) < seconds:
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return 1e3 * statistics.median(times)


def failure_reason(error: Exception, limit_gib: float | None) -> tuple[str, str]:
    """Why a network failed, at length and in two words."""
    text = " ".join(str(error).split())
    if isinstance(error, Vov3dError):
        return text, "fails"
    words = ("allocate", "out of memory", "bad_alloc", *(("a primitive",) if limit_gib is not None else ()))
    if not (isinstance(error, MemoryError) or any(word in text for word in words)):
        return text[:200] or type(error).__name__, "fails"
    if limit_gib is None:
        return "does not fit: it needs more memory than there is", "no memory"
    asked = re.search(r"allocate (\d+) bytes", text)
    last = f": when they were full it asked for {int(asked[1]) / 2**20:,.0f} MiB" if asked else ""
    return f"does not fit into the {limit_gib:g} GiB of --memory-gib{last}", f"over {limit_gib:g} GiB"
