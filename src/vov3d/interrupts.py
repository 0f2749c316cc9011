"""Ctrl+C at a moment of our choosing."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interrupt_later() -> Iterator[None]:
    """Hold Ctrl+C back until the block is done; a second one is not held back."""
    usual, asked = signal.getsignal(signal.SIGINT), False
    if not callable(usual) or threading.current_thread() is not threading.main_thread():
        yield  # it is ignored, or not for this thread
        return

    def note(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        signal.signal(signal.SIGINT, usual)

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
    if asked:
        raise KeyboardInterrupt
