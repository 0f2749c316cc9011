"""Results in order, made ahead by threads: while one is used, the next ones are made."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TypeVar

Item = TypeVar("Item")
Jobs = SimpleQueue[tuple[int, Future[Item]] | None]
SECONDS_TO_END = 2.0


def made_ahead(make: Callable[[int], Item], count: int, *, threads: int = 1) -> Iterator[Item]:
    """Yield ``make(0)``, ``make(1)``, ... in this order; what one raises is raised in its turn.

    At most two results a thread wait to be used, so memory is bounded. A program that ends, or a loop that is left,
    waits two seconds for the threads, since one that is found in C++ code as Python ends aborts the process; and no
    longer, since they are daemons.

    Args:
        make: called from the threads; worth it where it leaves Python alone, as decoding does.
        count: how often.
        threads: how many make results at the same time, at least 1.
    """
    jobs: Jobs[Item] = SimpleQueue()
    workers = [threading.Thread(target=_work, args=(make, jobs), daemon=True) for _ in range(threads)]
    for worker in workers:
        worker.start()
    due: deque[Future[Item]] = deque()
    try:
        for number in range(count + 2 * threads):
            if number < count:
                due.append(Future())
                jobs.put((number, due[-1]))
            if due and number >= 2 * threads:
                yield due.popleft().result()
    finally:
        for future in due:
            future.cancel()
        for _ in workers:
            jobs.put(None)
        until = time.monotonic() + SECONDS_TO_END
        for worker in workers:
            worker.join(max(0.0, until - time.monotonic()))


def _work(make: Callable[[int], Item], jobs: Jobs[Item]) -> None:
    """Do jobs until there are no more."""
    while (job := jobs.get()) is not None:
        number, future = job
        if not future.set_running_or_notify_cancel():
            continue
        try:
            future.set_result(make(number))
        except BaseException as error:  # noqa: BLE001  it is raised where the result is asked for
            future.set_exception(error)
        del job, future
