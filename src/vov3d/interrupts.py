"""Ctrl+C and SIGTERM: at once with everything cleared away, or at a moment of our choosing."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from vov3d.errors import TerminatedError


class Terminated(KeyboardInterrupt):
    """SIGTERM wherever the program is; like Ctrl+C it passes through all that handles errors."""


@contextmanager
def termination_raised() -> Iterator[None]:
    """Let SIGTERM unwind the program as Ctrl+C does, so that nothing half-made stays.

    A second one does not disturb that: often a process gets it from its parent and with its whole group.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return

    def unwind(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Terminated

    signal.signal(signal.SIGTERM, unwind)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def interrupts_noted() -> Iterator[Callable[[], int]]:
    """Note Ctrl+C and SIGTERM in place of stopping at once; a second one is not held back.

    Yields:
        A function that returns the number of the signal that was noted, 0 for none.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: 0  # signals are not for this thread
        return
    usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    noted = 0

    def note(number: int, _frame: FrameType | None) -> None:
        nonlocal noted
        if noted:
            stop_for(number)
        noted = number

    for number, handler in usual.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, note)
    try:
        yield lambda: noted
    finally:
        for number, handler in usual.items():
            if handler is not None:  # it was not set by Python, and cannot be set again
                signal.signal(number, handler)


def stop_for(number: int) -> None:
    """Raise what a signal means.

    Raises:
        KeyboardInterrupt: for Ctrl+C.
        TerminatedError: for SIGTERM.
    """
    if number == signal.SIGTERM:
        raise TerminatedError("terminated")
    if number:
        raise KeyboardInterrupt


def ignore_interrupts(_worker: int = 0) -> None:
    """Leave Ctrl+C and SIGTERM, which reach every process of a terminal or a job, to the one that started this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def dead_children_ignored() -> None:
    """Take torch's handler for dead decoding processes off: it raises again wherever the program then is."""
    if sys.platform != "win32" and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
