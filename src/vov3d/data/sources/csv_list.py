"""A list of videos as text: rows of `path,label[,split]`, or of `path,labels[,split]` with a header.

The separator is a comma, tab, semicolon or space. A header may name the columns in any order, beside others. In the
column `labels` a video may have several, with "|" between two of them, or none.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from vov3d.data.sources.frame_list import FIRST_COLUMN
from vov3d.data.sources.row import Row, make_row, split_labels
from vov3d.data.sources.table import Table, read_table
from vov3d.errors import DataError


def read_csv_rows(file: Path) -> tuple[Row, ...]:
    """Read and check the rows of a list.

    Raises:
        DataError: naming file and line.
    """
    table = read_table(file)
    path, label, split = _find_columns(table)
    multi_label = has_labels(table.header)
    return tuple(
        make_row(
            f"{file}:{line}",
            fields[path],
            split_labels(fields[label]) if multi_label else (fields[label],),
            None if split is None else fields[split],
            multi_label=multi_label,
        )
        for line, fields in table.rows
    )


def has_labels(columns: Collection[str]) -> bool:
    """Whether these are the columns of several labels a video; beside a column `label`, `labels` is not read."""
    return "labels" in columns and "label" not in columns and FIRST_COLUMN not in columns


def is_list_header(columns: Collection[str]) -> bool:
    """Whether these are the columns of a list of videos."""
    return "path" in columns and ("label" in columns or has_labels(columns))


def _find_columns(table: Table) -> tuple[int, int, int | None]:
    header = table.header
    if not header:
        return 0, 1, 2 if len(table.rows[0][1]) == 3 else None
    label = "labels" if has_labels(header) else "label"
    for column in ("path", label):
        if column not in header:
            where = f"{table.file}:{table.first_line}"
            raise DataError(
                f"{where}: missing column {column!r}; given: {','.join(header)}; needed: path,{label}[,split]"
            )
    return header.index("path"), header.index(label), header.index("split") if "split" in header else None
