"""Kinetics: one list per split, `train.csv`, `val.csv` and perhaps `test.csv`.

The lists hold rows of `path label` with one space (a path may contain spaces, the label is a number), or any rows that
a list of videos may hold. The official annotation (label,youtube_id,time_start,time_end,split) is understood as well:
its clips are files called `<youtube_id>_<start>_<end>` with six digits for a time, anywhere below the folder.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from vov3d.data.sources.csv_list import is_list_header, read_csv_rows
from vov3d.data.sources.frame_list import FIRST_COLUMN
from vov3d.data.sources.index import VideoIndex
from vov3d.data.sources.listed import index_rows
from vov3d.data.sources.row import Row, make_row
from vov3d.data.sources.scan import listing, scan
from vov3d.data.sources.splits import split_of
from vov3d.data.sources.table import read_header, read_table
from vov3d.errors import DataError

KIND = "kinetics list"
_OFFICIAL = ("youtube_id", "time_start", "time_end")


def find_split_lists(root: Path, *, for_training: bool = True) -> dict[str, Path]:
    """The list of each split in a folder, by the split's name; empty if there is no `train.csv`.

    A file whose header names other columns is no list.

    Args:
        root: the folder.
        for_training: see `read_index`; without it any of the lists will do.

    Raises:
        DataError: if two files claim one split.
    """
    found: dict[str, Path] = {}
    for name, is_folder in sorted(listing(root).items()):
        split = split_of(name.removesuffix(".csv")) if name.endswith(".csv") and not is_folder else None
        if split is None or not _may_be_list(root / name):
            continue
        if split in found:
            raise DataError(f"{root} has both {found[split].name} and {name}; keep one of them as the split {split!r}")
        found[split] = root / name
    return found if "train" in found or not for_training else {}


def _may_be_list(file: Path) -> bool:
    header = read_header(file)
    return not header or is_list_header(header) or "youtube_id" in header or FIRST_COLUMN in header


def read_split_lists(
    root: Path, files: Mapping[str, Path], val_fraction: float, seed: int, *, for_training: bool = True
) -> VideoIndex:
    """Read one list per split.

    Raises:
        DataError: naming file and line.
    """
    notes = [f"one list per split: {', '.join(file.name for file in files.values())}"]
    rows: list[Row] = []
    if any("youtube_id" in read_header(file) for file in files.values()):
        clips = {posixpath.splitext(posixpath.basename(name))[0]: name for name in scan(root).videos}
        for split, file in files.items():
            rows += _read_official(file, split, clips, notes)
    else:
        for split, file in files.items():
            rows += [_in_split(row, split) for row in read_csv_rows(file)]
    return index_rows(root, KIND, rows, notes, val_fraction=val_fraction, seed=seed, for_training=for_training)


def _in_split(row: Row, split: str) -> Row:
    if row.split not in (None, split):
        raise DataError(
            f"{row.where}: split {row.split!r} in the list of {split!r}; allowed: {split!r}, or no column split"
        )
    return replace(row, split=split)


def _read_official(file: Path, split: str, clips: Mapping[str, str], notes: list[str]) -> list[Row]:
    """The rows of an official annotation whose clip is on disk: many have vanished from where they were published."""
    table = read_table(file)
    header = table.header
    if missing := [column for column in _OFFICIAL if column not in header]:
        raise DataError(f"{file}:{table.first_line}: missing column {missing[0]!r}; given: {','.join(header)}")
    if "label" not in header:
        notes.append(f"{file.name} has no labels and is left out")
        return []
    label, video, start, end = (header.index(column) for column in ("label", *_OFFICIAL))
    rows = []
    for line, fields in table.rows:
        where = f"{file}:{line}"
        if not (fields[start].isdecimal() and fields[end].isdecimal()):
            raise DataError(f"{where}: times {fields[start]!r} and {fields[end]!r}; allowed: whole seconds")
        clip = clips.get(f"{fields[video]}_{int(fields[start]):06d}_{int(fields[end]):06d}")
        if clip is not None:
            rows.append(make_row(where, clip, (fields[label],), split))
    if not rows:
        raise DataError(
            f"{file}: none of its {len(table.rows)} clips is there; expected files called "
            "<youtube_id>_<start>_<end>.mp4 with six digits for a time, such as abc_000012_000022.mp4"
        )
    if absent := len(table.rows) - len(rows):
        notes.append(f"{file.name}: {absent} of {len(table.rows)} clips are not there and are left out")
    return rows
