"""What comes out of shards, from disk and over HTTP, and how it is read."""

from __future__ import annotations

import io
import multiprocessing
import pickle
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from tests.data.range_server import serving
from vov3d.data.batches import build_sampler, joined
from vov3d.data.dataset import ClipDataset, ViewDataset
from vov3d.data.items import Batch, Broken, collate
from vov3d.data.opening import open_item, read_packed
from vov3d.data.pack import storage
from vov3d.data.pack.reader import ShardReader, training_reader
from vov3d.data.pack.windows import Windows
from vov3d.data.sources import VideoIndex, read_index
from vov3d.data.sources.index import PackedAt, Shard, VideoItem
from vov3d.errors import DataError, DecodeError
from vov3d.pack import pack


@pytest.fixture(scope="module")
def packed(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small data set in shards of some videos each."""
    out = tmp_path_factory.mktemp("packed") / "set"
    pack(videos, out, shard_mib=0.03)
    return out


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage.time, "sleep", lambda _: None)


def clips_of(index: VideoIndex) -> ClipDataset:
    return ClipDataset(index, "train", num_frames=4, short_side=(32, 36), crop=32, seed=3)


def read_epoch(
    index: VideoIndex, *, workers: int = 0, world_size: int = 1, first: int = 0, last: int | None = None
) -> list[Batch]:
    """Some steps of an epoch as all ranks together see them: for each rank its batches."""
    clips = clips_of(index)
    found = []
    for rank in range(world_size):
        sampler = build_sampler(clips.items, 4, seed=1, rank=rank, world_size=world_size, workers=workers)
        sampler.seek(2, first)
        loader: DataLoader[object] = DataLoader(
            clips, batch_sampler=sampler, collate_fn=collate, num_workers=workers, multiprocessing_context=None
        )
        batches = list(joined(loader, sampler.parts))
        assert len(batches) == 3 - first
        found += batches[: None if last is None else last - first]
    return found


def test_shards_are_several(packed: Path) -> None:
    assert len(list(packed.glob("train-*.tar"))) >= 3


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("over_http", [False, True])
def test_every_training_clip_is_that_of_the_unpacked_set(
    videos: Path, packed: Path, workers: int, over_http: bool
) -> None:
    plain = clips_of(read_index(videos))
    with serving(packed) as served:
        index = read_index(served.url if over_http else packed)
        batches = read_epoch(index, workers=workers)
    seen = []
    for batch in batches:
        assert not batch.broken and len(batch.labels) == 4
        for clip, label, number, target in zip(batch.clips, batch.labels, batch.indices, batch.targets, strict=True):
            there = plain[2, int(number)]
            assert not isinstance(there, Broken)
            assert torch.equal(clip, there.clip) and label == there.label and torch.equal(target, there.target)
            seen.append(int(number))
    assert sorted(seen) == list(range(12))


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_goes_on_with_other_ranks_and_workers(packed: Path, workers: int) -> None:
    index = read_index(packed)
    whole = read_epoch(index)
    parts = read_epoch(index, workers=2 - workers, last=1) + read_epoch(index, workers=workers, world_size=2, first=1)
    numbers = [int(number) for batch in parts for number in batch.indices]
    assert sorted(numbers) == sorted(int(number) for batch in whole for number in batch.indices) == list(range(12))
    assert torch.equal(parts[0].clips, whole[0].clips)


def test_every_video_of_every_split_has_the_frames_it_had(videos: Path, packed: Path) -> None:
    before, after = read_index(videos), read_index(packed)
    assert after.splits.keys() == before.splits.keys() == {"train", "val"}
    for split, items in before.splits.items():
        assert len(after.splits[split]) == len(items) > 0
        for plain, item in zip(items, after.splits[split], strict=True):
            assert (item.name, item.label, item.also) == (plain.name, plain.label, plain.also)
            with open_item(plain, None) as one, open_item(item, None) as other:
                assert replace(other.info, path=one.info.path) == one.info
                wanted = [3, 0, 11, 3]
                assert torch.equal(one.frames(wanted), other.frames(wanted))


def test_views_of_a_test_are_those_of_the_unpacked_set(videos: Path, packed: Path) -> None:
    sets = [
        ViewDataset(read_index(place), "val", num_frames=4, num_clips=2, num_crops=3, crop=32)
        for place in (videos, packed)
    ]
    for number in range(6):
        one, other = (views[number] for views in sets)
        assert not isinstance(one, Broken) and not isinstance(other, Broken)
        assert torch.equal(one.views, other.views) and one.label == other.label


def test_memory_and_file_urls_are_read(packed: Path) -> None:
    memory = fsspec.filesystem("memory")
    for file in packed.iterdir():
        memory.pipe_file(f"/set/{file.name}", file.read_bytes())
    assert not read_epoch(read_index("memory://set"))[0].broken
    assert len(read_index(packed.as_uri()).splits["train"]) == 12
    assert len(read_index(packed / "pack.json").splits["train"]) == 12
    memory.rm("/set", recursive=True)


def large_pack(folder: Path, number: int, num_shards: int) -> VideoIndex:
    """A packed set whose videos are noise, for counting what is read of it."""
    rng = np.random.default_rng(0)
    places = []
    for shard in range(num_shards):
        content, name = io.BytesIO(), f"train-{shard:06}.tar"
        for key in range(shard, number, num_shards):
            members = rng.bytes(512 * int(rng.integers(4, 12)))
            places.append((key, name, content.tell(), len(members), zlib.crc32(members)))
            content.write(members)
        (folder / name).write_bytes(content.getvalue())
    sizes = {name: (folder / name).stat().st_size for name in {name for _, name, *_ in places}}
    return VideoIndex(
        root=folder,
        kind="packed noise",
        labels=("a",),
        splits={
            "train": tuple(
                VideoItem(Path(name), 0, str(key), packed=PackedAt(Shard(name, sizes[name]), key, *place))
                for key, name, *place in sorted(places)
            )
        },
        notes=(),
        flip="none",
        frame_fps=None,
    )


def at(url: str, item: VideoItem) -> PackedAt:
    """The place of a video on a server."""
    assert item.packed is not None
    shard = item.packed.shard
    return item.packed._replace(shard=Shard(f"{url}/{shard.url}", shard.num_bytes))


@pytest.mark.parametrize("parts", [1, 4])
def test_an_epoch_over_http_reads_each_shard_once_in_few_requests(tmp_path: Path, parts: int) -> None:
    index = large_pack(tmp_path, 600, 5)
    total = sum(file.stat().st_size for file in tmp_path.glob("*.tar"))
    items = index.splits["train"]
    with serving(tmp_path) as served:
        sampler = build_sampler(items, 8, seed=1, workers=parts)
        readers = [ShardReader(total // 200, total // 20) for _ in range(parts)]
        for number, keys in enumerate(sampler):
            for _, index_of_item in keys:
                readers[number % parts].read(at(served.url, items[index_of_item]))
    assert total <= served.num_bytes <= 1.1 * total
    assert len(served.of_shards()) <= 600 / 4


def test_a_resumed_epoch_reads_only_the_rest(tmp_path: Path) -> None:
    items = large_pack(tmp_path, 600, 5).splits["train"]
    sampler = build_sampler(items, 4, seed=1)
    sampler.seek(0, 125)
    wanted = [items[number] for keys in sampler for _, number in keys]
    assert len(wanted) == 100
    reader = training_reader(items)
    with serving(tmp_path) as served:
        num_bytes = sum(len(reader.read(at(served.url, item))) for item in wanted)
    assert num_bytes <= served.num_bytes <= 1.25 * num_bytes  # a block that is half done is read whole


def test_a_test_reads_each_video_by_itself(packed: Path) -> None:
    with serving(packed) as served:
        index = read_index(served.url)
        views = ViewDataset(index, "val", num_frames=4, crop=32)
        served.asked.clear()
        for number in (4, 0, 2):
            views[number]
        items = [index.splits["val"][number] for number in (4, 0, 2)]
        places = [(item.path.name, item.packed) for item in items if item.packed is not None]
        assert served.of_shards() == [(name, at.offset, at.offset + at.num_bytes) for name, at in places]


def damage(file: Path, position: int) -> None:
    content = bytearray(file.read_bytes())
    content[position] ^= 1
    file.write_bytes(content)


def broken_ones(index: VideoIndex) -> dict[str, Broken]:
    clips = clips_of(index)
    results = [clips[0, number] for number in range(len(clips))]
    return {clips.items[one.index].name: one for one in results if isinstance(one, Broken)}


def test_one_changed_bit_breaks_one_video(packed: Path, tmp_path: Path) -> None:
    import shutil

    own = Path(shutil.copytree(packed, tmp_path / "own"))
    index = read_index(own)
    item = index.splits["train"][7]
    assert item.packed is not None
    damage(item.path, item.packed.offset + item.packed.num_bytes // 2)
    broken = broken_ones(index)
    assert list(broken) == [item.name]
    one = broken[item.name]
    assert one.path == str(item.place) and item.path.name in one.path and item.name in one.path
    assert "are not those that were packed" in one.reason and item.path.name in one.reason


def test_a_truncated_shard_breaks_what_it_lost(packed: Path, tmp_path: Path, no_waiting: None) -> None:
    import shutil

    own = Path(shutil.copytree(packed, tmp_path / "own"))
    index = read_index(own)
    shard = own / "train-000001.tar"
    inside = sorted(
        (item for item in index.splits["train"] if item.path == shard),
        key=lambda item: item.packed.offset if item.packed else 0,
    )
    assert len(inside) > 1 and inside[1].packed is not None
    with shard.open("r+b") as file:
        file.truncate(inside[1].packed.offset + 600)
    broken = broken_ones(index)
    assert set(broken) == {item.name for item in inside[1:]}
    assert all("cut short" in one.reason and "train-000001.tar" in one.reason for one in broken.values())
    with serving(own) as served:
        over_http = broken_ones(read_index(served.url))
    assert set(over_http) == set(broken)
    assert all("train-000001.tar" in one.reason for one in over_http.values())


@pytest.mark.parametrize("over_http", [False, True])
def test_a_missing_shard(packed: Path, tmp_path: Path, over_http: bool, no_waiting: None) -> None:
    import shutil

    own = Path(shutil.copytree(packed, tmp_path / "own"))
    (own / "train-000000.tar").unlink()
    with serving(own) as served:
        index = read_index(served.url if over_http else own)
        broken = broken_ones(index)
    lost = {item.name for item in index.splits["train"] if item.path.name == "train-000000.tar"}
    assert set(broken) == lost and lost
    for name, one in broken.items():
        assert "train-000000.tar" in one.path and "train-000000.tar" in one.reason and name in one.reason


def test_a_server_that_fails_is_asked_again_and_then_less(packed: Path, no_waiting: None) -> None:
    with serving(packed) as served:
        index = read_index(served.url)
        served.asked.clear()
        served.failing.add("train-000000.tar")
        broken = broken_ones(index)
        lost = [item for item in index.splits["train"] if item.path.name == "train-000000.tar"]
        assert len(broken) == len(lost) > 1
        assert len([one for one in served.asked if one[0] == "train-000000.tar"]) == 3 + len(lost) - 1
        assert all("503" in one.reason for one in broken.values())
        served.failing.clear()
        assert not broken_ones(index)


def test_a_server_that_is_gone(packed: Path, no_waiting: None) -> None:
    with serving(packed) as served:
        index = read_index(served.url)
    broken = broken_ones(index)
    assert len(broken) == 12
    with pytest.raises(DataError, match=r"^no packed set at 'http://127.0.0.1:.*cannot be read"):
        read_index(served.url)


def test_a_server_without_ranges_is_named(packed: Path, no_waiting: None) -> None:
    with serving(packed) as served:
        index = read_index(served.url)
        served.knows_ranges = False
        assert "knows no range requests" in next(iter(broken_ones(index).values())).reason


def test_places_that_nothing_can_read(no_waiting: None) -> None:
    with pytest.raises(DataError, match="gopher"):
        read_index("gopher://host/set")
    with pytest.raises(DataError, match=r"no packed set at 'memory://nowhere'.*does not exist"):
        read_index("memory://nowhere")
    with pytest.raises(DataError, match="no packed set at 'memory://nowhere'"):
        read_index(Path("memory://nowhere"))  # a Path keeps one of the two slashes


def test_a_reader_goes_to_another_process(packed: Path) -> None:
    items = read_index(packed).splits["train"]
    reader = ShardReader()
    first = read_packed(items[0], reader)
    assert read_packed(items[0], pickle.loads(pickle.dumps(reader))) == first
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(read_packed, (items[0], reader)) == first
    reader.close()
    assert read_packed(items[0], reader) == first


def fetching(asked: list[tuple[int, int]]) -> Callable[[Shard, int, int], bytes]:
    def fetch(shard: Shard, start: int, end: int) -> bytes:
        asked.append((start, end))
        return bytes(range(start, end))

    return fetch


def test_windows_read_on_and_over_gaps() -> None:
    asked: list[tuple[int, int]] = []
    windows = Windows(fetching(asked), ahead_bytes=10, reach_bytes=20, budget_bytes=1000)
    shard = Shard("x", 200)
    for start, end in ((50, 60), (60, 70), (70, 80), (95, 100), (82, 90), (150, 160), (40, 45), (52, 58)):
        assert windows.read(shard, start, end) == bytes(range(start, end))
    assert asked == [(50, 60), (60, 80), (80, 110), (150, 160), (40, 45), (45, 68)]
    assert windows.read(shard, 190, 200) == bytes(range(190, 200))
    assert asked[6:] == [(190, 200)]


@pytest.mark.parametrize(("budget_bytes", "again"), [(30, []), (29, [(10, 20)])])
def test_windows_keep_what_there_is_room_for(budget_bytes: int, again: list[tuple[int, int]]) -> None:
    asked: list[tuple[int, int]] = []
    windows = Windows(fetching(asked), ahead_bytes=10, reach_bytes=20, budget_bytes=budget_bytes)
    for start in (0, 20, 90, 10):  # what lies from 10 to 40 is kept, since 10 to 20 was not given out yet
        assert windows.read(Shard("x", 200), start, start + 10) == bytes(range(start, start + 10))
    assert asked == [(0, 10), (10, 40), (90, 100), *again]


def test_a_decode_error_of_a_packed_video_says_what_is_wrong(packed: Path) -> None:
    item = read_index(packed).splits["train"][0]
    assert item.packed is not None
    with pytest.raises(DecodeError, match=r"train-00000\d.tar/000000 \(train/dark/0.mp4\)"):
        open_item(replace(item, packed=item.packed._replace(crc32=0)), None)
    with pytest.raises(ValueError, match="is not packed"):
        read_packed(replace(item, packed=None))
