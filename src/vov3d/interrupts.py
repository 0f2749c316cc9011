"""Ctrl+C and SIGTERM: at once with everything cleared away, or at a moment of our choosing."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from vov3d.errors import TerminatedError

Handler = Callable[[int, FrameType | None], object] | int | None

ENDINGS = {signal.SIGINT: ("interrupted", 130), signal.SIGTERM: ("terminated", 143)}
"""What each signal is told as, and the exit code."""


class Terminated(KeyboardInterrupt):
    """SIGTERM wherever the program is; like Ctrl+C it passes through all that handles errors."""


def end_at_once(number: int, _frame: FrameType | None) -> None:
    """End the process with one line: right only where nothing is half-made."""
    told, code = ENDINGS[signal.Signals(number)]
    if is_first_process():
        os.write(2, f"vov3d: {told}\n".encode())
    os._exit(code)


def is_first_process() -> bool:
    """Whether this is the first of the processes that ``torchrun`` started, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def end_at_once_while_loading() -> None:
    """Tell a signal in one line from now on, if this process is the command line: what is heavy is yet to be imported.

    An exception would pass through whatever is being imported, and nothing above that could catch it.
    """
    if not _is_command_line() or threading.current_thread() is not threading.main_thread():
        return
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
        if signal.getsignal(number) == usual:
            signal.signal(number, end_at_once)


def _is_command_line() -> bool:
    """Whether this process was started as ``vov3d`` or ``python -m vov3d``, whose name is "-m" until it is found."""
    name = sys.argv[0] if sys.argv else ""
    if name == "-m":
        return not {"vov3d", "-mvov3d"}.isdisjoint(sys.orig_argv)
    return Path(name).stem == "vov3d" and name in sys.orig_argv  # and not a child that was spawned


@contextmanager
def termination_raised() -> Iterator[None]:
    """Let SIGTERM unwind the program as Ctrl+C does, so that nothing half-made stays.

    A second one does not disturb that: often a process gets it from its parent and with its whole group.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = {number: signal.getsignal(number) for number in ENDINGS}

    def unwind(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Terminated

    if usual[signal.SIGTERM] in (signal.SIG_DFL, end_at_once):
        signal.signal(signal.SIGTERM, unwind)
    if usual[signal.SIGINT] is end_at_once:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        _set_again(usual)


@contextmanager
def interrupts_noted() -> Iterator[Callable[[], int]]:
    """Note Ctrl+C and SIGTERM in place of stopping at once; a second one is not held back.

    Yields:
        A function that returns the number of the signal that was noted, 0 for none.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: 0  # signals are not for this thread
        return
    usual = {number: signal.getsignal(number) for number in ENDINGS}
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
        _set_again(usual)


def _set_again(usual: Mapping[signal.Signals, Handler]) -> None:
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


@contextmanager
def interrupts_held_back() -> Iterator[None]:
    """Let Ctrl+C and SIGTERM wait while processes are started.

    They wait in those too, which have our handlers and would tell of an exception, until they `ignore_interrupts`.
    """
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDINGS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore_interrupts(_worker: int = 0) -> None:
    """Leave Ctrl+C and SIGTERM, which reach every process of a terminal or a job, to the one that started this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDINGS)


def dead_children_ignored() -> None:
    """Take torch's handler for dead decoding processes off: it raises again wherever the program then is."""
    if sys.platform != "win32" and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
