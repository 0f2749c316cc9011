"""Looking into folders: quick, without opening or measuring a single video."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vov3d.data.video import IMAGE_SUFFIXES, VIDEO_SUFFIXES

_LEFT_BY_SYSTEMS = frozenset({"thumbs.db", "desktop.ini", "__macosx", "@eadir"})


@dataclass(frozen=True)
class Scan:
    """What lies below a folder.

    Args:
        videos: video files and frame folders, sorted, as paths relative to the folder with forward slashes.
        ignored: how many files of each other suffix there are.
    """

    videos: tuple[str, ...]
    ignored: Mapping[str, int]


def suffix(name: str) -> str:
    """The suffix of a file name in lower case, with its dot."""
    return os.path.splitext(name)[1].lower()  # noqa: PTH122  a Path for each of 200,000 files takes seconds


def is_video_name(name: str) -> bool:
    """Whether a file name is that of a video."""
    return suffix(name) in VIDEO_SUFFIXES


def listing(folder: Path) -> dict[str, bool]:
    """The names in a folder; True marks a folder.

    Hidden files, what operating systems leave behind, and links that lead nowhere are left out.
    """
    with os.scandir(folder) as entries:
        return {
            entry.name: entry.is_dir()
            for entry in entries
            if not _is_hidden(entry.name) and (entry.is_dir() or entry.is_file())
        }


def subfolders(folder: Path) -> tuple[str, ...]:
    """The names of the folders in a folder, sorted."""
    return tuple(sorted(name for name, is_folder in listing(folder).items() if is_folder))


def scan(folder: Path) -> Scan:
    """Find the videos at any depth below a folder.

    A folder that holds images and nothing else is one video, a frame folder; images that lie directly in `folder`
    itself, or beside videos or folders, are not.
    """
    videos: list[str] = []
    ignored: Counter[str] = Counter()
    pending: list[tuple[str, frozenset[tuple[int, int]]]] = [("", frozenset())]
    while pending:
        prefix, above = pending.pop()
        status = (folder / prefix).stat()
        identity = (status.st_dev, status.st_ino)
        if identity in above:
            continue  # a link back to a folder that holds it
        names = listing(folder / prefix)
        files = [name for name, is_folder in names.items() if not is_folder]
        if prefix and len(files) == len(names) and _are_frames(files):
            videos.append(prefix)
            continue
        for name, is_folder in names.items():
            below = f"{prefix}/{name}" if prefix else name
            if is_folder:
                pending.append((below, above | {identity}))
            elif is_video_name(name):
                videos.append(below)
            else:
                ignored[suffix(name) or "no suffix"] += 1
    return Scan(tuple(sorted(videos)), ignored)


def ignored_note(ignored: Mapping[str, int]) -> tuple[str, ...]:
    """A note on the files that are not videos, if there are any."""
    if not ignored:
        return ()
    kinds = ", ".join(
        f"{number} {kind}" for kind, number in sorted(ignored.items(), key=lambda item: (-item[1], item[0]))
    )
    return (f"files that are not videos are left out: {kinds}",)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _LEFT_BY_SYSTEMS


def _are_frames(files: list[str]) -> bool:
    suffixes = {suffix(name) for name in files}
    return not suffixes.isdisjoint(IMAGE_SUFFIXES) and suffixes.isdisjoint(VIDEO_SUFFIXES)
