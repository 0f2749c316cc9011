"""Telling a packed set from other folders."""

from __future__ import annotations

from pathlib import Path

PACK_FILE = "pack.json"
FORMAT = "vov3d pack"

_FIRST_BYTES = f'{{"format": "{FORMAT}"'.encode()


def is_pack(folder: Path) -> bool:
    """Whether a packed set lies in a folder on disk, damaged or not; another file of that name may lie there too."""
    file = folder / PACK_FILE
    if not file.is_file():
        return False
    with file.open("rb") as opened:
        return opened.read(len(_FIRST_BYTES)) == _FIRST_BYTES or any(folder.glob("*-000000.tar"))
