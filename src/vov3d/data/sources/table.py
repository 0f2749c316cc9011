"""Text tables: fields separated by tab, semicolon, comma or space, with or without a header."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vov3d.data.sources.scan import is_video_name
from vov3d.data.sources.splits import split_of
from vov3d.errors import DataError

_DELIMITERS = ("\t", ";", ",", " ")
_HEADER_WORDS = frozenset({"path", "label", "labels", "youtube_id"})
_LINES_LOOKED_AT = 200
_MAX_LINES_IN_QUOTES = 8


@dataclass(frozen=True)
class Table:
    """A table as text.

    Args:
        file: where it was read.
        header: column names in lower case; none if the first line is a row already.
        first_line: number of the first line that is not blank.
        rows: line number and fields of each row.
    """

    file: Path
    header: tuple[str, ...]
    first_line: int
    rows: tuple[tuple[int, tuple[str, ...]], ...]


def read_lines(file: Path) -> Iterator[tuple[int, str]]:
    """Line number and text of the lines that are not blank; a byte order mark and any line ends are understood.

    Raises:
        DataError: if the file is not text in UTF-8.
    """
    try:
        with file.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield number, line.rstrip("\n")
    except UnicodeDecodeError:
        raise DataError(f"{file} is not text in UTF-8; save it as UTF-8") from None


def read_header(file: Path) -> tuple[str, ...]:
    """The column names of a table, in lower case; nothing if it has no header."""
    _, line = next(read_lines(file), (1, ""))
    return _find_header(line)[1]


def read_table(file: Path) -> Table:
    """Read a whole table.

    Raises:
        DataError: for an empty file, a first line that is neither a header nor path,label[,split], a quote that does
            not end, or a row with more or fewer fields than the first line.
    """
    lines = _with_whole_quotes(list(read_lines(file)))
    if not lines:
        raise DataError(f"{file} is empty; expected rows of path,label[,split]")
    first_line, first = lines[0]
    delimiter, header = _find_header(first)
    if not header:
        delimiter = _find_delimiter([text for _, text in lines[:_LINES_LOOKED_AT]])
    num_columns = len(header) or len(_guess(first, delimiter))
    if not header and num_columns not in (2, 3):
        raise DataError(
            f"{file}:{first_line}: no header, and {_count(num_columns)}; allowed: 2 (path,label), "
            "3 (path,label,split), or a first line that names the columns"
        )
    rows = []
    for number, text in lines[1:] if header else lines:
        try:
            fields = _fields(text, delimiter, num_columns)
        except csv.Error as error:
            raise DataError(f"{file}:{number}: {error}, given {text!r}") from None
        if len(fields) != num_columns:
            raise DataError(
                f"{file}:{number}: {_count(len(fields))} where line {first_line} has {num_columns}, given {text!r}; "
                "put quotes around a name that contains the separator"
            )
        rows.append((number, fields))
    return Table(file, header, first_line, tuple(rows))


def _with_whole_quotes(lines: Sequence[tuple[int, str]]) -> list[tuple[int, str]]:
    """Join lines that belong together because a name in quotes holds a line break."""
    joined: list[tuple[int, str]] = []
    place = 0
    while place < len(lines):
        number, text = lines[place]
        size = 1
        if '"' in text and not _ends_its_quotes(text):
            wholes = ("\n".join(text for _, text in lines[place:end]) for end in range(place + 2, len(lines) + 1))
            for more, whole in enumerate(itertools.islice(wholes, _MAX_LINES_IN_QUOTES - 1), start=2):
                if _ends_its_quotes(whole):
                    text, size = whole, more
                    break
        joined.append((number, text))
        place += size
    return joined


def _ends_its_quotes(text: str) -> bool:
    return any(len(_guess(text, delimiter)) > 1 for delimiter in _DELIMITERS if delimiter != " ")


def _find_header(line: str) -> tuple[str, tuple[str, ...]]:
    for delimiter in _DELIMITERS:
        fields = tuple(field.lower() for field in _guess(line, delimiter, line.count(" ") + 1))
        if not _HEADER_WORDS.isdisjoint(fields) and not any(map(is_video_name, fields)):
            return delimiter, fields
    return "", ()


def _find_delimiter(lines: Sequence[str]) -> str:
    """The separator that leaves a video's name in the first field most often, or else splits the most lines."""

    def fit(delimiter: str) -> tuple[int, int]:
        rows = [fields for line in lines if len(fields := _guess(line, delimiter)) > 1]
        return sum(is_video_name(fields[0]) for fields in rows), len(rows)

    return max(_DELIMITERS, key=fit)


def _guess(line: str, delimiter: str, num_columns: int | None = None) -> tuple[str, ...]:
    try:
        return _fields(line, delimiter, num_columns)
    except csv.Error:
        return ()


def _fields(line: str, delimiter: str, num_columns: int | None) -> tuple[str, ...]:
    if delimiter != " ":
        row = next(csv.reader(io.StringIO(line, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True))
        return tuple(field.strip() for field in row)
    if num_columns is None:
        words = line.split()
        num_columns = 3 if len(words) > 2 and split_of(words[-1]) else 2
    return tuple(field.strip('"') for field in line.rsplit(maxsplit=num_columns - 1))  # a path may contain spaces


def _count(number: int) -> str:
    return "1 column" if number == 1 else f"{number} columns"
