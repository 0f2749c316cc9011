"""From class names or class numbers as given to class ids."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from vov3d.data.sources.assemble import quoted
from vov3d.data.sources.row import Row
from vov3d.data.sources.scan import listing
from vov3d.data.sources.splits import SPLIT_WORDS
from vov3d.data.sources.table import read_lines
from vov3d.errors import DataError

_NUMBER = re.compile(r"-?[0-9]+")
_NO_LETTERS = re.compile(r"[^a-z]+")
_LABEL_WORDS = ("label", "labels", "class", "classes")
_USUAL_NAMES = ("labels.txt", "classes.txt")


def sort_labels(names: Iterable[str]) -> tuple[str, ...]:
    """Class names in the order of their ids: by value if all are numbers, otherwise by name."""
    distinct = set(names)
    if all(_NUMBER.fullmatch(name) for name in distinct):
        return tuple(sorted(distinct, key=lambda name: (int(name), name)))
    return tuple(sorted(distinct))


def number_labels(
    rows: Sequence[Row], folder: Path, *, gaps: bool = False
) -> tuple[tuple[str, ...], Mapping[str, int], tuple[str, ...]]:
    """Give every label of a list its class id.

    Names are numbered in the order of the alphabet. Numbers keep their value; their names come from `labels.txt`,
    `classes.txt` or the like in `folder`, and without one they must run from 0 without a gap.

    Args:
        rows: all rows of the list.
        folder: where class names may lie.
        gaps: allow numbers without names to leave others out.

    Returns:
        Class names by class id, the class id of each label as given, and notes.

    Raises:
        DataError: for a number without a name.
    """
    given = {label for row in rows for label in row.labels}
    if not all(_NUMBER.fullmatch(label) for label in given):
        names = sort_labels(given)
        return names, {name: label for label, name in enumerate(names)}, ()
    ids = {label: int(label) for label in given}
    file = find_label_names(folder)
    num_numbers = max(ids.values(), default=-1) + 1 if gaps else len(set(ids.values()))
    names = read_label_names(file) if file else tuple(str(label) for label in range(num_numbers))
    for row in rows:
        for label in row.labels:
            if not 0 <= ids[label] < len(names):
                raise DataError(_out_of_range(row.where, label, names, file, set(ids.values())))
    return names, ids, (f"{file.name} names the {len(names)} classes",) if file else ()


def find_label_names(folder: Path) -> Path | None:
    """The file beside a list that names its classes, one a line, if there is one.

    Raises:
        DataError: if there are several and none has a usual name.
    """
    files = sorted(name for name, is_folder in listing(folder).items() if not is_folder and name.endswith(".txt"))
    usual = [name for name in _USUAL_NAMES if name in files]
    found = usual[:1] or [name for name in files if _says_labels(name)]
    if len(found) > 1:
        raise DataError(f"{folder} has several files of class names: {quoted(found)}; call the right one labels.txt")
    return folder / found[0] if found else None


def read_label_names(file: Path) -> tuple[str, ...]:
    """Class names, one a line; the first line is class 0.

    Raises:
        DataError: for an empty file, a blank line between names, or a name that is there twice.
    """
    names: dict[str, int] = {}
    for number, line in read_lines(file):
        name = line.strip()
        if number != len(names) + 1:
            raise DataError(f"{file}:{len(names) + 1}: empty label; every line is the name of a class")
        if name in names:
            raise DataError(f"{file}:{number}: label {name!r} is already in line {names[name]}")
        names[name] = number
    if not names:
        raise DataError(f"{file} is empty; expected the name of a class on every line")
    return tuple(names)


def _says_labels(file_name: str) -> bool:
    words = set(_NO_LETTERS.split(file_name.lower()))  # "kinetics_400_labels.txt", but not "train_labels.txt"
    return not words.isdisjoint(_LABEL_WORDS) and words.isdisjoint(SPLIT_WORDS)


def _out_of_range(where: str, label: str, names: Sequence[str], file: Path | None, used: set[int]) -> str:
    if file or int(label) < 0:
        return f"{where}: label number {label} is out of range; allowed: 0 to {len(names) - 1}" + (
            f", the lines of {file.name}" if file else ""
        )
    missing = [str(number) for number in range(max(used)) if number not in used]
    return (
        f"{where}: label number {label} is out of range; the numbers of {len(names)} classes run from 0 to "
        f"{len(names) - 1}, but these never occur: {quoted(missing)}; close the gaps, or name all classes in labels.txt"
    )
