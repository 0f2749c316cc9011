"""Files that are there whole or not at all, and still there after a power cut."""

from __future__ import annotations

import csv
import errno
import io
import os
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

_TEMPORARY = ".unfinished-"


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a temporary file in the same folder, then put it in place of ``path`` in one step.

    The content reaches the disk before the name does, and the name before this returns.

    Args:
        path: the file to make or replace.
        write: called with the temporary path.

    Raises:
        OSError: if it cannot be written, naming ``path``; nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[:100]}{_TEMPORARY}{secrets.token_hex(8)}")
    try:
        write(temporary)
        flush(temporary)
        temporary.replace(path)
        flush(path.parent)
    except OSError as error:  # a full disk is told without any name, the rest with that of the temporary file
        raise naming(path, error) from error
    finally:
        with suppress(OSError):  # it was never made, or its folder is gone
            temporary.unlink()


def naming(path: Path, error: OSError) -> OSError:
    """Return an error again that names this path; those of PyAV cannot be given a name."""
    return OSError(error.errno, error.strerror or str(error), str(path))


def write_text(path: Path, text: str) -> None:
    """Write a text file so that it is there whole or not at all."""
    write_atomically(path, lambda temporary: _write_utf8(temporary, text))


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write a file so that it is there whole or not at all."""
    write_atomically(path, lambda temporary: _write(temporary, content))


def csv_text(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as the text of a CSV file."""
    return "".join(map(_csv_line, rows))


def _csv_line(row: Sequence[str]) -> str:
    """One row; the writer puts quotes around a carriage return only where it ends lines with one."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(row)
    return text.getvalue().removesuffix("\r\n") + "\n"


def _write_utf8(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")  # names that are not Unicode


def _write(path: Path, content: bytes | memoryview) -> None:
    path.write_bytes(content)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of `write_atomically` that a killed process left in a folder."""
    for path in folder.glob(f".*{_TEMPORARY}*") if folder.is_dir() else ():
        path.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    if os.name == "nt" and path.is_dir():  # Windows opens no folders
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    except OSError as error:
        if not (path.is_dir() and error.errno in (errno.EINVAL, errno.ENOTSUP)):  # some network file systems cannot
            raise
    finally:
        os.close(handle)
