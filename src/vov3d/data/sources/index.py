"""What every source of videos is read into: an index of files, labels and splits, with nothing decoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class VideoItem:
    """One video of a data set: where it lies and which class it shows.

    Args:
        path: video file, or folder of frames.
        label: index into `VideoIndex.labels`; -1 only where the split has no labels.
        name: short id for tables, the path relative to the root.
        frame_names: for frame lists, the files inside `path`, in the order in which they are shown.
    """

    path: Path
    label: int
    name: str
    frame_names: tuple[str, ...] | None = None


@dataclass(frozen=True)
class VideoIndex:
    """A whole data set: its labels, and the videos of each split.

    Args:
        root: folder that the names of the items are relative to.
        kind: layout that was found: "class folders", "csv list", "json list", "something-something v1",
            "something-something v2" or "kinetics list".
        labels: class names; the position of a name is its class id.
        splits: videos of "train" and "val", and of "test" where there is one.
        notes: sentences for the user: what was found, how the split was made, which labels differ.
        flip: "none" where a mirror image shows another class by the nature of the data set, else "labels".
        frame_fps: frames per second of the frame folders; None for video files.
    """

    root: Path
    kind: str
    labels: tuple[str, ...]
    splits: Mapping[str, tuple[VideoItem, ...]]
    notes: tuple[str, ...]
    flip: str
    frame_fps: float | None
