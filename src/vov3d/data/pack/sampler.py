"""Which packed videos are read, in which order and by which process and worker."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vov3d.data.pack.order import block_size, lane_order, shards_of
from vov3d.data.sampler import Order, SeekableSampler
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

    def order(self, epoch: int) -> Order:
        """Return all items in the order of an epoch (see `SeekableSampler.order`)."""
        rng = np.random.default_rng((LANE_STREAM, self.seed, epoch))
        return lane_order(self.shards, self.batch_size, self.block, rng)
