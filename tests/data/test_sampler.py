"""Each item once, in an order that only (seed, epoch) decide, from any step on."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from vov3d.data.pack.sampler import PackSampler
from vov3d.data.sampler import SeekableSampler, eval_shard


def epoch_of(sampler: SeekableSampler, epoch: int, step: int = 0) -> list[list[tuple[int, int]]]:
    sampler.seek(epoch, step)
    batches = list(sampler)
    assert len(batches) == len(sampler)
    return batches


@pytest.mark.parametrize("world_size", [1, 2, 4])
@pytest.mark.parametrize("num_items", [8, 16, 37])
def test_ranks_share_each_global_batch(num_items: int, world_size: int) -> None:
    ranks = [
        SeekableSampler(num_items, 8, seed=3, rank=rank, world_size=world_size, drop_last=False)
        for rank in range(world_size)
    ]
    shares = [epoch_of(sampler, 5) for sampler in ranks]
    whole = epoch_of(SeekableSampler(num_items, 8, seed=3, drop_last=False), 5)
    assert {len(batches) for batches in shares} == {len(whole)} == {-(-num_items // 8)}
    for step, batch in enumerate(whole):
        assert sorted(key for batches in shares for key in batches[step]) == sorted(batch)
    assert sorted(key for batch in whole for key in batch) == [(5, index) for index in range(num_items)]


def test_the_last_batch_is_dropped_where_it_is_not_full() -> None:
    sampler = SeekableSampler(37, 8, seed=3)
    batches = epoch_of(sampler, 0)
    assert [len(batch) for batch in batches] == [8] * 4 == [8] * sampler.steps_per_epoch
    kept = epoch_of(SeekableSampler(37, 8, seed=3, drop_last=False), 0)
    assert kept[:4] == batches and len(kept[4]) == 5


def test_any_step_can_be_the_first() -> None:
    sampler = SeekableSampler(37, 8, seed=3)
    whole = epoch_of(sampler, 2)
    for step in range(5):
        assert epoch_of(sampler, 2, step) == whole[step:]


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    sampler = SeekableSampler(100, 100, seed=3)
    orders = [[index for _, index in epoch_of(sampler, epoch)[0]] for epoch in (0, 1, 0)]
    assert orders[0] == orders[2] != orders[1]
    assert orders[0] != sorted(orders[0])
    assert epoch_of(SeekableSampler(100, 100, seed=4), 0) != epoch_of(sampler, 0)


def test_shards_of_a_test_are_not_padded() -> None:
    shards = [eval_shard(10, rank, 4) for rank in range(4)]
    assert [len(shard) for shard in shards] == [3, 3, 2, 2]
    assert sorted(index for shard in shards for index in shard) == list(range(10))


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="smaller batch_size"):
        SeekableSampler(7, 8)
    with pytest.raises(ValueError, match="multiple of world_size=3"):
        SeekableSampler(70, 8, world_size=3)
    with pytest.raises(ValueError, match="allowed are 0 to 1"):
        SeekableSampler(70, 8, rank=2, world_size=2)
    with pytest.raises(ValueError, match="steps 0 to 4"):
        SeekableSampler(37, 8).seek(0, 5)


def simulation() -> ModuleType:
    """The benchmark that runs the samplers of hundreds of ranks."""
    file = Path(__file__).parents[2] / "benchmarks" / "sampler_simulation.py"
    spec = importlib.util.spec_from_file_location("sampler_simulation", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("kind", ["videos", "packed"])
@pytest.mark.parametrize("legs", [[(512, 1.0)], [(64, 0.3), (512, 0.7), (8, 1.0)]])
def test_512_ranks_see_each_video_once_and_so_after_a_stop(kind: str, legs: list[tuple[int, float]]) -> None:
    """Of Something-Something v2, as many videos as a quarter of it."""
    module, num_videos = simulation(), 42_228
    sampler = SeekableSampler(num_videos, 512) if kind == "videos" else PackSampler(module.packed(num_videos, 250), 512)
    found = module.simulate(sampler, 3, legs)
    assert found.is_exact
    assert found.steps == 82
    found.times_seen[0] += 1
    assert not found.is_exact
