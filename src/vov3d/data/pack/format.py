"""`pack.json`: what a packed set says of itself.

One text holds the facts of the index, a row for each shard, and for each split its columns, one entry for each video in
the order of the split: a set of 240,000 videos is read in a second or two. A digest of all that stands at the end.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import SkipValidation, TypeAdapter, ValidationError

from vov3d.data.pack.recognise import FORMAT, PACK_FILE
from vov3d.data.pack.storage import read_file, url_of
from vov3d.data.sources.index import PackedAt, Shard, VideoIndex, VideoItem
from vov3d.errors import DataError

_VERSION = 2

Text = Annotated[str, SkipValidation]  # file names need not be Unicode, and pydantic wants that


@dataclass(frozen=True)
class ShardRow:
    """A shard: its file, its size, and what its content can be checked against."""

    file: str
    num_bytes: int
    num_samples: int
    sha256: str


@dataclass(frozen=True)
class LeftOut:
    """A video that could not be opened, and is not in the pack."""

    split: str
    name: Text
    reason: Text


@dataclass(frozen=True)
class Columns:
    """The videos of a split, in its order.

    Args:
        names: of the videos, relative to the data set that was packed.
        labels: class ids, -1 for none.
        also: further class ids by the position of the video.
        keys: of the members in the shards, as numbers.
        shards: positions in the table of shards.
        offsets: of the first header in the shard, in bytes.
        num_bytes: of all members and their headers.
        crc32: of these bytes.
    """

    names: list[Text]
    labels: list[int]
    also: dict[str, list[int]]
    keys: list[int]
    shards: list[int]
    offsets: list[int]
    num_bytes: list[int]
    crc32: list[int]


@dataclass(frozen=True)
class Pack:
    """The whole of `pack.json`; what is not explained here is as in `VideoIndex`.

    Args:
        format: of this file.
        version: of the format.
        vov3d: version of the package that wrote it.
        left_out: videos that could not be opened.
        shards: every tar file.
        splits: every video.
    """

    format: str
    version: int
    vov3d: str
    kind: str
    labels: list[Text]
    multi_label: bool
    flip: str
    frame_fps: float | None
    notes: list[Text]
    left_out: list[LeftOut]
    shards: list[ShardRow]
    splits: dict[str, Columns]


def pack_text(
    index: VideoIndex, shards: Sequence[ShardRow], splits: Mapping[str, Columns], left_out: Sequence[LeftOut]
) -> str:
    """The text of `pack.json`.

    Args:
        index: the data set that was packed.
        shards: what was written.
        splits: where each video lies.
        left_out: the videos that do not.
    """
    from vov3d.version import __version__

    pack = Pack(
        format=FORMAT,
        version=_VERSION,
        vov3d=__version__,
        kind=index.kind.removeprefix("packed "),
        labels=list(index.labels),
        multi_label=index.multi_label,
        flip=index.flip,
        frame_fps=index.frame_fps,
        notes=list(index.notes),
        left_out=list(left_out),
        shards=list(shards),
        splits=dict(splits),
    )
    return signed(asdict(pack))


def signed(values: Mapping[str, object]) -> str:
    """The values as the text of `pack.json`, with their digest."""
    return json.dumps({**values, "digest": _digest(values)}) + "\n"


def _digest(values: Mapping[str, object]) -> str:
    return blake2b(json.dumps(values).encode(), digest_size=16).hexdigest()


def read_pack(place: str | Path) -> VideoIndex:
    """Read the index of a packed set; no shard is opened.

    Args:
        place: its folder or URL.

    Raises:
        DataError: it cannot be read, or is damaged.
    """
    base = (url_of(place) or str(place)).rstrip("/").removesuffix(f"/{PACK_FILE}")
    try:
        content = read_file(f"{base}/{PACK_FILE}")
    except OSError as error:
        raise DataError(f"no packed set at {base!r}: {error.strerror or error}") from error
    pack = _parsed(content, f"{base}/{PACK_FILE}")
    shards = [Shard(f"{base}/{row.file}", row.num_bytes) for row in pack.shards]
    splits = {split: _items(columns, shards) for split, columns in pack.splits.items()}
    return VideoIndex(
        root=Path(base),
        kind=f"packed {pack.kind}",
        labels=tuple(pack.labels),
        splits=splits,
        notes=(*pack.notes, *_pack_notes(pack)),
        flip=pack.flip,
        frame_fps=pack.frame_fps,
        multi_label=pack.multi_label,
    )


def _parsed(content: bytes, where: str) -> Pack:
    try:
        values = json.loads(content)
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise DataError(f"{where} does not describe a packed set")
        if values.get("version") != _VERSION:
            raise DataError(
                f"{where} has version {values.get('version')} of the format, and this vov3d reads {_VERSION}; "
                "update vov3d, or pack the videos anew"
            )
        if values.pop("digest", None) != _digest(values):
            raise ValueError("its content is not what was written")
        pack = TypeAdapter(Pack).validate_python(values, strict=False)
        _check(pack)
    except (ValidationError, ValueError, OverflowError, RecursionError) as error:
        raise DataError(f"{where} is damaged: {' '.join(str(error).split())[:200]}") from error
    return pack


def _check(pack: Pack) -> None:
    """Raise `ValueError` where entries do not fit together."""
    for row in pack.shards:
        if Path(row.file).name != row.file or row.num_bytes < 0:
            raise ValueError(f"shard {row.file!r}")
    sizes = np.array([row.num_bytes for row in pack.shards], np.int64)
    for split, columns in pack.splits.items():
        number = len(columns.names)
        lists = (columns.labels, columns.keys, columns.shards, columns.offsets, columns.num_bytes, columns.crc32)
        if any(len(one) != number for one in lists):
            raise ValueError(f"columns of {split} differ in length")
        if not all(position.isdecimal() for position in columns.also):
            raise ValueError(f"'also' of {split} has a position that is no number")
        if not all(isinstance(name, str) for name in columns.names):
            raise ValueError(f"a name of {split} is no text")
        labels = np.array(columns.labels + [label for ids in columns.also.values() for label in ids], np.int64)
        shards, offsets = np.array(columns.shards, np.int64), np.array(columns.offsets, np.int64)
        ends = offsets + np.array(columns.num_bytes, np.int64)
        if ((labels < -1) | (labels >= len(pack.labels))).any():
            raise ValueError(f"a label of {split} is no class")
        if ((shards < 0) | (shards >= len(sizes))).any():
            raise ValueError(f"a video of {split} is in no shard")
        if ((offsets < 0) | (ends <= offsets) | (ends > sizes[shards])).any():
            raise ValueError(f"a video of {split} is outside its shard")


def _items(columns: Columns, shards: Sequence[Shard]) -> tuple[VideoItem, ...]:
    also = {int(position): tuple(ids) for position, ids in columns.also.items()}
    paths = [Path(shard.url) for shard in shards]
    entries = zip(
        columns.names,
        columns.labels,
        columns.keys,
        columns.shards,
        columns.offsets,
        columns.num_bytes,
        columns.crc32,
        strict=True,
    )
    return tuple(
        VideoItem(
            path=paths[shard],
            label=label,
            name=name,
            also=also.get(position, ()),
            packed=PackedAt(shards[shard], key, offset, num_bytes, crc32),
        )
        for position, (name, label, key, shard, offset, num_bytes, crc32) in enumerate(entries)
    )


def _pack_notes(pack: Pack) -> list[str]:
    num_bytes = sum(row.num_bytes for row in pack.shards)
    notes = [f"packed into {len(pack.shards)} shards of together {num_bytes / 2**20:.1f} MiB"]
    if pack.left_out:
        first = pack.left_out[0]
        notes.append(
            f"videos that could not be opened when this was packed, and are left out: {len(pack.left_out)}, "
            f"the first {first.name!r}: {first.reason}"
        )
    return notes
