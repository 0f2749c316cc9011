"""Finding videos by their id: as files or folders of that name, anywhere near the annotations."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from vov3d.data.sources.index import VideoItem
from vov3d.data.sources.scan import is_video_name, listing

UNLABELLED = -1
_LEVELS = 3
_MOST_FOLDERS = 100


@dataclass(frozen=True)
class Located:
    """Where the videos of a data set are.

    Args:
        place: for the user, such as "folders of frames in DIR".
        videos: a video by its id, without a label yet.
        are_frames: whether these are folders of frames, not video files.
    """

    place: str
    videos: Mapping[str, VideoItem]
    are_frames: bool


def locate_by_name(root: Path, ids: Collection[str]) -> Located | None:
    """Find the folder, at most two levels below `root`, that holds the most videos called by these ids.

    Each folder is listed once. Where frames and video files are equally many, the frames are taken.
    """
    best: Located | None = None
    level = [""]
    for _ in range(_LEVELS):
        below: list[str] = []
        for folder in level:
            names = listing(root / folder)
            for found in (_frame_folders(root, folder, names, ids), _video_files(root, folder, names, ids)):
                if len(found.videos) > (len(best.videos) if best else 0):
                    best = found
            others = sorted(name for name, is_folder in names.items() if is_folder and name not in ids)
            below += [posixpath.join(folder, name) for name in others[:_MOST_FOLDERS]]
        level = below
    return best


def _frame_folders(root: Path, folder: str, names: Mapping[str, bool], ids: Collection[str]) -> Located:
    chosen = {name: name for name, is_folder in names.items() if is_folder and name in ids}
    return Located(f"folders of frames in {root / folder}", _items(root, folder, chosen), are_frames=True)


def _video_files(root: Path, folder: str, names: Mapping[str, bool], ids: Collection[str]) -> Located:
    files = (name for name, is_folder in names.items() if not is_folder and is_video_name(name))
    chosen = {video_id: name for name in files if (video_id := posixpath.splitext(name)[0]) in ids}
    return Located(f"video files in {root / folder}", _items(root, folder, chosen), are_frames=False)


def _items(root: Path, folder: str, chosen: Mapping[str, str]) -> dict[str, VideoItem]:
    return {
        video_id: VideoItem(root / folder / name, UNLABELLED, posixpath.join(folder, name))
        for video_id, name in chosen.items()
    }
