"""A list of videos as JSON: objects with `path`, `label` (or a list of `labels`) and perhaps `split`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from vov3d.data.sources.csv_list import has_labels
from vov3d.data.sources.row import Row, make_row
from vov3d.errors import DataError

_SPACE = re.compile(r"\s*")


def read_json_rows(file: Path) -> tuple[Row, ...]:
    """Read and check the objects of a list.

    Raises:
        DataError: naming file and line.
    """
    rows = []
    has_split = multi_label = None
    for where, entry in read_objects(file):
        if has_split is None or multi_label is None:  # the first object says what all objects have
            has_split, multi_label = "split" in entry, has_labels(entry)
        rows.append(
            make_row(
                where,
                text_value(where, entry, "path"),
                _label_values(where, entry) if multi_label else (text_value(where, entry, "label"),),
                text_value(where, entry, "split") if has_split else None,
                multi_label=multi_label,
            )
        )
    return tuple(rows)


def read_objects(file: Path) -> Iterator[tuple[str, Mapping[str, object]]]:
    """The objects of a JSON list one by one, each with the place "FILE:LINE" where it starts.

    Raises:
        DataError: if the file is not a list of objects.
    """
    text = read_text(file)
    decoder = json.JSONDecoder()
    position, line, counted = _skip_space(text, 0), 1, 0
    if not text.startswith("[", position):
        raise DataError(f"{file}:1: expected a list of objects: [{{...}}, ...]")
    separator = "["
    while separator in ("[", ","):
        position = _skip_space(text, position + 1)
        if separator == "[" and text.startswith("]", position):
            return
        line, counted = line + text.count("\n", counted, position), position
        try:
            entry, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            raise DataError(f"{file}:{error.lineno}: not valid JSON: {error.msg}") from None
        if not isinstance(entry, dict):
            raise DataError(f"{file}:{line}: expected an object with path and label, given {json.dumps(entry)}")
        yield f"{file}:{line}", entry
        position = _skip_space(text, position)
        separator = text[position : position + 1]
    if separator != "]":
        raise DataError(f"{file}:{line + text.count(chr(10), counted, position)}: not valid JSON: expected ',' or ']'")


def text_value(where: str, entry: Mapping[str, object], key: str) -> str:
    """A value of an object as text; numbers are taken as well.

    Raises:
        DataError: if it is missing or neither text nor a whole number.
    """
    if key not in entry:
        raise DataError(f"{where}: missing {key!r}; given: {', '.join(entry) or 'nothing'}")
    value = entry[key]
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise DataError(f"{where}: {key} is {json.dumps(value)}; allowed: text or a whole number")
    return str(value)


def _label_values(where: str, entry: Mapping[str, object]) -> tuple[str, ...]:
    if "labels" not in entry:
        raise DataError(f"{where}: missing 'labels'; given: {', '.join(entry) or 'nothing'}")
    values = entry["labels"]
    if not isinstance(values, list):
        raise DataError(f"{where}: labels is {json.dumps(values)}; needed: a list, empty for none of the classes")
    return tuple(text_value(where, {"label": value}, "label") for value in values)


def read_text(file: Path) -> str:
    """The text of a JSON file.

    Raises:
        DataError: if it is not UTF-8.
    """
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{file} is not text in UTF-8; save it as UTF-8") from None


def _skip_space(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found else position
