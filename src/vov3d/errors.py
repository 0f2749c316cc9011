"""The errors that vov3d raises for what a user can put right.

Each message is one line that says what was given, what is allowed and what to do. The command line prints that line
and exits with code 2.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from pathlib import Path


class Vov3dError(Exception):
    """Base of all errors that a user can put right; its message is one line."""


class ArgumentError(Vov3dError, ValueError):
    """An argument is out of range or names something that does not exist."""


class DataError(Vov3dError):
    """A data set cannot be read as given: a missing folder, a wrong row, labels that disagree."""


class DecodeError(Vov3dError):
    """A video cannot be decoded.

    Attributes:
        path: the file or frame folder.
        reason: what went wrong, one line.
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"cannot decode {str(path)!r}: {reason}")
        self.path = Path(path)
        self.reason = reason

    def __reduce__(self) -> tuple[type[DecodeError], tuple[Path, str]]:
        return DecodeError, (self.path, self.reason)  # crosses the border of a loader's worker process whole


class RecipeError(Vov3dError):
    """A recipe or one of its keys is not valid."""


class CheckpointError(Vov3dError):
    """A checkpoint cannot be read, or does not fit the model it was given to."""


class RunFolderError(Vov3dError):
    """A run folder holds what would be overwritten, or lacks what is asked of it."""


class InUseError(Vov3dError):
    """Another process writes to the folder."""


class OptimizeError(Vov3dError):
    """No back end computes a network as it was asked to: absent, unable, or too far off the plain network."""


class TrainingError(Vov3dError):
    """Training cannot go on: the loss is not a number, or a process that decodes or trains with it is gone."""


class TerminatedError(Vov3dError):
    """SIGTERM asked the program to stop, as a cluster does before it takes a machine away."""


def visible(text: str) -> str:
    """A text that stays in its line: control characters, line breaks above all, as Python writes them."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", lambda match: repr(match[0])[1:-1], text)


def unknown_name(kind: str, given: object, allowed: Iterable[str], listed_by: str | None = None) -> str:
    """One line for a name that does not exist, with the nearest one that does.

    Args:
        kind: what the name stands for, such as ``"model"``.
        given: what was given for a name.
        allowed: the names that exist.
        listed_by: the command that lists them, where they are too many for a line.
    """
    names = sorted(allowed)
    by_lower = {name.lower(): name for name in names}
    nearest = difflib.get_close_matches(str(given).lower(), by_lower, n=1, cutoff=0.5)
    hint = f"; did you mean {by_lower[nearest[0]]!r}?" if nearest else "."
    listed = f"the {len(names)} names that `{listed_by}` lists" if listed_by else ", ".join(names)
    return f"unknown {kind} {given!r}{hint} Allowed: {listed}"
