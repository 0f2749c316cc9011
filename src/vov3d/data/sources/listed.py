"""From the rows of a list to an index: which paths exist, which are there twice, and what the labels are."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from vov3d.data.sources.assemble import assemble
from vov3d.data.sources.index import VideoIndex, VideoItem
from vov3d.data.sources.labels import number_labels
from vov3d.data.sources.located import UNLABELLED
from vov3d.data.sources.row import LABEL_SEPARATOR, Row
from vov3d.data.sources.scan import is_video_name, listing
from vov3d.data.sources.splits import split_of
from vov3d.data.video import VIDEO_SUFFIXES
from vov3d.errors import DataError


def index_rows(
    root: Path,
    kind: str,
    rows: Sequence[Row],
    notes: Sequence[str],
    *,
    val_fraction: float,
    seed: int,
    for_training: bool = True,
) -> VideoIndex:
    """Make an index of the rows of one list, or of one list per split.

    Args:
        root: folder that the paths are relative to, and where class names may lie.
        kind: see `VideoIndex`.
        rows: all rows, in the order of the list.
        notes: what the reader has to say.
        val_fraction: share of an automatic split.
        seed: of an automatic split.
        for_training: see `read_index`.

    Raises:
        DataError: for a path that does not exist or is no video, for a path that is there twice with another label or
            split, for labels that cannot be numbered, and for a list of `label` beside one of `labels`.
    """
    multi_label = _is_multi_label(rows)
    videos = _first_of_each(root, rows)
    _check_paths(root, videos)
    labels, ids, label_notes = number_labels(tuple(videos.values()), root, gaps=not for_training)
    if multi_label:
        _check_names(root, labels)
    all_notes = [*notes, *label_notes]
    if repeated := len(rows) - len(videos):
        all_notes.append(f"rows that repeat a video are left out: {repeated}")
    by_folder = all(row.split is None and _split_in_path(name) for name, row in videos.items())
    if by_folder:
        all_notes.append("the list has no column split: the first folder of each path says it")
    parts: defaultdict[str, list[VideoItem]] = defaultdict(list)
    for name, row in videos.items():
        split = _split_in_path(name) if by_folder else row.split
        label, *also = sorted({ids[label] for label in row.labels}) or [UNLABELLED]
        parts[split or "train"].append(VideoItem(root / name, label, name, also=tuple(also)))
    return assemble(
        root,
        kind,
        labels,
        parts,
        all_notes,
        val_fraction=val_fraction,
        seed=seed,
        for_training=for_training,
        multi_label=multi_label,
    )


def _is_multi_label(rows: Sequence[Row]) -> bool:
    other = next((row for row in rows if row.multi_label != rows[0].multi_label), None)
    if other is not None:
        raise DataError(
            f"{other.where}: this list has the column {_column(other)!r}, but that of {rows[0].where} has "
            f"{_column(rows[0])!r}; give all lists the same"
        )
    return bool(rows) and rows[0].multi_label


def _column(row: Row) -> str:
    return "labels" if row.multi_label else "label"


def _check_names(root: Path, labels: Sequence[str]) -> None:
    if wrong := [name for name in labels if LABEL_SEPARATOR in name]:
        raise DataError(
            f"{root}: the class {wrong[0]!r} holds {LABEL_SEPARATOR!r}, which stands between two labels of a video in "
            "every table that vov3d reads and writes; rename it"
        )


def _first_of_each(root: Path, rows: Sequence[Row]) -> dict[str, Row]:
    """The first row of every video, by the path of the video relative to root."""
    base = root.absolute().as_posix() + "/"
    first: dict[str, Row] = {}
    for row in rows:
        name = posixpath.normpath(row.path).removeprefix(base)
        known = first.setdefault(name, row)
        if sorted(known.labels) != sorted(row.labels):
            here, there = (LABEL_SEPARATOR.join(one.labels) for one in (row, known))
            hint = "; give each video one row with all of its labels" if row.multi_label else ""
            raise DataError(
                f"{row.where}: {row.path!r} has the {_column(row)} {here!r}, but {there!r} at {known.where}{hint}"
            )
        if known.split != row.split:
            raise DataError(f"{row.where}: {row.path!r} is in {row.split}, but in {known.split} at {known.where}")
    return first


def _check_paths(root: Path, videos: Mapping[str, Row]) -> None:
    """Raise unless every path is a video file or a folder. Each folder is listed once, no file is looked at."""
    listings: dict[str, dict[str, bool]] = {}
    missing = []
    for name, row in videos.items():
        folder, leaf = posixpath.split(name)
        if folder not in listings:
            listings[folder] = listing(root / folder) if (root / folder).is_dir() else {}
        is_folder = listings[folder].get(leaf)
        if is_folder is None:  # a hidden file, or a file system that knows the name in another spelling
            path = root / name
            is_folder = path.is_dir() if path.exists() else None
        if is_folder is None:
            missing.append(row)
        elif not is_folder and not is_video_name(leaf):
            raise DataError(f"{row.where}: {row.path!r} is no video; allowed: a folder of frames, or {_suffixes()}")
    if missing:
        raise DataError(
            f"{missing[0].where}: {missing[0].path!r} does not exist ({len(missing)} of {len(videos)} paths do not); "
            f"paths are relative to {root.absolute()}"
        )


def _split_in_path(name: str) -> str | None:
    return split_of(name.split("/", 1)[0])


def _suffixes() -> str:
    return " ".join(sorted(VIDEO_SUFFIXES))
