"""A copy answers as its video does, is made once, and is never in the way."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.data.video_files import Recording, number_of
from vov3d.data import cache as cache_module
from vov3d.data.cache import VideoCache
from vov3d.data.dataset import ClipDataset, ViewDataset
from vov3d.data.items import Broken, Clip
from vov3d.data.sources import VideoIndex, VideoItem
from vov3d.data.video import open_video
from vov3d.data.views import Views
from vov3d.errors import ArgumentError, DecodeError

UNEVEN = np.cumsum(np.random.default_rng(7).integers(10, 90, 60)).tolist()


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    Recording("plain.mp4", b_frames=3).write(folder)
    Recording("uneven.mkv", pts=UNEVEN, b_frames=2).write(folder)
    Recording("turned.mp4", rotation=-90).write(folder)
    Recording("odd_size.mkv", "ffv1", pixel_format="bgr0", size=(65, 71)).write(folder)
    (folder / "frames").mkdir()
    for number in range(12):
        Image.fromarray(np.full((40, 50, 3), 20 * number, np.uint8)).save(folder / "frames" / f"{number}.jpg")
    return folder


def item_of(path: Path, frame_names: tuple[str, ...] | None = None) -> VideoItem:
    return VideoItem(path, 0, path.name, frame_names)


def index_of(*paths: Path) -> VideoIndex:
    items = tuple(item_of(path) for path in paths)
    return VideoIndex(paths[0].parent, "class folders", ("a", "b"), {"train": items}, (), "none", 12.0)


def copies(cache: VideoCache) -> list[Path]:
    return sorted(cache.folder.rglob("*.mp4"))


@pytest.mark.parametrize("name", ["plain.mp4", "uneven.mkv", "turned.mp4", "odd_size.mkv", "frames"])
def test_a_copy_says_and_shows_what_its_video_does(name: str, videos: Path, tmp_path: Path) -> None:
    cache, item = VideoCache(tmp_path, 64), item_of(videos / name)
    with open_video(item.path, fps=12.0) as video:
        info, size = video.info, (48, 56)
        wanted = [info.num_frames - 1, 0, 5, 5]
        frames = video.frames(wanted, size).float()
    for _ in range(2):
        with cache.open(item, 12.0) as copy:
            assert copy.info == info
            assert copy.frames([3]).shape == (1, 3, info.height, info.width)
            shown = copy.frames(wanted, size)
            assert shown.shape == frames.shape
            assert (shown.float() - frames).abs().mean() < 8
            with pytest.raises(ValueError, match="has frames 0 to"):
                copy.frames([info.num_frames])
    assert len(copies(cache)) == 1 and (tmp_path / "README.txt").exists()


def test_every_frame_of_a_copy_carries_its_number(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "CHUNK_BYTES", 7 * 64 * 80 * 3)  # written in parts of seven frames
    with VideoCache(tmp_path, 64).open(item_of(videos / "plain.mp4")) as copy:
        for number in (0, 7, 8, 9, 31, 59):
            assert number_of(copy.frames([number])[0].permute(1, 2, 0).numpy()) == number


def test_a_copy_is_small_and_has_keyframes(videos: Path, tmp_path: Path) -> None:
    import av

    cache = VideoCache(tmp_path, 32, gop_frames=8)
    cache.open(item_of(videos / "plain.mp4")).close()
    with av.open(str(copies(cache)[0])) as container:
        stream = container.streams.video[0]
        keyframes = [number for number, packet in enumerate(container.demux(stream)) if packet.is_keyframe]
        assert (stream.height, stream.width, stream.frames) == (32, 40, 60)
    assert keyframes[:8] == list(range(0, 60, 8))


def test_a_copy_is_made_once(videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, item = VideoCache(tmp_path, 64), item_of(videos / "plain.mp4")
    cache.open(item).close()
    monkeypatch.setattr(cache_module, "open_item", None)  # the video itself is not opened again
    cache.open(item).close()


def test_settings_and_changes_ask_for_another_copy(videos: Path, tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    path.write_bytes((videos / "plain.mp4").read_bytes())
    item, folder = item_of(path), tmp_path / "cache"
    paths = {
        VideoCache(folder, *settings).path_of(item, fps)
        for settings, fps in [((64,), None), ((32,), None), ((64, 4), None), ((64, 8, 30), None), ((64,), 12.0)]
    }
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    paths.add(VideoCache(folder, 64).path_of(item))
    assert len(paths) == 6
    frames = videos / "frames"
    some = {VideoCache(folder, 64).path_of(item_of(frames, names)) for names in (None, ("1.jpg",), ("2.jpg",))}
    assert len(some) == 3


@pytest.mark.parametrize("damage", ["cut short", "one byte", "emptied", "other file"])
def test_a_damaged_copy_is_made_again(damage: str, videos: Path, tmp_path: Path) -> None:
    cache, item = VideoCache(tmp_path, 64), item_of(videos / "plain.mp4")
    cache.open(item).close()
    (path,) = copies(cache)
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(
        {
            "cut short": whole[:middle],
            "one byte": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
            "emptied": b"",
            "other file": b"not a video at all",
        }[damage]
    )
    with cache.open(item) as copy:
        assert copy.frames([59]).shape == (1, 3, 64, 80)
    assert path.read_bytes() == whole


def test_a_video_that_does_not_decode_is_told_as_without_a_cache(videos: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_text("not a video")
    for path in (broken, tmp_path / "absent.mp4"):
        with pytest.raises(DecodeError) as without:
            open_video(path)
        with pytest.raises(DecodeError) as through:
            VideoCache(tmp_path / "cache", 64).open(item_of(path))
        assert str(through.value) == str(without.value)
    assert not (tmp_path / "cache").exists()


def test_a_video_of_which_some_frames_decode_is_read_as_it_is(videos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for path in (videos / "frames").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "7.jpg").write_bytes((folder / "7.jpg").read_bytes()[:200])
    cache = VideoCache(tmp_path / "cache", 64)
    for _ in range(2):
        with cache.open(item_of(folder)) as video:
            assert video.frames([6]).shape == (1, 3, 40, 50)
            with pytest.raises(DecodeError, match=r"7\.jpg"):
                video.frames([7])
    assert not copies(cache) and len(list(cache.folder.rglob("*.damaged"))) == 1


def test_a_full_disk_is_said_once(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(path: Path, _content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(cache_module, "write_bytes", full)
    cache = VideoCache(tmp_path, 64)
    with caplog.at_level(logging.WARNING, "vov3d"):
        for name in ("plain.mp4", "turned.mp4", "plain.mp4"):
            with cache.open(item_of(videos / name)) as video:
                assert len(video.frames([59])) == 1
    assert len(caplog.records) == 1 and "No space left on device" in caplog.text and str(tmp_path) in caplog.text


def test_data_sets_draw_the_same_clips_from_copies(videos: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_text("not a video")
    index = index_of(videos / "plain.mp4", videos / "uneven.mkv", broken)
    cache = VideoCache(tmp_path / "cache", 48)
    settings = {"num_frames": 4, "short_side": (32, 48), "crop": 32}
    plain, cached = ClipDataset(index, "train", **settings), ClipDataset(index, "train", cache=cache, **settings)
    for number in range(2):
        one, other = plain[0, number], cached[0, number]
        assert isinstance(one, Clip) and isinstance(other, Clip)
        assert (one.clip - other.clip).abs().mean() < 0.2 < one.clip.std()
    assert isinstance(cached[0, 2], Broken)
    views = ViewDataset(index, "train", num_frames=4, num_clips=2, crop=32, cache=cache)[1]
    assert isinstance(views, Views) and views.views.shape == (2, 3, 4, 32, 32)
    assert len(copies(cache)) == 2


def test_odd_rates_and_tiny_pictures(tmp_path: Path) -> None:
    for number, (fps, size) in enumerate([(0.3, (2, 3)), (999.7, (17, 1)), (29.97, (300, 4))]):
        pictures = [np.full((8, *size, 3), 90, np.uint8)]
        even = (size[0] + size[0] % 2, size[1] + size[1] % 2)
        pictures = [np.resize(pictures[0], (8, *even, 3))]
        movie = cache_module.encode(iter(pictures), even, fps, 8, 20)
        path = tmp_path / f"{number}.mp4"
        path.write_bytes(movie)
        with open_video(path) as video:
            assert (video.info.num_frames, video.info.height, video.info.width) == (8, *even)
            assert torch.equal(video.frames([0])[0, 0, 0, :1] // 4, torch.tensor([90 // 4], dtype=torch.uint8))


@pytest.mark.parametrize("settings", [(1,), (64, 0), (64, 8, 52)])
def test_wrong_settings(settings: tuple[int, ...], tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="needed: short_side of at least 2"):
        VideoCache(tmp_path, *settings)
