"""The folder of one run: what is written where, each file whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vov3d.environment import describe_environment
from vov3d.errors import RunFolderError
from vov3d.files import csv_text, remove_leftovers, write_text
from vov3d.resume import EpochRow, ResumeFolder

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class RunFolder:
    """The files of a run.

    Args:
        path: the folder; made by `begin`.
        keep: how many of the newest states to resume from stay.
    """

    def __init__(self, path: Path, keep: int = 3) -> None:
        self.path = path
        self.last = path / "last.safetensors"
        self.best = path / "best.safetensors"
        self.states = ResumeFolder(path / "resume", keep)
        self.log = path / "log.csv"
        self._tensorboard: SummaryWriter | None = None

    def check(self, *, resume: bool | Literal["auto"]) -> bool:
        """See to it that a run can begin or go on here; nothing is written.

        Returns:
            Whether it goes on.

        Raises:
            RunFolderError: if it holds a run and ``resume`` is false, or there is nothing to resume and it is true.
        """
        where = repr(str(self.path))
        begun = bool(self.states.files())
        if resume is True and not begun:
            raise RunFolderError(f"nothing to resume in {where}: it has no resume/*.safetensors; leave --resume out")
        if not resume and begun:
            raise RunFolderError(f"{where} already holds a run; add --resume to go on, or give another --out")
        if not begun and (self.last.exists() or self.best.exists()):
            raise RunFolderError(f"{where} holds a run that cannot be resumed; remove it, or give another --out")
        return begun

    def begin(self, recipe_yaml: str, *, data: str, device: str) -> None:
        """Make the folder and write down what is about to be done."""
        self.path.mkdir(parents=True, exist_ok=True)
        for folder in (self.path, self.states.path):
            remove_leftovers(folder)
        write_text(self.path / "recipe.yaml", recipe_yaml)
        environment = describe_environment(data=data, device=device)
        write_text(self.path / "environment.json", json.dumps(environment, indent=1) + "\n")

    def write_log(self, rows: Sequence[EpochRow], quarantine: Mapping[str, str]) -> None:
        """Write ``log.csv`` and, if any video was quarantined, ``quarantine.csv``."""
        header = [field.name for field in fields(EpochRow)]
        write_text(self.log, csv_text([header, *([_cell(value) for value in asdict(row).values()] for row in rows)]))
        self.write_quarantine(quarantine)

    def write_quarantine(self, quarantine: Mapping[str, str]) -> None:
        """Write ``quarantine.csv``: which videos could not be decoded, and why; where all could, there is none."""
        file = self.path / "quarantine.csv"
        if quarantine:
            write_text(file, csv_text([["path", "reason"], *map(list, quarantine.items())]))
        else:
            file.unlink(missing_ok=True)

    def write_tensorboard(self, row: EpochRow) -> None:
        """Add an epoch to ``tensorboard/``, if the package is installed (``pip install 'vov3d[tensorboard]'``)."""
        if self._tensorboard is None:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                return
            self._tensorboard = SummaryWriter(str(self.path / "tensorboard"))
        for name, value in asdict(row).items():
            group = name.partition("_")[0] if name.startswith(("train_", "val_")) else "run"
            if value is not None and name not in ("epoch", "step"):
                self._tensorboard.add_scalar(f"{group}/{name}", value, global_step=row.epoch)
        self._tensorboard.flush()


def _cell(value: float | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.6g}"
