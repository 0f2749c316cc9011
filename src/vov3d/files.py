"""Files that are there whole or not at all."""

from __future__ import annotations

import csv
import io
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a temporary file in the same folder, then put it in place of ``path`` in one step.

    Args:
        path: the file to make or replace.
        write: called with the temporary path.

    Raises:
        OSError: if it cannot be written, naming ``path``; nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        write(temporary)
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:  # a full disk is told without any name, the rest with that of the temporary file
        error.filename = str(path)
        raise
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file so that it is there whole or not at all."""
    write_atomically(path, lambda temporary: _write_utf8(temporary, text))


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write a file so that it is there whole or not at all."""
    write_atomically(path, lambda temporary: _write(temporary, content))


def csv_text(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as the text of a CSV file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _write_utf8(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")  # names that are not Unicode


def _write(path: Path, content: bytes | memoryview) -> None:
    path.write_bytes(content)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
