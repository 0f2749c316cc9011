"""What bounds a test of many videos: decoding them, or the network."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True)
class Bound:
    """Where the time of a test went.

    Attributes:
        stage: the slower of the two, which gives the pace.
        decoding_seconds: what decoding took, summed over all that decode at the same time.
        waiting_seconds: how long the network waited for videos.
        model_seconds: how long it computed, views and transfers included.
        decoders: processes or threads that decode.
    """

    stage: Literal["decoding", "model"]
    decoding_seconds: float
    waiting_seconds: float
    model_seconds: float
    decoders: int

    def __str__(self) -> str:
        name = {"decoding": "decoding", "model": "the model"}[self.stage]
        total = max(self.waiting_seconds + self.model_seconds, 1e-9)
        decoding, waiting = (
            f"{100 * part / total:.0f}%" for part in (self.decoding_seconds / self.decoders, self.waiting_seconds)
        )
        return f"bounded by {name}: decoding took {decoding} of the time, the model waited {waiting}"


class Clock:
    """Takes the times of a loop over videos that are decoded beside it.

    Args:
        decoders: processes or threads that decode; 1 where the loop decodes by itself.
    """

    def __init__(self, decoders: int) -> None:
        self.decoders = max(1, decoders)
        self.decoding_seconds = self.waiting_seconds = self.model_seconds = 0.0

    def over(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items: until one comes the network waits, until the next is asked for it computes."""
        since = time.perf_counter()
        for item in items:
            came = time.perf_counter()
            self.waiting_seconds += came - since
            yield item
            since = time.perf_counter()
            self.model_seconds += since - came

    def bound(self) -> Bound:
        """Return what was found so far."""
        is_slower = self.decoding_seconds / self.decoders > self.model_seconds
        return Bound(
            stage="decoding" if is_slower else "model",
            decoding_seconds=self.decoding_seconds,
            waiting_seconds=self.waiting_seconds,
            model_seconds=self.model_seconds,
            decoders=self.decoders,
        )
