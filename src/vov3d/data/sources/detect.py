"""Which of the layouts lies at PATH."""

from __future__ import annotations

import difflib
from dataclasses import replace
from pathlib import Path

from vov3d.data.pack.recognise import PACK_FILE, is_pack
from vov3d.data.pack.storage import path_of, url_of
from vov3d.data.sources.assemble import check_learnable, quoted
from vov3d.data.sources.class_folders import read_class_folders
from vov3d.data.sources.csv_list import is_list_header, read_csv_rows
from vov3d.data.sources.frame_list import is_frame_list
from vov3d.data.sources.index import VideoIndex
from vov3d.data.sources.json_list import read_json_rows, read_objects
from vov3d.data.sources.kinetics import find_split_lists, read_split_lists
from vov3d.data.sources.layouts import LAYOUTS
from vov3d.data.sources.listed import index_rows
from vov3d.data.sources.scan import is_video_name, listing, scan, suffix
from vov3d.data.sources.something_v1 import find_v1, read_v1
from vov3d.data.sources.something_v2 import find_v2, read_v2
from vov3d.data.sources.table import read_header
from vov3d.errors import DataError

_TABLES = (".csv", ".tsv", ".txt")
_USUAL_LISTS = ("index.csv", "index.json")


def read_index(path: str | Path, val_fraction: float = 0.2, seed: int = 0, *, for_training: bool = True) -> VideoIndex:
    """Find out how the videos at `path` are laid out, and read their labels and splits; no video is opened.

    Args:
        path: folder or list file, or the URL of a packed set.
        val_fraction: share of each class that becomes val where no split is given, between 0 and 1.
        seed: of that split.
        for_training: whether a network shall learn from the videos: then there must be a train split with two classes
            or more, or one of several labels a video. To test a trained network, any split with a video will do.

    Returns:
        The index; its notes say what was found.

    Raises:
        DataError: if nothing of the kind lies there, or a row of a list is wrong (then it names file and line).
        ValueError: if `val_fraction` is not between 0 and 1.
    """
    if not 0 < val_fraction < 1:
        raise ValueError(f"val_fraction is {val_fraction}; allowed: between 0 and 1, both excluded")
    if url := url_of(path):
        return _read_packed(url, for_training=for_training)
    path = path_of(path)
    try:
        if path.is_dir():
            return _read_folder(path, val_fraction, seed, for_training=for_training)
        if path.name == PACK_FILE and is_pack(path.parent):
            return _read_packed(path.parent, for_training=for_training)
        if path.is_file():
            return _read_list(path, val_fraction, seed, for_training=for_training)
        raise DataError(f"{str(path)!r} does not exist{_suggestion(path)}; {LAYOUTS}")
    except OSError as error:
        raise DataError(f"cannot read {str(error.filename or path)!r}: {error.strerror or error}") from error


def _read_packed(place: str | Path, *, for_training: bool) -> VideoIndex:
    from vov3d.data.pack.format import read_pack

    index = read_pack(place)
    if for_training:
        check_learnable(index)
    return index


def _read_folder(root: Path, val_fraction: float, seed: int, *, for_training: bool) -> VideoIndex:
    if not listing(root):
        raise DataError(f"{root} is empty; {LAYOUTS}")
    if is_pack(root):
        return _read_packed(root, for_training=for_training)
    if files := find_v1(root):
        return read_v1(root, files, val_fraction, seed, for_training=for_training)
    if files := find_v2(root):
        return read_v2(root, files, val_fraction, seed, for_training=for_training)
    if lists := find_split_lists(root) or ({} if for_training else _test_lists(root)):
        if frames := [file for file in lists.values() if is_frame_list(file)]:
            raise DataError(
                f"{frames[-1]} lists frames without labels; put the annotations beside it: "
                "something-something-v2-labels.json, -train.json and -validation.json, or the three .csv files of V1"
            )
        return read_split_lists(root, lists, val_fraction, seed, for_training=for_training)
    if file := _find_list(root):
        index = _read_list(file, val_fraction, seed, for_training=for_training)
        return replace(index, notes=(*index.notes, *_unlisted_note(index)))
    index = read_class_folders(root, val_fraction, seed, for_training=for_training)
    return replace(index, notes=(*index.notes, *_unread_note(root)))


def _test_lists(root: Path) -> dict[str, Path]:
    """The lists of a folder that has none for training, unless something else there is read for training."""
    is_read_otherwise = any((root / name).exists() for name in (*_USUAL_LISTS, "train"))
    return {} if is_read_otherwise else find_split_lists(root, for_training=False)


def _read_list(file: Path, val_fraction: float, seed: int, *, for_training: bool) -> VideoIndex:
    if file.suffix.lower() == ".json":
        kind, rows = "json list", read_json_rows(file)
    elif file.suffix.lower() in _TABLES:
        kind, rows = "csv list", read_csv_rows(file)
    else:
        what = "one video" if is_video_name(file.name) else "no list of videos"
        raise DataError(f"{str(file)!r} is {what}; {LAYOUTS}")
    what = "labels and splits" if rows and rows[0].split else "labels"
    notes = [f"{file.name} gives the {what}"]
    return index_rows(file.parent, kind, rows, notes, val_fraction=val_fraction, seed=seed, for_training=for_training)


def _find_list(root: Path) -> Path | None:
    """The list in a folder: `index.csv` or `index.json`, or else the only file with the columns path and label."""
    names = sorted(name for name, is_folder in listing(root).items() if not is_folder)
    found = [name for name in _USUAL_LISTS if name in names] or [name for name in names if _has_columns(root / name)]
    if len(found) > 1:
        raise DataError(f"{root} has several lists of videos: {quoted(found)}; give one of them as PATH")
    return root / found[0] if found else None


def _has_columns(file: Path) -> bool:
    if suffix(file.name) in (".csv", ".tsv"):
        return is_list_header(read_header(file))
    if suffix(file.name) == ".json":
        try:
            _, first = next(read_objects(file), ("", {}))
        except DataError:
            return False
        return is_list_header(first.keys())
    return False


def _unlisted_note(index: VideoIndex) -> tuple[str, ...]:
    listed = {item.name for items in index.splits.values() for item in items}
    number = sum(name not in listed for name in scan(index.root).videos)
    return (f"videos in the folder that the list does not name are left out: {number}",) if number else ()


def _unread_note(root: Path) -> tuple[str, ...]:
    names = sorted(name for name, is_folder in listing(root).items() if not is_folder)
    unread = [name for name in names if suffix(name) in (".csv", ".tsv", ".json")]
    return (f"not read, for want of the columns path and label: {quoted(unread)}",) if unread else ()


def _suggestion(path: Path) -> str:
    """The nearest name that does exist, beside the first part of the path that does not."""
    for parent, child in zip(path.parents, (path, *path.parents), strict=False):
        if parent.is_dir():
            nearest = difflib.get_close_matches(child.name, sorted(listing(parent)), n=1, cutoff=0.5)
            return f"; did you mean {str(parent / nearest[0])!r}?" if nearest else ""
    return ""
