"""A list of videos as text: rows of `path,label[,split]`.

The separator is a comma, tab, semicolon or space. A header may name the columns in any order, beside others.
"""

from __future__ import annotations

from pathlib import Path

from vov3d.data.sources.row import Row, make_row
from vov3d.data.sources.table import Table, read_table
from vov3d.errors import DataError


def read_csv_rows(file: Path) -> tuple[Row, ...]:
    """Read and check the rows of a list.

    Raises:
        DataError: naming file and line.
    """
    table = read_table(file)
    path, label, split = _find_columns(table)
    return tuple(
        make_row(f"{file}:{line}", fields[path], fields[label], None if split is None else fields[split])
        for line, fields in table.rows
    )


def _find_columns(table: Table) -> tuple[int, int, int | None]:
    header = table.header
    if not header:
        return 0, 1, 2 if len(table.rows[0][1]) == 3 else None
    for column in ("path", "label"):
        if column not in header:
            where = f"{table.file}:{table.first_line}"
            raise DataError(
                f"{where}: missing column {column!r}; given: {','.join(header)}; needed: path,label[,split]"
            )
    return header.index("path"), header.index("label"), header.index("split") if "split" in header else None
