"""What every source of videos is read into: an index of files, labels and splits, with nothing decoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

KEY_DIGITS = 6


@dataclass(frozen=True)
class Shard:
    """One tar file of a packed set: where it lies (a path or a URL), and its size."""

    url: str
    num_bytes: int


class PackedAt(NamedTuple):
    """Where a packed video lies (a tuple, since 240,000 of them are made in a third of the time).

    Args:
        shard: the tar file.
        key: number that the names of its members begin with.
        offset: of the first header of its members, in bytes.
        num_bytes: of all its members with their headers, which lie together.
        crc32: of these bytes.
    """

    shard: Shard
    key: int
    offset: int
    num_bytes: int
    crc32: int


@dataclass(frozen=True)
class VideoItem:
    """One video of a data set: where it lies and which class it shows.

    Args:
        path: video file, or folder of frames.
        label: index into `VideoIndex.labels`; -1 where the split has no labels, and, in a data set of several labels a
            video, where the video shows none of the classes.
        name: short id for tables, the path relative to the root.
        frame_names: for frame lists, the files inside `path`, in the order in which they are shown.
        also: further classes that the video shows, in a data set of several labels a video.
        packed: where its bytes lie in a packed set; `path` is then that of the shard.
    """

    path: Path
    label: int
    name: str
    frame_names: tuple[str, ...] | None = None
    also: tuple[int, ...] = ()
    packed: PackedAt | None = None

    @property
    def place(self) -> Path:
        """What messages call it: its path, or the shard with the key and the name of the video."""
        if self.packed is None:
            return self.path
        return Path(f"{self.path.name}/{self.packed.key:0{KEY_DIGITS}} ({self.name})")

    @property
    def classes(self) -> tuple[int, ...]:
        """Every class that the video shows; none where it has no label."""
        return () if self.label < 0 else (self.label, *self.also)


@dataclass(frozen=True)
class VideoIndex:
    """A whole data set: its labels, and the videos of each split.

    Args:
        root: folder that the names of the items are relative to.
        kind: layout that was found: "class folders", "csv list", "json list", "something-something v1",
            "something-something v2" or "kinetics list"; with "packed " before it where that was packed.
        labels: class names; the position of a name is its class id.
        splits: videos of "train" and "val", and of "test" where there is one; only some of them where the data was not
            read for training.
        notes: sentences for the user: what was found, how the split was made, which labels differ.
        flip: "none" where a mirror image shows another class by the nature of the data set, else "labels".
        frame_fps: frames per second of the frame folders; None for video files.
        multi_label: whether a video may show several classes, or none; otherwise it shows exactly one.
    """

    root: Path
    kind: str
    labels: tuple[str, ...]
    splits: Mapping[str, tuple[VideoItem, ...]]
    notes: tuple[str, ...]
    flip: str
    frame_fps: float | None
    multi_label: bool = False

    def would_find(self, folder: Path) -> bool:
        """Whether videos in a folder would be met where the data set is searched for its own; lists name theirs."""
        if not self.kind.startswith(("class folders", "something-something")):
            return False
        root, place = self.root.resolve(), folder.resolve()
        return place.is_relative_to(root) and not any(part.startswith(".") for part in place.relative_to(root).parts)
