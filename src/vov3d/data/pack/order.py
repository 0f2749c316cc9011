"""The order in which a packed set is trained on: random, and yet each process reads on where it read before.

The shards of a split are laid end to end, in an order drawn anew for each epoch and beginning anywhere. This row of
videos is cut into as many lanes as a batch has clips, and step s takes the s-th video of every lane:

    row      | shard 4 | shard 0        | shard 7    | shard 2  | ...
    lanes    |-- lane 0 --|-- lane 1 --|-- lane 2 --|-- lane 3 --|
    step s          ^            ^            ^            ^

Within a lane, each few videos in succession (a block) are shuffled; what is read remains one stretch. A process, and in
it a loader's worker, keeps its lanes for the whole epoch. All of this is a pure function of (seed, epoch), so any step
can be the first, with any number of processes and workers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vov3d.data.sources.index import VideoItem

MAX_BLOCK_BYTES, MAX_BLOCK_ITEMS = 8 << 20, 16

Order = npt.NDArray[np.int64]


def lane_order(shards: Sequence[Order], batch_size: int, block: int, rng: np.random.Generator) -> Order:
    """All items, batch after batch; what makes no full batch is the end.

    Args:
        shards: the items of each shard, as they lie in it.
        batch_size: number of lanes.
        block: items of a lane that are shuffled among themselves.
        rng: decides all.
    """
    row = np.concatenate([shards[number] for number in rng.permutation(len(shards))])
    row = np.roll(row, -int(rng.integers(len(row))))
    length = len(row) // batch_size
    lanes, rest = row[: length * batch_size].reshape(batch_size, length), row[length * batch_size :]
    places = np.argsort(np.arange(length) // block + rng.random((batch_size, length)), axis=1)
    return np.concatenate([np.take_along_axis(lanes, places, axis=1).T.reshape(-1), rest])


def shards_of(items: Sequence[VideoItem]) -> list[Order]:
    """The positions of the items that lie in each shard, in the order in which they lie there.

    Raises:
        ValueError: an item is not packed.
    """
    found: dict[str, list[tuple[int, int]]] = {}
    for index, item in enumerate(items):
        if item.packed is None:
            raise ValueError(f"{item.name!r} is not packed")
        found.setdefault(item.packed.shard.url, []).append((item.packed.offset, index))
    return [np.array([index for _, index in sorted(found[url])], np.int64) for url in sorted(found)]


def block_size(items: Sequence[VideoItem]) -> int:
    """How many items make a block: what can be held in memory for each lane."""
    num_bytes = sum(item.packed.num_bytes for item in items if item.packed is not None)
    return max(1, min(MAX_BLOCK_ITEMS, MAX_BLOCK_BYTES * len(items) // max(1, num_bytes)))
