"""One row of a list file: a video, its label or labels, and perhaps its split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vov3d.data.sources.splits import SPLIT_WORDS, split_of
from vov3d.errors import DataError, unknown_name

LABEL_SEPARATOR = "|"


@dataclass(frozen=True)
class Row:
    """A row that has all it needs; whether its path exists is not known yet.

    Args:
        where: "FILE:LINE", the start of every message about the row.
        path: as given, with forward slashes.
        labels: names or numbers of the classes, as given; exactly one, unless the list is `multi_label`.
        split: "train", "val", "test", or None where the list gives none.
        multi_label: whether the list gives `labels` in place of `label`.
    """

    where: str
    path: str
    labels: tuple[str, ...]
    split: str | None
    multi_label: bool = False


def make_row(where: str, path: str, labels: Sequence[str], split: str | None, *, multi_label: bool = False) -> Row:
    """Check the values of one row.

    Args:
        where: see `Row`, as for all names that are not explained here.
        path: as it stands in the list.
        labels: as they stand in the list.
        split: any word for a split.
        multi_label: see `Row`.

    Raises:
        DataError: for an empty path, label or split, a label that is there twice or holds the separator of labels, and
            for a word that names no split.
    """
    given = tuple(label.strip() for label in labels)
    for column, value in (("path", path), *(("label", label) for label in given), ("split", split)):
        if value is not None and not value.strip():
            hint = (
                f"; {LABEL_SEPARATOR!r} stands between two labels of a video"
                if column == "label" and multi_label
                else ""
            )
            raise DataError(f"{where}: empty {column}{hint}")
    if multi_label:
        _check_labels(where, given)
    known = None if split is None else split_of(split.strip())
    if split is not None and known is None:
        raise DataError(f"{where}: {unknown_name('split', split.strip(), SPLIT_WORDS)}")
    return Row(where, path.strip().replace("\\", "/"), given, known, multi_label)


def split_labels(cell: str) -> tuple[str, ...]:
    """The labels in one cell of a table; none in an empty one."""
    return tuple(cell.split(LABEL_SEPARATOR)) if cell.strip() else ()


def _check_labels(where: str, labels: tuple[str, ...]) -> None:
    for place, label in enumerate(labels):
        if LABEL_SEPARATOR in label:
            raise DataError(
                f"{where}: label {label!r} holds {LABEL_SEPARATOR!r}, which stands between two labels of a video in "
                "every table that vov3d reads and writes; rename the class"
            )
        if label in labels[:place]:
            raise DataError(f"{where}: label {label!r} is there twice")
