"""Remote shards in memory: a few stretches of them, each read on in large pieces."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass, field

from vov3d.data.sources.index import Shard

MAX_IDLE_READS = 1024  # a stretch that was not used for so many reads was the end of a lane


@dataclass(eq=False)
class _Window:
    """A stretch of a shard that was read, and the parts of it that were given out."""

    shard: Shard
    start: int
    content: bytes = b""
    given: list[tuple[int, int]] = field(default_factory=list)
    last_read: int = 0

    @property
    def end(self) -> int:
        return self.start + len(self.content)

    def give(self, start: int, end: int) -> bytes:
        """Return a part, and forget what was given out up to the first part that was not."""
        part = self.content[start - self.start : end - self.start]
        insort(self.given, (start, end))
        done = self.start
        while self.given and self.given[0][0] <= done:
            done = max(done, self.given.pop(0)[1])
        self._forget(done)
        return part

    def add(self, content: bytes, keep_bytes: int, needed: int) -> None:
        """Make it longer; what lies before `needed` and further back than `keep_bytes` is not waited for any more."""
        self._forget(max(self.start, min(needed, self.end - keep_bytes)))
        self.content += content

    def _forget(self, until: int) -> None:
        self.content, self.start = self.content[until - self.start :], until


class Windows:
    """Reads parts of shards so that what is asked for nearly in order costs few requests, and nothing is read twice.

    What lies a little way after a stretch in memory makes that stretch longer, over the gap and some way ahead. What
    lies elsewhere is read by itself, not a byte more. A part is expected to be asked for once, and then forgotten.

    Args:
        fetch: called with shard, start and end; returns these bytes.
        ahead_bytes: what is read beyond what is asked for.
        reach_bytes: the longest gap that is read over, and how long its content is waited for.
        budget_bytes: what may be in memory; the stretch that was used longest ago goes first.
    """

    def __init__(
        self, fetch: Callable[[Shard, int, int], bytes], ahead_bytes: int, reach_bytes: int, budget_bytes: int
    ) -> None:
        self._fetch = fetch
        self._ahead, self._reach, self._budget = ahead_bytes, reach_bytes, budget_bytes
        self._windows: list[_Window] = []  # the last used is the last
        self._num_reads = 0

    def read(self, shard: Shard, start: int, end: int) -> bytes:
        """Return these bytes of a shard.

        Raises:
            OSError: they cannot be read.
        """
        window = self._holding(shard, start, end) or self._reaching(shard, start)
        if window is None:
            window = _Window(shard, start, self._fetch(shard, start, end))
        elif window.end < end:
            self._extend(window, start, end)
        part = window.give(start, end)
        self._used(window)
        return part

    def _holding(self, shard: Shard, start: int, end: int) -> _Window | None:
        holding = (one for one in self._windows if one.shard == shard and one.start <= start and end <= one.end)
        return next(holding, None)

    def _reaching(self, shard: Shard, start: int) -> _Window | None:
        """The stretch that is to be made longer to hold what begins here, the nearest of them."""
        before = [one for one in self._windows if one.shard == shard and one.start <= start]
        nearest = max(before, key=lambda one: one.end, default=None)
        return nearest if nearest is not None and start - nearest.end <= self._reach else None

    def _extend(self, window: _Window, start: int, end: int) -> None:
        """Read on to this byte and beyond, but not what another stretch holds: that is taken over."""
        end = min(end + self._ahead, window.shard.num_bytes)
        others = [one for one in self._windows if one.shard == window.shard and one is not window]
        for other in sorted(others, key=lambda one: one.start):
            if window.end <= other.start < end and other.content:
                self._add(window, start, other.start)
                window.add(other.content, self._reach, start)
                self._windows.remove(other)
        self._add(window, start, end)

    def _add(self, window: _Window, start: int, end: int) -> None:
        if window.end < end:
            window.add(self._fetch(window.shard, window.end, end), self._reach, start)

    def _used(self, window: _Window) -> None:
        """Put it last; forget what is not used any more, or what there is no room for."""
        self._num_reads += 1
        window.last_read = self._num_reads
        oldest = self._num_reads - MAX_IDLE_READS
        rest = [one for one in self._windows if one is not window and one.last_read >= oldest]
        self._windows = [*rest, window]
        excess = sum(len(one.content) for one in self._windows) - self._budget
        while excess > 0 and len(self._windows) > 1:
            excess -= len(self._windows.pop(0).content)
