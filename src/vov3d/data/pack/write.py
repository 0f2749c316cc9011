"""Writing shards."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from vov3d.data.frame_folder import images_in
from vov3d.data.opening import open_files, read_packed
from vov3d.data.pack.format import ShardRow
from vov3d.data.sources.index import KEY_DIGITS, VideoItem
from vov3d.errors import DecodeError


@dataclass(frozen=True)
class Place:
    """Where a video was written: the position of its shard, and what `PackedAt` says."""

    shard: int
    offset: int
    num_bytes: int
    crc32: int


def content_of(item: VideoItem, frame_fps: float | None) -> dict[str, bytes]:
    """The files of a video by the ends of their names in a shard: `mp4`, or `000000.jpg`, `000001.jpg`, ...

    Raises:
        DecodeError: they cannot be read, or do not open as a video.
    """
    try:
        files = _files_of(item)
    except OSError as error:
        raise DecodeError(item.path, error.strerror or str(error)) from error
    open_files(item.place, files, frame_fps).close()
    return files


def _files_of(item: VideoItem) -> dict[str, bytes]:
    if item.packed is not None:
        return read_packed(item)
    if item.path.is_dir():
        names = images_in(item.path) if item.frame_names is None else item.frame_names
        return {
            f"{number:06}{Path(name).suffix.lower()}": (item.path / name).read_bytes()
            for number, name in enumerate(names)
        }
    if not item.path.is_file():  # a named pipe would be waited for
        raise DecodeError(item.path, "no such file" if not item.path.exists() else "not a regular file")
    return {item.path.suffix.lower().removeprefix("."): item.path.read_bytes()}


class _ShardFile:
    """The file below a tar writer, which still writes when it is thrown away, after an error such as a full disk."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO | None = path.open("wb")

    def write(self, content: bytes) -> int:
        return len(content) if self._file is None else self._file.write(content)

    def finish(self) -> None:
        """Wait until the content is on the disk, and close the file."""
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def abandon(self) -> None:
        """Close the file; what is still written goes nowhere."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):  # of what was not flushed
                file.close()


class SplitWriter:
    """Writes the shards of one split with webdataset's `ShardWriter`; a context manager.

    Every shard is on the disk, and not only on its way there, before the next one is begun.

    Args:
        folder: where the shards go.
        split: their names begin with it.
        shard_bytes: a shard that holds so much is full.
        first_shard: position of the first of them among the shards of all splits.
    """

    def __init__(self, folder: Path, split: str, shard_bytes: int, first_shard: int) -> None:
        from webdataset.writer import ShardWriter

        self.rows: list[ShardRow] = []
        self.places: dict[int, Place] = {}
        self._folder, self._first_shard = folder, first_shard
        self._ranges: dict[int, tuple[int, int]] = {}  # of the shard that is being written
        self._file: _ShardFile | None = None
        self._writer = ShardWriter(
            f"{split}-%06d.tar",
            maxcount=1 << 62,
            maxsize=shard_bytes,
            post=self._finish,
            verbose=0,
            opener=self._open,
            encoder=False,
            mtime=0,
            user="",
            group="",
            mode=0o644,
        )

    def __enter__(self) -> SplitWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._writer.close()
        elif self._file is not None:
            self._file.abandon()

    def add(self, key: int, files: Mapping[str, bytes], about: Mapping[str, object]) -> None:
        """Write one video.

        Args:
            key: what its members are called.
            files: its content by the end of the name.
            about: written beside it as JSON.
        """
        if self._writer.size >= self._writer.maxsize:
            self._writer.next_stream()
        tar = self._writer.tarstream.tarstream
        begin = tar.offset
        self._writer.write({"__key__": f"{key:0{KEY_DIGITS}}", "json": json.dumps(about).encode(), **files})
        self._ranges[key] = (begin, tar.offset)

    def _open(self, name: str) -> _ShardFile:
        self._file = _ShardFile(self._folder / name)
        return self._file

    def _finish(self, name: str) -> None:
        """Close a shard, and read it for its checksums."""
        file, self._file = self._file, None
        if file is None:
            raise ValueError(f"{name} is not open")
        file.finish()
        shard, path = self._first_shard + len(self.rows), self._folder / name
        content = hashlib.sha256()
        with path.open("rb") as written:
            for key, (begin, end) in self._ranges.items():
                members = written.read(end - begin)
                content.update(members)
                self.places[key] = Place(shard, begin, end - begin, zlib.crc32(members))
            content.update(written.read())  # the mark of the end
            num_bytes = written.tell()
        self.rows.append(ShardRow(name, num_bytes, len(self._ranges), content.hexdigest()))
        self._ranges = {}
