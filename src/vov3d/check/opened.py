"""Opening the videos of a data set, and finding those with the same content."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from vov3d.data.opening import open_files, open_item, read_packed
from vov3d.data.sources import VideoItem
from vov3d.data.video import VideoInfo
from vov3d.errors import DecodeError


@dataclass(frozen=True)
class Opened:
    """A video after an attempt to open it: either `info` or `reason` is there."""

    split: str
    item: VideoItem
    num_bytes: int
    info: VideoInfo | None
    reason: str


def try_to_open(split: str, item: VideoItem, frame_fps: float | None) -> Opened:
    """Open a video and decode its first, middle and last frame.

    Args:
        split: that the video is in.
        item: the video.
        frame_fps: frames per second, should it be a folder of frames.
    """
    try:
        if item.packed is None:
            num_bytes, decoder = sum(file.stat().st_size for file in _files(item)), open_item(item, frame_fps)
        else:
            content = read_packed(item)
            num_bytes, decoder = sum(map(len, content.values())), open_files(item.place, content, frame_fps)
        with decoder as video:
            last = video.info.num_frames - 1
            video.frames(sorted({0, last // 2, last}))
            return Opened(split, item, num_bytes, video.info, "")
    except DecodeError as error:
        return Opened(split, item, 0, None, error.reason)
    except OSError as error:
        return Opened(split, item, 0, None, error.strerror or str(error))


def _files(item: VideoItem) -> list[Path]:
    if not item.path.is_dir():
        return [item.path]
    from vov3d.data.frame_folder import images_in

    names = images_in(item.path) if item.frame_names is None else item.frame_names
    return [item.path / name for name in names]


def same_content(opened: Iterable[Opened], pool: ThreadPoolExecutor) -> list[list[Opened]]:
    """Groups of videos with equal bytes; only videos of equal size are read."""
    by_size: defaultdict[int, list[Opened]] = defaultdict(list)
    for one in opened:
        if one.info:
            by_size[one.num_bytes].append(one)
    candidates = [one for group in by_size.values() if len(group) > 1 for one in group]
    by_content: defaultdict[bytes, list[Opened]] = defaultdict(list)
    for one, digest in zip(candidates, pool.map(lambda one: _digest(one.item), candidates), strict=True):
        by_content[digest].append(one)
    return [group for group in by_content.values() if len(group) > 1]


def _digest(item: VideoItem) -> bytes:
    digest = blake2b(digest_size=16)
    for block in _blocks(item):
        digest.update(block)
    return digest.digest()


def _blocks(item: VideoItem) -> Iterator[bytes]:
    """The content of a video, piece by piece."""
    if item.packed is not None:
        yield from read_packed(item).values()
        return
    for path in _files(item):
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                yield block
