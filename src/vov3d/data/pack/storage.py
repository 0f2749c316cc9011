"""Reading files and parts of files, from disk or from an object store (fsspec), with what can go wrong as `OSError`."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from vov3d.errors import DataError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

RETRY_AFTER_SECONDS = (0.5, 2.0)
CONNECT_SECONDS, SILENCE_SECONDS = 10.0, 30.0  # until a server that does not answer is given up

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/{1,2}")  # one slash: a URL that has been a Path


def url_of(place: str | Path) -> str | None:
    """The URL that a place was given as, if it was; None for a path on disk."""
    match = _URL.match(str(place))
    if match is None or match[1].lower() == "file" or os.path.lexists(place):
        return None
    return f"{match[1].lower()}://{str(place)[match.end() :]}"


def path_of(place: str | Path) -> Path:
    """The path of a place that was not given as a URL, or as one that begins with "file:"."""
    match = _URL.match(str(place))
    if match is None or match[1].lower() != "file" or os.path.lexists(place):
        return Path(place).expanduser()
    return Path("/" + unquote(str(place)[match.end() :]).lstrip("/"))


def read_file(place: str) -> bytes:
    """Read a whole file.

    Args:
        place: a path or a URL.

    Raises:
        DataError: nothing here can read such a URL.
        OSError: it cannot be read.
    """
    if url_of(place) is None:
        return Path(place).read_bytes()
    return _fetch(place, None, len(RETRY_AFTER_SECONDS))


def read_range(url: str, start: int, end: int, retries: int = len(RETRY_AFTER_SECONDS)) -> bytes:
    """Read the bytes from `start` to `end` of a remote file.

    Args:
        url: of the file.
        start: first byte.
        end: one past the last byte.
        retries: how often to try again.

    Raises:
        DataError: nothing here can read such a URL.
        OSError: it cannot be read, or is shorter.
    """
    content = _fetch(url, (start, end), retries)
    if len(content) == end - start:
        return content
    cause = "it is cut short" if len(content) < end - start else "its server knows no range requests"
    raise OSError(f"{url} gave {len(content)} bytes where {end - start} were asked for: {cause}")


def _fetch(url: str, part: tuple[int, int] | None, retries: int) -> bytes:
    file_system, path = _file_system(url)
    start, end = part or (None, None)
    for wait in (*RETRY_AFTER_SECONDS[:retries], None):
        try:
            return bytes(file_system.cat_file(path, start=start, end=end))
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{url} does not exist") from error
        except Exception as error:  # each of fsspec's file systems has errors of its own
            if wait is None:
                raise OSError(f"{url} cannot be read: {_one_line(error)}") from error
            time.sleep(wait)
    raise AssertionError("the last try returns or raises")


def _file_system(url: str) -> tuple[AbstractFileSystem, str]:
    """The file system of a URL, and the file's name in it. fsspec keeps one for each process."""
    from fsspec.core import url_to_fs

    try:
        file_system, path = url_to_fs(url, **_options(url))
    except (ImportError, ValueError) as error:  # s3fs is not installed, or no such protocol
        raise DataError(f"cannot read {url!r}: {_one_line(error)}") from error
    return file_system, path


def _options(url: str) -> dict[str, object]:
    """Time limits, which for HTTP would be five minutes."""
    if not url.startswith("http"):
        return {}
    try:
        from aiohttp import ClientTimeout
    except ImportError as error:
        raise DataError(f"cannot read {url!r}: the package aiohttp is missing; pip install aiohttp") from error
    timeout = ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS)
    return {"client_kwargs": {"timeout": timeout}}


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
