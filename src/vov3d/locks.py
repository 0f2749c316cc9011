"""Folders that one process at a time writes to, and folders that are there whole or not at all."""

from __future__ import annotations

import errno
import logging
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vov3d.errors import ArgumentError, InUseError
from vov3d.files import flush, naming

LOCK_FILE = "vov3d.lock"
PATIENCE_SECONDS = 5.0  # the process that held the lock may still be ending, as when `torchrun` restarts a run

_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)

log = logging.getLogger("vov3d")


@contextmanager
def sole_writer(folder: Path, lock_file: Path | None = None) -> Iterator[bool]:
    """Keep a folder for this process while it writes there, from all others that ask for it in this way.

    The operating system holds the lock, and lets go of it with the process, however that ends. Who holds it may ask
    again. Folders that are made for it go away with it if nothing was written to them.

    Args:
        folder: what is written to.
        lock_file: where the lock lies; by default in the folder, which is made if needed.

    Yields:
        Whether it is locked; a file system that knows no locks is warned of, and work goes on.

    Raises:
        ArgumentError: if it is a file.
        InUseError: if another process holds it.
    """
    from filelock import FileLock, Timeout

    file = folder / LOCK_FILE if lock_file is None else lock_file
    lock = FileLock(file, is_singleton=True, fallback_to_soft=False)
    if lock.is_locked:
        yield True
        return
    if folder.exists() and not folder.is_dir():
        raise ArgumentError(f"{str(folder)!r} is a file; give a folder")
    known = True
    made = [parent for parent in file.parents if not parent.exists()]
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=PATIENCE_SECONDS)
            _sign(file)
        except Timeout:
            raise InUseError(
                f"{str(folder)!r} is in use: {_holder(file)} writes to it; wait for its end, stop it, or give another "
                "folder"
            ) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise naming(folder, error) from error
            known = False
            log.warning(
                "no locks on the file system of %r: see to it that no other process writes there", str(file.parent)
            )
        yield lock.is_locked
    finally:
        if lock.is_locked or not known:
            with suppress(OSError):  # Windows keeps files that are open
                file.unlink()
        lock.release()
        for parent in made:
            with suppress(OSError):  # it holds something
                parent.rmdir()


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """Let a hidden folder be filled that takes the name ``out`` at the end, or goes away with all that is in it.

    What a killed process left of it is removed by the next that makes ``out``.

    Args:
        out: the folder to make.

    Yields:
        The folder to fill.

    Raises:
        ArgumentError: if ``out`` exists.
        InUseError: if another process makes it.
    """
    folder = out.with_name(f".{out.name}.unfinished")
    with sole_writer(out, out.with_name(f".{out.name}.lock")) as locked:
        _check_free(out)
        try:
            if locked and folder.is_dir():
                log.info("removing %r, which a process that was killed has left", str(folder))
                shutil.rmtree(folder)
            folder.mkdir()
        except FileExistsError:
            raise InUseError(
                f"{str(folder)!r} is of a process that still makes {str(out)!r}, or was killed; remove it if none does"
            ) from None
        try:
            yield folder
            _check_free(out)
            folder.rename(out)
            flush(out.parent)
        except OSError as error:  # a full disk is told without any name, the rest with that of the hidden folder
            raise naming(out, error) from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _check_free(out: Path) -> None:
    if os.path.lexists(out):
        raise ArgumentError(f"{str(out)!r} exists already; give a folder that does not, or remove it")


def _sign(file: Path) -> None:
    """Write who holds a lock behind its first byte: the one that is locked, which Windows lets nobody read."""
    with file.open("r+b", buffering=0) as opened:
        opened.seek(1)
        opened.write(f"process {os.getpid()} on {platform.node() or 'this machine'}\n".encode())


def _holder(file: Path) -> str:
    try:
        with file.open("rb", buffering=0) as opened:
            opened.seek(1)
            line = (opened.read(300) or b"").partition(b"\n")[0]
    except OSError:
        line = b""
    return line.decode(errors="replace") or "another process"
