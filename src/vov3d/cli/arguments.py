"""The flags that several verbs share, and what their values may be."""

from __future__ import annotations

import argparse
import difflib
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path

from vov3d.errors import unknown_name
from vov3d.weights import find_weights


def existing(text: str) -> Path:
    """A file or folder that is there."""
    path = _named(text)
    if path.exists():
        return path
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    missing = path.absolute().relative_to(folder).parts[0]
    near = difflib.get_close_matches(missing, sorted(entry.name for entry in folder.iterdir()), n=1)
    hint = f"; did you mean {str(folder / near[0])!r}?" if near else f"; {str(folder)!r} holds no {missing!r}"
    raise argparse.ArgumentTypeError(f"{text!r} does not exist{hint}")


def checkpoint(text: str) -> Path:
    """A file that is there, or the name of weights of the package."""
    return Path(text) if find_weights(text) is not None else existing(text)


def data_place(text: str) -> str | Path:
    """A file or folder that is there, or a URL; whether that can be read, only reading shows."""
    return text if "://" in text else existing(text)


def new_folder(text: str) -> Path:
    """A folder to write to; it need not be there, but it must be possible to make it."""
    return _writable(_named(text), is_folder=True)


def new_file(text: str) -> Path:
    """A file to write; its folder must be there."""
    path = _named(text)
    if not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f"cannot write {text!r}: the folder {str(path.parent)!r} does not exist")
    return _writable(path, is_folder=False)


def whole(minimum: int, maximum: int = 1_000_000) -> Callable[[str], int]:
    """A whole number from ``minimum`` to ``maximum``."""

    def read(text: str) -> int:
        if not text.lstrip("-").isdecimal() or int(text) < minimum:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {minimum}")
        if int(text) > maximum:
            raise argparse.ArgumentTypeError(f"{text!r} is too large; allowed is up to {maximum}")
        return int(text)

    return read


def fraction(minimum: float, maximum: float) -> Callable[[str], float]:
    """A number from ``minimum`` to ``maximum``."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not minimum <= value <= maximum:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {minimum:g} to {maximum:g}")
        return value

    return read


def one_of(kind: str, *allowed: str) -> Callable[[str], str]:
    """One of a few names."""

    def read(text: str) -> str:
        if text not in allowed:
            raise argparse.ArgumentTypeError(unknown_name(kind, text, allowed))
        return text

    return read


def add_data(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """``--data``: the videos."""
    parser.add_argument(
        "--data",
        type=data_place,
        required=required,
        metavar="PATH",
        help="the videos: a folder with one folder for each class, a .csv or .json list, or the folder of a data set "
        "(Something-Something, Kinetics); or what `vov3d pack` wrote, a folder or a URL",
    )


def add_machine(parser: argparse.ArgumentParser) -> None:
    """``--device`` and ``--workers``: facts about the machine."""
    parser.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:1, mps [auto]")
    parser.add_argument(
        "--workers", type=whole(0), metavar="N", help="processes that decode videos; 0: none beside this one [by cores]"
    )


def add_cache(parser: argparse.ArgumentParser) -> None:
    """``--cache``: small copies of the videos."""
    parser.add_argument(
        "--cache", type=new_folder, metavar="DIR", help="keep small copies of the videos there, which decode faster"
    )


def add_fast(parser: argparse.ArgumentParser) -> None:
    """``--fast``: another engine."""
    parser.add_argument(
        "--fast",
        type=_precision,
        nargs="?",
        const="fp32",
        metavar="fp32|bf16|int8",
        help="let the quickest engine of this machine compute, in fp32 (the same answers), bf16 or int8",
    )


def _precision(text: str) -> str:
    """A precision; argparse takes what follows for one, if only the flag stands there."""
    if Path(text).exists():
        raise argparse.ArgumentTypeError(f"{text!r} is no precision; write --fast=fp32, or the videos before --fast")
    return one_of("precision", "fp32", "bf16", "int8")(text)


def add_views(parser: argparse.ArgumentParser) -> None:
    """``--clips`` and ``--crops``: the views of a video."""
    parser.add_argument("--clips", type=whole(1), metavar="N", help="clips of each video [the recipe's test.num_clips]")
    parser.add_argument(
        "--crops", type=int, choices=(1, 3), metavar="1|3", help="crops of each clip [the recipe's test.num_crops]"
    )


def _named(text: str) -> Path:
    if not text.strip():
        raise argparse.ArgumentTypeError("the name is empty; is a variable of your shell unset?")
    return Path(text)


def _writable(path: Path, *, is_folder: bool) -> Path:
    if path.exists() and path.is_dir() != is_folder:
        raise argparse.ArgumentTypeError(f"{str(path)!r} is a {'file' if is_folder else 'folder'} already")
    nearest = next(parent for parent in (path.absolute(), *path.absolute().parents) if parent.exists())
    if is_folder and not nearest.is_dir():
        raise argparse.ArgumentTypeError(f"cannot make the folder {str(path)!r}: {str(nearest)!r} is a file")
    if not os.access(nearest, os.W_OK):
        read_only = sys.platform != "win32" and os.statvfs(nearest).f_flag & os.ST_RDONLY
        reason = "a read-only file system holds" if read_only else "no permission to write to"
        raise argparse.ArgumentTypeError(f"cannot write {str(path)!r}: {reason} {str(nearest)!r}")
    if is_folder and nearest != path.absolute():
        probe = nearest / f".vov3d-{os.getpid()}"
        try:
            probe.mkdir()  # some file systems, such as that of processes, take no folders
            probe.rmdir()
        except OSError as error:
            raise argparse.ArgumentTypeError(
                f"cannot make the folder {str(path)!r}: {str(nearest)!r} takes none ({error.strerror})"
            ) from error
    return path
