"""Every process of a large training, without the training: is each video seen exactly once an epoch?

    python benchmarks/sampler_simulation.py

The samplers of all ranks are run over whole epochs of Kinetics-400 and Something-Something v2 in size, plain and
packed; then an epoch is stopped in its midst, twice, and taken up on other numbers of ranks. Nothing is read: the order
is a function of seed, epoch and step, and that is what is proven here.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vov3d.data.pack.sampler import PackSampler
from vov3d.data.sampler import SeekableSampler
from vov3d.data.sources.index import PackedAt, Shard, VideoItem


@dataclass(frozen=True)
class Simulated:
    """What all ranks together saw of an epoch.

    Attributes:
        num_videos: of the data set.
        batch_size: of all ranks.
        steps: batches of the epoch.
        times_seen: how often each video was seen, [num_videos].
    """

    num_videos: int
    batch_size: int
    steps: int
    times_seen: np.ndarray

    @property
    def is_exact(self) -> bool:
        """Whether no video was seen twice, and none was missed but those of the last batch, which is not full."""
        left_out = self.num_videos - self.steps * self.batch_size
        once, never = int((self.times_seen == 1).sum()), int((self.times_seen == 0).sum())
        return once == self.num_videos - left_out and never == left_out < self.batch_size


def simulate(one: SeekableSampler, epoch: int, legs: list[tuple[int, float]]) -> Simulated:
    """Run the samplers of all ranks over one epoch.

    Args:
        one: the sampler of a single process; those of the ranks are copies of it.
        epoch: which.
        legs: numbers of ranks, and the part of the epoch at which each hands over to the next; the last to its end, 1.
    """
    steps, seen = one.steps_per_epoch, np.zeros(one.num_items, np.int64)
    begin = 0
    for world_size, until in legs:
        end = round(until * steps)
        for rank in range(world_size):
            sampler = copy.copy(one)
            sampler.rank, sampler.world_size = rank, world_size
            sampler.seek(epoch, begin)
            for number, keys in zip(range((end - begin) * sampler.parts), sampler, strict=False):
                assert all(key[0] == epoch for key in keys), number
                np.add.at(seen, [index for _, index in keys], 1)
        begin = end
    return Simulated(one.num_items, one.batch_size, steps, seen)


def packed(num_videos: int, per_shard: int) -> list[VideoItem]:
    """Videos as they would lie in shards."""
    item = VideoItem(Path("a.tar"), 0, "a")
    items = []
    for number in range(num_videos):
        shard_number, place = divmod(number, per_shard)
        if place == 0:
            name = f"train-{shard_number:06d}.tar"
            shard = Shard(name, per_shard << 20)
        at = PackedAt(shard, number, place << 20, 1 << 20, 0)
        items.append(VideoItem(item.path.with_name(name), 0, str(number), packed=at))
    return items


def main() -> None:
    """Simulate, and say what was found."""
    sizes = {"kinetics-400": 234_619, "something-something v2": 168_913}
    runs = {"512 ranks": [(512, 1.0)], "64, 512, then 8 ranks": [(64, 0.3), (512, 0.7), (8, 1.0)]}
    for data_set, num_videos in sizes.items():
        items = packed(num_videos, 250)
        kinds = {"videos": SeekableSampler(num_videos, 1024), "packed": PackSampler(items, 1024)}
        for kind, sampler in kinds.items():
            for name, legs in runs.items():
                started = time.perf_counter()
                found = simulate(sampler, 3, legs)
                print(
                    f"{data_set}, {kind}, {name}: {found.num_videos} videos, {found.steps} steps of 1024: "
                    f"{'each once' if found.is_exact else 'NOT EXACT'} ({time.perf_counter() - started:.0f} s)"
                )
                if not found.is_exact:
                    raise SystemExit(1)


if __name__ == "__main__":
    main()
