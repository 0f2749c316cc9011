"""Class folders: `train/<class>/*.mp4` with `val/<class>/*.mp4`, or `<class>/*.mp4` alone.

The class is the first folder; videos may lie deeper within it. A folder of images inside a class is one video.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from vov3d.data.sources.assemble import assemble, quoted
from vov3d.data.sources.index import VideoIndex, VideoItem
from vov3d.data.sources.labels import sort_labels
from vov3d.data.sources.layouts import LAYOUTS
from vov3d.data.sources.scan import Scan, ignored_note, is_video_name, listing, scan, subfolders, suffix
from vov3d.data.sources.splits import split_of
from vov3d.data.video import IMAGE_SUFFIXES
from vov3d.errors import DataError

KIND = "class folders"


def read_class_folders(root: Path, val_fraction: float, seed: int, *, for_training: bool = True) -> VideoIndex:
    """Read a folder whose folders are classes, or splits that hold classes.

    Raises:
        DataError: if no class folder holds a video.
    """
    split_folders = find_split_folders(root, for_training=for_training)
    parts = split_folders or {"train": ""}
    scans = {split: _scan_classes(root / folder) for split, folder in parts.items()}
    labels = sort_labels(name for classes in scans.values() for name, found in classes.items() if found.videos)
    if not labels:
        raise DataError(f"{_why_no_videos(root, parts, scans)}; {LAYOUTS}")
    if len(labels) == 1 and len(subfolders(root / labels[0]) if not split_folders else ()) > 1:
        raise DataError(
            f"{root} has the single class folder {labels[0]!r}, which holds folders itself; "
            f"if these are the classes, give {str(root / labels[0])!r} as PATH"
        )
    ids = {name: label for label, name in enumerate(labels)}
    items = {
        split: [
            VideoItem(root / parts[split] / label / video, ids[label], posixpath.join(parts[split], label, video))
            for label, found in classes.items()
            for video in found.videos
        ]
        for split, classes in scans.items()
    }
    notes = (*_layout_notes(root, split_folders, scans), *_stray_notes(root, parts))
    return assemble(root, KIND, labels, items, notes, val_fraction=val_fraction, seed=seed, for_training=for_training)


def find_split_folders(root: Path, *, for_training: bool = True) -> dict[str, str]:
    """Which folder holds which split; empty where the folders are classes.

    A folder called `train` may also be a class, in a data set of vehicles: then it holds videos itself and stands
    beside folders that are no splits.

    Raises:
        DataError: if two folders claim one split, or there are splits but no train.
    """
    folders = subfolders(root)
    found: dict[str, str] = {}
    for folder in folders:
        split = split_of(folder)
        if split is None:
            continue
        if split in found:
            raise DataError(f"{root} has both {found[split]!r} and {folder!r}; keep one of them as the split {split!r}")
        found[split] = folder
    if len(found) == len(folders):
        if found and "train" not in found and for_training:
            raise DataError(f"{root} has the folders {quoted(found.values())} but no folder 'train'; {LAYOUTS}")
        return found
    telling = "train" if "train" in found or for_training else next(iter(found), "train")
    if telling in found and not _loose_videos(root / found[telling]):
        return found
    return {}


def _scan_classes(folder: Path) -> dict[str, Scan]:
    return {name: scan(folder / name) for name in subfolders(folder)}


def _loose_videos(folder: Path) -> int:
    return sum(is_video_name(name) for name, is_folder in listing(folder).items() if not is_folder)


def _layout_notes(
    root: Path, split_folders: Mapping[str, str], scans: Mapping[str, Mapping[str, Scan]]
) -> tuple[str, ...]:
    ignored: Counter[str] = Counter()
    for classes in scans.values():
        for found in classes.values():
            ignored.update(found.ignored)
    notes = ["class folders"]
    if split_folders:
        notes = [f"class folders with the splits {' and '.join(split_folders.values())}"]
        if beside := [name for name in subfolders(root) if name not in split_folders.values()]:
            notes.append(f"folders beside the splits are left out: {quoted(beside)}")
    if empty := [name for classes in scans.values() for name, found in classes.items() if not found.videos]:
        notes.append(f"class folders without a video: {quoted(empty)}")
    return (*notes, *ignored_note(ignored))


def _stray_notes(root: Path, parts: Mapping[str, str]) -> tuple[str, ...]:
    loose = {folder: _loose_videos(root / folder) for folder in parts.values()}
    return tuple(
        f"videos directly in {str(root / folder)!r} belong to no class and are left out: {number}"
        for folder, number in loose.items()
        if number
    )


def _why_no_videos(root: Path, parts: Mapping[str, str], scans: Mapping[str, Mapping[str, Scan]]) -> str:
    folders: Sequence[Path] = [root / folder for folder in parts.values()]
    if any(_loose_videos(folder) for folder in folders):
        return f"{folders[0]} holds videos but no class folders; put the videos of each class into a folder of its name"
    ignored = {kind for classes in scans.values() for found in classes.values() for kind in found.ignored}
    images = ignored | {suffix(name) for folder in folders for name in listing(folder)}
    if not images.isdisjoint(IMAGE_SUFFIXES):
        return f"{root} holds images but no videos; the frames of each video go into a folder <class>/<video>/"
    return f"{root} holds no videos"
