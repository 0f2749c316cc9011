"""What a run was made with: versions, machine and command, for ``environment.json``."""

from __future__ import annotations

import os
import platform
import re
import shlex
import subprocess
import sys
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import TypedDict

from vov3d.version import __version__

CHECKOUT = Path(__file__).parents[2]
"""The folder that holds ``.git`` where the package runs from a checkout."""


class Environment(TypedDict):
    """The content of ``environment.json``.

    ``commit`` ends in ``-dirty`` where tracked files were changed; it is None outside a checkout. ``cores`` are those
    that this process may use. ``memory_gib`` is None where the system does not tell.
    """

    vov3d: str
    commit: str | None
    python: str
    torch: str
    packages: dict[str, str]
    platform: str
    processor: str
    cores: int
    memory_gib: float | None
    gpus: list[str]
    command: str
    started: str
    data: str
    device: str


def describe_environment(data: str = "", device: str = "", command: str | None = None) -> Environment:
    """Everything that is needed to know later what produced a result.

    Nothing here can fail a run: what cannot be found out is None or empty.

    Args:
        data: the data set as the user named it.
        device: the device that was chosen, such as ``"cuda:0"``.
        command: the command line; that of this process by default.
    """
    import torch

    return Environment(
        vov3d=__version__,
        commit=_commit(),
        python=platform.python_version(),
        torch=torch.__version__,
        packages=_packages(),
        platform=platform.platform(),
        processor=_processor(),
        cores=_cores(),
        memory_gib=_memory_gib(),
        gpus=_gpus(),
        command=_command() if command is None else command,
        started=datetime.now().astimezone().isoformat(timespec="seconds"),
        data=data,
        device=device,
    )


def _output(*command: str) -> str | None:
    """What a program prints, or None where it is absent, fails, prints nothing or takes longer than 5 s."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout.strip() or None


def _commit() -> str | None:
    if not (CHECKOUT / ".git").exists():  # an installed package may lie inside some other project's checkout
        return None
    return _output("git", "-C", str(CHECKOUT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")


def _packages() -> dict[str, str]:
    """The installed versions of what vov3d depends on, except for the tools of its developers."""
    try:
        requirements = metadata.requires("vov3d") or []
    except metadata.PackageNotFoundError:
        return {}
    versions = {}
    for requirement in requirements:
        name, marker = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0], requirement.partition(";")[2]
        if "dev" in marker:
            continue
        try:
            versions[name.lower()] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return dict(sorted(versions.items()))


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        name = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(errors="replace"), re.MULTILINE)
        if name:
            return name[1].strip()
    if sys.platform == "darwin":
        return _output("sysctl", "-n", "machdep.cpu.brand_string") or platform.machine()
    return platform.processor() or platform.machine()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_gib() -> float | None:
    try:
        total_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    return round(total_bytes / 2**30, 1)


def _gpus() -> list[str]:
    import torch

    if torch.cuda.is_available():
        return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return ["Apple GPU (mps)"] if torch.backends.mps.is_available() else []


def _command() -> str:
    """The command line of this process, as it would be typed again."""
    program = Path(sys.argv[0])
    if program.stem == "vov3d" or (program.name == "__main__.py" and program.parent.name == "vov3d"):
        return shlex.join(["vov3d", *sys.argv[1:]])
    return shlex.join(["python", *sys.argv])
