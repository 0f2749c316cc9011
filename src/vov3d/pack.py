"""``vov3d pack --data PATH OUT``: the videos of a data set, one after another in a few large files."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vov3d.errors import ArgumentError, DataError, DecodeError
from vov3d.files import write_text
from vov3d.locks import whole_folder

if TYPE_CHECKING:
    from vov3d.data.pack.format import Columns, LeftOut, ShardRow
    from vov3d.data.pack.write import Place
    from vov3d.data.sources import VideoIndex, VideoItem

log = logging.getLogger("vov3d")

DEFAULT_SHARD_MIB = 256


@dataclass(frozen=True)
class LeftOutVideo:
    """A video that is not in the packed set, and why."""

    split: str
    name: str
    reason: str


@dataclass(frozen=True)
class PackResult:
    """A packed set.

    Attributes:
        out: its folder.
        num_videos: packed videos of each split.
        num_shards: tar files.
        num_bytes: of all of them.
        left_out: videos that could not be opened.
    """

    out: Path
    num_videos: dict[str, int]
    num_shards: int
    num_bytes: int
    left_out: tuple[LeftOutVideo, ...]


def pack(
    data: str | Path,
    out: str | Path,
    *,
    shard_mib: float = DEFAULT_SHARD_MIB,
    seed: int = 0,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> PackResult:
    """Copy the videos of a data set, byte for byte, into shards that are read from begin to end.

    The training videos are put into a random order once, so that classes mix in every shard; the index keeps the order
    of the data set. Videos that do not open are left out, and are named in the result and in the pack.

    Args:
        data: anything that ``vov3d check --data`` reads.
        out: the folder to make.
        shard_mib: a shard that holds so many MiB is full.
        seed: of the order in the shards.
        workers: threads that read and open videos; by default one per core.
        on_progress: called with (videos done, all videos).

    Raises:
        ArgumentError: if `shard_mib` is not positive, or ``out`` exists.
        DataError: if the data cannot be read, none of the training videos opens, or webdataset is not installed.
        InUseError: if another process packs into ``out``.
        OSError: if the shards cannot be written; nothing is left behind.
    """
    from vov3d.data.pack.format import pack_text
    from vov3d.data.pack.recognise import PACK_FILE
    from vov3d.data.sources import read_index

    if not shard_mib > 0:
        raise ArgumentError(f"shard_mib is {shard_mib}; it must be more than 0")
    if find_spec("webdataset") is None:
        raise DataError("vov3d pack needs the package webdataset, which is not installed; pip install 'vov3d[pack]'")
    out = Path(out)
    if os.path.lexists(out):
        raise ArgumentError(f"{str(out)!r} exists already; give a folder that does not, or remove it")
    index = read_index(data)
    with whole_folder(out) as folder:
        written = _write_splits(
            index,
            folder,
            shard_bytes=round(shard_mib * 2**20),
            seed=seed,
            workers=workers or os.cpu_count() or 1,
            on_progress=on_progress,
        )
        write_text(folder / PACK_FILE, pack_text(index, written.shards, written.splits, written.left_out))
    return PackResult(
        out=out,
        num_videos={split: len(columns.names) for split, columns in written.splits.items()},
        num_shards=len(written.shards),
        num_bytes=sum(row.num_bytes for row in written.shards),
        left_out=tuple(LeftOutVideo(one.split, one.name, one.reason) for one in written.left_out),
    )


@dataclass(frozen=True)
class _Written:
    shards: list[ShardRow]
    splits: dict[str, Columns]
    left_out: list[LeftOut]


def _write_splits(
    index: VideoIndex,
    folder: Path,
    *,
    shard_bytes: int,
    seed: int,
    workers: int,
    on_progress: Callable[[int, int], None] | None,
) -> _Written:
    """Write the shards of every split."""
    from vov3d.data.pack.format import LeftOut
    from vov3d.data.pack.write import SplitWriter

    written = _Written([], {}, [])
    total, first_key = sum(map(len, index.splits.values())), 0
    for number, (split, items) in enumerate(index.splits.items()):
        order = np.arange(len(items))
        if split == "train":
            order = np.random.default_rng((seed, number)).permutation(len(items))
        reasons: dict[int, str] = {}
        with SplitWriter(folder, split, shard_bytes, len(written.shards)) as writer:
            for done, (position, files) in enumerate(_contents(index, items, order.tolist(), workers), start=1):
                if isinstance(files, DecodeError):
                    log.warning("left out: %r: %s", items[position].name, files.reason)
                    reasons[position] = files.reason
                else:
                    writer.add(first_key + position, files, _about(index, split, items[position]))
                if on_progress is not None:
                    on_progress(first_key + done, total)
        if not writer.places and split == "train":
            first = next(iter(reasons.values()), "there are none")
            raise DataError(f"none of the {len(items)} training videos opens; the first: {first}")
        written.shards.extend(writer.rows)
        written.splits[split] = _columns(items, writer.places, first_key)
        written.left_out.extend(LeftOut(split, items[position].name, reasons[position]) for position in sorted(reasons))
        first_key += len(items)
    return written


def _contents(
    index: VideoIndex, items: Sequence[VideoItem], order: Sequence[int], workers: int
) -> Iterator[tuple[int, dict[str, bytes] | DecodeError]]:
    """Read the videos in this order, a few of them ahead."""
    from vov3d.data.pack.write import content_of

    def read(position: int) -> dict[str, bytes] | DecodeError:
        try:
            return content_of(items[position], index.frame_fps)
        except DecodeError as error:
            return error

    ahead: deque[tuple[int, Future[dict[str, bytes] | DecodeError]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for position in order:
            ahead.append((position, pool.submit(read, position)))
            if len(ahead) > 2 * workers:
                first, content = ahead.popleft()
                yield first, content.result()
        for first, content in ahead:
            yield first, content.result()


def _about(index: VideoIndex, split: str, item: VideoItem) -> dict[str, object]:
    """What a shard says of a video, for readers that know nothing of `pack.json`."""
    about: dict[str, object] = {
        "name": item.name,
        "split": split,
        "labels": [index.labels[number] for number in item.classes],
        "label_ids": list(item.classes),
    }
    if index.frame_fps is not None:
        about["frame_fps"] = index.frame_fps
    return about


def _columns(items: Sequence[VideoItem], places: dict[int, Place], first_key: int) -> Columns:
    """The table of a split, in the order of the split."""
    from vov3d.data.pack.format import Columns

    keys = sorted(places)
    kept = [items[key - first_key] for key in keys]
    return Columns(
        names=[item.name for item in kept],
        labels=[item.label for item in kept],
        also={str(position): list(item.also) for position, item in enumerate(kept) if item.also},
        keys=keys,
        shards=[places[key].shard for key in keys],
        offsets=[places[key].offset for key in keys],
        num_bytes=[places[key].num_bytes for key in keys],
        crc32=[places[key].crc32 for key in keys],
    )
