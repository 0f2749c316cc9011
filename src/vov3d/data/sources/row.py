"""One row of a list file: a video, its label and perhaps its split."""

from __future__ import annotations

from dataclasses import dataclass

from vov3d.data.sources.splits import SPLIT_WORDS, split_of
from vov3d.errors import DataError, unknown_name


@dataclass(frozen=True)
class Row:
    """A row that has all it needs; whether its path exists is not known yet.

    Args:
        where: "FILE:LINE", the start of every message about the row.
        path: as given, with forward slashes.
        label: name or number of the class, as given.
        split: "train", "val", "test", or None where the list gives none.
    """

    where: str
    path: str
    label: str
    split: str | None


def make_row(where: str, path: str, label: str, split: str | None) -> Row:
    """Check the values of one row.

    Raises:
        DataError: for an empty path, label or split, and for a word that names no split.
    """
    for column, value in (("path", path), ("label", label), ("split", split)):
        if value is not None and not value.strip():
            raise DataError(f"{where}: empty {column}")
    if split is None:
        return Row(where, path.strip().replace("\\", "/"), label.strip(), None)
    known = split_of(split.strip())
    if known is None:
        raise DataError(f"{where}: {unknown_name('split', split.strip(), SPLIT_WORDS)}")
    return Row(where, path.strip().replace("\\", "/"), label.strip(), known)
