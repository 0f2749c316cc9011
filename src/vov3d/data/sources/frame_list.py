"""Frame lists: one row per frame, `original_vido_id video_id frame_id path labels`.

The misspelt first column is how the published files begin. It names the video; the frames of a video are shown in the
order of the rows. The labels are empty in the published lists and not read: they come from the annotations.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from pathlib import Path

from vov3d.data.sources.index import VideoItem
from vov3d.data.sources.located import UNLABELLED, Located
from vov3d.data.sources.scan import subfolders
from vov3d.data.sources.table import read_lines
from vov3d.errors import DataError

FIRST_COLUMN = "original_vido_id"
_NUM_COLUMNS = 5
_FILE_NAMES = ("train.csv", "val.csv")


def find_frame_lists(folder: Path) -> tuple[Path, ...]:
    """The frame lists in a folder."""
    files = (folder / name for name in _FILE_NAMES)
    return tuple(file for file in files if file.is_file() and is_frame_list(file))


def is_frame_list(file: Path) -> bool:
    """Whether a file begins as a frame list does."""
    _, first = next(read_lines(file), (1, ""))
    return first.startswith(FIRST_COLUMN)


def locate_by_lists(root: Path, files: Sequence[Path]) -> Located:
    """Find the frames that the lists name.

    The paths are relative to `root` or to a folder in it, whichever holds the first frame.

    Raises:
        DataError: for a row without five columns, a video whose frames lie in several folders, or if no folder holds
            the first frame.
    """
    videos: dict[str, VideoItem] = {}
    for file in files:
        frames = read_frame_list(file)
        base = _find_base(root, file, next(iter(frames.values()))[0])
        for video_id, paths in frames.items():
            folder = posixpath.dirname(paths[0])
            if any(posixpath.dirname(path) != folder for path in paths):
                raise DataError(f"{file}: the frames of the video {video_id!r} lie in several folders; allowed: one")
            if (base / folder).is_dir():
                names = tuple(posixpath.basename(path) for path in paths)
                videos[video_id] = VideoItem(base / folder, UNLABELLED, posixpath.join(folder, video_id), names)
    return Located(f"frames by the lists {', '.join(file.name for file in files)}", videos, are_frames=True)


def read_frame_list(file: Path) -> dict[str, list[str]]:
    """The paths of the frames of each video, in the order of the file.

    Raises:
        DataError: naming file and line.
    """
    frames: dict[str, list[str]] = {}
    lines = read_lines(file)
    next(lines, None)
    for number, line in lines:
        fields = line.split()
        if len(fields) != _NUM_COLUMNS:
            raise DataError(
                f"{file}:{number}: {len(fields)} columns, given {line!r}; "
                f"needed: {FIRST_COLUMN} video_id frame_id path labels"
            )
        frames.setdefault(fields[0], []).append(fields[3])
    if not frames:
        raise DataError(f"{file} lists no frames")
    return frames


def _find_base(root: Path, file: Path, first_frame: str) -> Path:
    for folder in ("", *subfolders(root)):
        if (root / folder / first_frame).exists():
            return root / folder
    raise DataError(f"{file}: the first frame {first_frame!r} is neither in {root} nor in a folder of it")
