"""The order of a packed set: each video once, a function of (seed, epoch) alone, and each lane in the shards' order."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from vov3d.data.batches import build_sampler, joined
from vov3d.data.items import Batch
from vov3d.data.pack.order import block_size, lane_order
from vov3d.data.pack.sampler import PackSampler
from vov3d.data.pack.windows import Windows
from vov3d.data.sampler import SeekableSampler
from vov3d.data.sources import VideoItem
from vov3d.data.sources.index import PackedAt, Shard

Key = tuple[int, int]
SHARD_ITEMS = 25


def packed_items(number: int, num_bytes: int = 1 << 20) -> list[VideoItem]:
    """Videos in shards of 25, which hold them in a random order."""
    physical = np.random.default_rng(0).permutation(number)
    shards = [Shard(f"train-{shard:06}.tar", SHARD_ITEMS * num_bytes) for shard in range(number // SHARD_ITEMS + 1)]
    places = {
        int(index): PackedAt(shards[place // SHARD_ITEMS], place, place % SHARD_ITEMS * num_bytes, num_bytes, 0)
        for place, index in enumerate(physical)
    }
    return [VideoItem(Path("x"), 0, str(index), packed=places[index]) for index in range(number)]


def epoch_of(sampler: PackSampler, epoch: int, step: int = 0) -> list[list[Key]]:
    """Whole batches of this rank, its parts joined."""
    sampler.seek(epoch, step)
    lists = list(sampler)
    assert len(lists) == len(sampler) == sampler.parts * (sampler.steps_per_epoch - step)
    rest = iter(lists)
    batches = []
    while group := list(islice(rest, sampler.parts)):
        batches.append([key for part in group for key in part])
    return batches


@pytest.mark.parametrize("parts", [1, 2, 3, 5])
@pytest.mark.parametrize("world_size", [1, 2, 3, 6, 12])
@pytest.mark.parametrize("number", [24, 100, 137])
def test_the_global_batches_are_the_same_whatever_the_ranks_and_workers(
    number: int, world_size: int, parts: int
) -> None:
    items = packed_items(number)
    whole = epoch_of(PackSampler(items, 12, seed=3, drop_last=False), 5)
    ranks = [
        PackSampler(items, 12, seed=3, rank=rank, world_size=world_size, drop_last=False, parts=parts)
        for rank in range(world_size)
    ]
    shares = [epoch_of(sampler, 5) for sampler in ranks]
    assert [[key for share in shares for key in share[step]] for step in range(len(whole))] == whole
    assert sorted(key for batch in whole for key in batch) == [(5, index) for index in range(number)]


@pytest.mark.parametrize("step", [0, 1, 4, 7, 8])
@pytest.mark.parametrize("before", [(1, 1), (2, 3), (6, 2)])
@pytest.mark.parametrize("after", [(1, 2), (3, 1), (4, 5)])
def test_a_run_goes_on_with_other_ranks_and_workers(step: int, before: tuple[int, int], after: tuple[int, int]) -> None:
    items = packed_items(103)

    def read(world_size: int, parts: int, first: int, number: int) -> list[Key]:
        keys = []
        for rank in range(world_size):
            sampler = PackSampler(items, 12, seed=1, rank=rank, world_size=world_size, parts=parts)
            keys += [key for batch in epoch_of(sampler, 2, first)[:number] for key in batch]
        return keys

    keys = read(*before, 0, step) + read(*after, step, 8)
    assert len(keys) == len(set(keys)) == 8 * 12
    assert set(keys) == set(read(1, 1, 0, 8))


def test_the_last_batch_is_dropped_where_it_is_not_full_and_it_is_another_each_epoch() -> None:
    sampler = PackSampler(packed_items(100), 12, seed=3)
    assert sampler.steps_per_epoch == 8
    dropped = []
    for epoch in range(4):
        batches = epoch_of(sampler, epoch)
        assert [len(batch) for batch in batches] == [12] * 8
        dropped.append(frozenset(range(100)) - {index for batch in batches for _, index in batch})
    assert all(len(one) == 4 for one in dropped)
    assert len(set(dropped)) == 4


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    items = packed_items(200)
    orders = [epoch_of(PackSampler(items, 8, seed=seed), epoch) for seed, epoch in ((3, 0), (3, 1), (4, 0), (3, 0))]
    assert orders[0] == orders[3]
    assert orders[0] != orders[1] and orders[0] != orders[2]


def test_each_worker_reads_on_where_it_read_before() -> None:
    """Every lane stays with its worker and goes through the shards in their order, but for the shuffle in blocks."""
    number, batch_size, parts = 2400, 8, 4
    items = packed_items(number)
    sampler = PackSampler(items, batch_size, world_size=2, rank=1, parts=parts)
    places = np.array([item.packed.key for item in items if item.packed is not None])
    lists = list(sampler)
    for worker in range(parts):
        keys = lists[worker::parts]
        assert {len(part) for part in keys} == {1}
        visited = places[[index for part in keys for _, index in part]]
        assert len(visited) == number // batch_size
        jumps = np.abs(np.diff(visited)) > 2 * sampler.block
        shards = len(visited) // SHARD_ITEMS + 2
        assert jumps.sum() <= 4 * shards  # where a shard ends within a block, going to and fro
        in_blocks = [np.sort(visited[at : at + sampler.block]) for at in range(0, len(visited), sampler.block)]
        contiguous = sum(bool((np.diff(block) == 1).all()) for block in in_blocks)
        assert contiguous >= len(in_blocks) - shards


def test_two_videos_of_one_shard_meet_in_few_batches() -> None:
    """Also where a set is a single shard, batches are others in each epoch."""
    items = packed_items(SHARD_ITEMS - 1)
    sampler = PackSampler(items, 8)
    together = [
        any({0, 1} <= {index for _, index in batch} for batch in epoch_of(sampler, epoch)) for epoch in range(300)
    ]
    assert 0.15 < np.mean(together) < 0.45  # of independent draws: 7 / 23 = 0.30


def test_blocks_are_what_fits_in_memory() -> None:
    assert block_size(packed_items(50, 1 << 10)) == 16
    assert block_size(packed_items(50, 1 << 20)) == 8
    assert block_size(packed_items(50, 1 << 30)) == 1


def test_lanes_by_hand() -> None:
    rng = np.random.default_rng(0)
    order = lane_order([np.arange(0, 5), np.arange(5, 11)], 2, 1, rng)
    lanes = order[:10].reshape(5, 2).T
    for lane in lanes:
        assert (np.diff(lane) % 11 == 1).sum() >= 3
    assert sorted(order) == list(range(11))


def test_which_sampler() -> None:
    items = packed_items(20)
    packed = build_sampler(items, 4, workers=3)
    assert isinstance(packed, PackSampler) and packed.parts == 3
    files = [VideoItem(Path("x"), 0, "x")] * 20
    plain = build_sampler(files, 4, workers=3)
    assert type(plain) is SeekableSampler and plain.parts == 1
    assert build_sampler(items, 4).parts == 1


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="parts=0"):
        PackSampler(packed_items(20), 4, parts=0)
    with pytest.raises(ValueError, match="is not packed"):
        PackSampler([VideoItem(Path("x"), 0, "x")] * 20, 4)
    with pytest.raises(ValueError, match="smaller batch_size"):
        PackSampler(packed_items(3), 4)


@pytest.mark.parametrize("parts", [2, 3])
def test_repeated_videos_join_to_the_batch_of_one_part(parts: int) -> None:
    """The first clip of each video comes before the second of each, however many workers made them."""

    def batch(videos: list[int]) -> Batch:
        indices = torch.tensor(videos * 2)
        clips = torch.stack([torch.full((1,), index + 0.1 * (n >= len(videos))) for n, index in enumerate(videos * 2)])
        return Batch(clips=clips, labels=indices + 1, indices=indices, targets=clips, broken=())

    whole = batch([11, 10, 2, 5, 7, 3])
    cut = [[11, 10, 2, 5, 7, 3][6 * part // parts : 6 * (part + 1) // parts] for part in range(parts)]
    (found,) = joined([batch(videos) for videos in cut], parts)
    for name in ("clips", "labels", "indices", "targets"):
        assert torch.equal(getattr(found, name), getattr(whole, name)), name


def test_what_is_asked_for_is_never_forgotten_on_the_way() -> None:
    content = bytes(number % 251 for number in range(2000))
    windows = Windows(lambda _, start, end: content[start:end], 600, 240, 1 << 20)
    shard = Shard("a.tar", len(content))
    for start, end in ((0, 10), (10, 20), (300, 900), (1000, 1500)):
        assert windows.read(shard, start, end) == content[start:end]
