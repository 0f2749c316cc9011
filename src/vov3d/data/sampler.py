"""Which items are read, in which order and by which process.

The order is a pure function of (seed, epoch), and each item's randomness one of (seed, epoch, index). A run that stops
can therefore go on from any step, with any number of workers, and on another number of processes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler

Key = tuple[int, int]
Order = npt.NDArray[np.int64]
ORDER_STREAM = 0  # keeps these draws apart from those of `vov3d.data.dataset`


class SeekableSampler(Sampler[list[Key]]):
    """Batches of one epoch from any step on: the `batch_sampler` of a DataLoader over a `ClipDataset`.

    Each global batch is cut into one run of items for each rank. All ranks see the same number of steps, and together
    each item once; at the end of an epoch that is not dropped, shares may differ by one item or be empty.

    Args:
        num_items: size of the data set.
        batch_size: of the global batch, over all ranks.
        seed: of the order.
        rank: of this process.
        world_size: number of processes.
        drop_last: leave out the last batch where it is not full (as published for training).

    Raises:
        ValueError: the sizes do not fit together, or the epoch would have no step.
    """

    parts = 1  # lists in succession that make one batch, see `vov3d.data.pack.sampler`

    def __init__(
        self,
        num_items: int,
        batch_size: int,
        *,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        drop_last: bool = True,
    ) -> None:
        _check_rank(rank, world_size)
        if batch_size < 1 or batch_size % world_size:
            raise ValueError(f"batch_size={batch_size} must be a positive multiple of world_size={world_size}")
        if num_items < (batch_size if drop_last else 1):
            raise ValueError(f"num_items={num_items} make no batch of {batch_size}; give a smaller batch_size")
        self.num_items, self.batch_size, self.seed = num_items, batch_size, seed
        self.rank, self.world_size, self.drop_last = rank, world_size, drop_last
        self.epoch, self.start_step = 0, 0

    @property
    def steps_per_epoch(self) -> int:
        """Number of global batches in a whole epoch."""
        batches = self.num_items / self.batch_size
        return math.floor(batches) if self.drop_last else math.ceil(batches)

    def seek(self, epoch: int, step: int = 0) -> None:
        """Choose where the next iteration starts: this epoch, with so many of its steps already done."""
        if epoch < 0 or not 0 <= step <= self.steps_per_epoch:
            raise ValueError(f"epoch={epoch}, step={step}; an epoch has steps 0 to {self.steps_per_epoch}")
        self.epoch, self.start_step = epoch, step

    def order(self, epoch: int) -> Order:
        """Return all items in the order of an epoch, the same on every rank.

        Shape: [num_items]
        """
        return np.random.default_rng((ORDER_STREAM, self.seed, epoch)).permutation(self.num_items)

    def __len__(self) -> int:
        return self.parts * (self.steps_per_epoch - self.start_step)

    def __iter__(self) -> Iterator[list[Key]]:
        epoch = self.epoch
        order = self.order(epoch)
        for step in range(self.start_step, self.steps_per_epoch):
            batch = order[step * self.batch_size : (step + 1) * self.batch_size]
            own = _share(batch, self.rank, self.world_size)
            for part in range(self.parts):
                yield [(epoch, index) for index in _share(own, part, self.parts).tolist()]


def _share(items: Order, number: int, count: int) -> Order:
    """One of so many runs of items, as equal in length as they can be."""
    return items[len(items) * number // count : len(items) * (number + 1) // count]


def eval_shard(num_items: int, rank: int = 0, world_size: int = 1) -> range:
    """The items that one process tests: together each item once, with no padding."""
    _check_rank(rank, world_size)
    return range(rank, num_items, world_size)


def _check_rank(rank: int, world_size: int) -> None:
    if not 0 <= rank < world_size:
        raise ValueError(f"rank={rank}; allowed are 0 to {world_size - 1} with world_size={world_size}")
