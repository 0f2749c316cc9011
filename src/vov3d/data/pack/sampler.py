"""Which packed videos are read, in which order and by which process and worker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from vov3d.data.pack.order import block_size, lane_order, shards_of
from vov3d.data.sampler import Key, SeekableSampler
from vov3d.data.sources.index import VideoItem

LANE_STREAM = 6  # keeps these draws apart from those of `vov3d.data` (0 to 3) and of training (4, 5)


class PackSampler(SeekableSampler):
    """Batches of one epoch from any step on, as `SeekableSampler` gives them, in an order that suits a packed set.

    What that order is, `vov3d.data.pack.order` says. What is yielded is cut once more: `parts` lists in succession are
    one batch of this process. A DataLoader with so many workers hands list k to worker k mod `parts`, so each worker
    keeps its lanes; `vov3d.data.batches.joined` puts the parts together again. The batches are the same whatever the
    parts are.

    Args:
        items: the videos of the split, all of them packed.
        batch_size: of the global batch, over all ranks.
        seed: of the order.
        rank: of this process.
        world_size: number of processes.
        drop_last: leave out the last batch where it is not full; which videos these are, each epoch draws anew.
        parts: lists for each batch: the number of a loader's workers, at least 1.

    Raises:
        ValueError: the sizes do not fit together, or the epoch would have no step.
    """

    def __init__(
        self,
        items: Sequence[VideoItem],
        batch_size: int,
        *,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        drop_last: bool = True,
        parts: int = 1,
    ) -> None:
        super().__init__(len(items), batch_size, seed=seed, rank=rank, world_size=world_size, drop_last=drop_last)
        if parts < 1:
            raise ValueError(f"parts={parts}; allowed is 1 and more")
        self.parts = parts
        self.shards = shards_of(items)
        self.block = block_size(items)

    def __len__(self) -> int:
        return self.parts * (self.steps_per_epoch - self.start_step)

    def __iter__(self) -> Iterator[list[Key]]:
        epoch = self.epoch
        rng = np.random.default_rng((LANE_STREAM, self.seed, epoch))
        order = lane_order(self.shards, self.batch_size, self.block, rng)
        for step in range(self.start_step, self.steps_per_epoch):
            batch = order[step * self.batch_size : (step + 1) * self.batch_size]
            share = np.array_split(batch, self.world_size)[self.rank]
            for part in np.array_split(share, self.parts):
                yield [(epoch, index) for index in part.tolist()]
