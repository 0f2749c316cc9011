"""The folder of one run: what is written where, each file whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from vov3d.checkpoint import JSON, RESUME_FORMAT, read_checkpoint, write_checkpoint
from vov3d.environment import describe_environment
from vov3d.errors import RunFolderError
from vov3d.files import csv_text, write_text

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

MODEL, OPTIMIZER = "model.", "optimizer."


@dataclass(frozen=True)
class Position:
    """Where a run stands: steps of this epoch, and whole epochs, that are behind it."""

    epoch: int
    step: int


@dataclass(frozen=True)
class EpochRow:
    """One line of ``log.csv``; accuracies are fractions, validation is empty where there was none."""

    epoch: int
    step: int
    lr: float
    train_loss: float
    train_top1: float
    val_loss: float | None
    val_top1: float | None
    val_top5: float | None
    clips_per_second: float
    seconds: float
    quarantined: int


@dataclass(frozen=True)
class ResumeState:
    """All that a run needs to go on as if it had never stopped.

    Attributes:
        position: where it stands.
        model: the network's state dict.
        optimizer: what the optimiser remembers of each parameter; empty before the first step.
        loss_scale: the state of the fp16 loss scaler; empty in other precisions.
        tally: summed loss, right answers and clips of the steps of this epoch.
        rows: the log so far.
        quarantine: path -> reason of the videos that could not be decoded.
        best_top1: highest validation accuracy so far; ``None`` before the first.
        recipe: the resolved recipe that the run began with.
        data: fingerprint of the training videos.
    """

    position: Position
    model: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]
    loss_scale: Mapping[str, float]
    tally: tuple[float, float, float]
    rows: Sequence[EpochRow]
    quarantine: Mapping[str, str]
    best_top1: float | None
    recipe: JSON
    data: str


class RunFolder:
    """The files of a run.

    Args:
        path: the folder; made by `begin`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.last = path / "last.safetensors"
        self.best = path / "best.safetensors"
        self.resumable = path / "resume.safetensors"
        self.log = path / "log.csv"
        self._tensorboard: SummaryWriter | None = None

    def check(self, *, resume: bool) -> None:
        """See to it that a run can begin or go on here; nothing is written.

        Raises:
            RunFolderError: if it holds a run and ``resume`` is not given, or there is nothing to resume.
        """
        where = repr(str(self.path))
        if resume and not self.resumable.is_file():
            raise RunFolderError(f"nothing to resume in {where}: it has no resume.safetensors; leave --resume out")
        if not resume and self.resumable.exists():
            raise RunFolderError(f"{where} already holds a run; add --resume to go on, or give another --out")
        if not resume and (self.last.exists() or self.best.exists()):
            raise RunFolderError(f"{where} holds a run that cannot be resumed; remove it, or give another --out")
        if self.path.exists() and not self.path.is_dir():
            raise RunFolderError(f"--out {str(self.path)!r} is a file; give a folder")

    def begin(self, recipe_yaml: str, *, data: str, device: str) -> None:
        """Make the folder and write down what is about to be done."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_text(self.path / "recipe.yaml", recipe_yaml)
        environment = describe_environment(data=data, device=device)
        write_text(self.path / "environment.json", json.dumps(environment, indent=1) + "\n")

    def write_log(self, rows: Sequence[EpochRow], quarantine: Mapping[str, str]) -> None:
        """Write ``log.csv`` and, if any video was quarantined, ``quarantine.csv``."""
        header = [field.name for field in fields(EpochRow)]
        write_text(self.log, csv_text([header, *([_cell(value) for value in asdict(row).values()] for row in rows)]))
        if quarantine:
            write_text(self.path / "quarantine.csv", csv_text([["path", "reason"], *map(list, quarantine.items())]))

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

    def save_resume(self, state: ResumeState) -> None:
        """Write ``resume.safetensors``."""
        tensors = {MODEL + name: tensor for name, tensor in state.model.items()}
        tensors |= {OPTIMIZER + name: tensor for name, tensor in state.optimizer.items()}
        description: dict[str, JSON] = {
            "position": asdict(state.position),
            "loss_scale": dict(state.loss_scale),
            "tally": list(state.tally),
            "rows": [asdict(row) for row in state.rows],
            "quarantine": dict(state.quarantine),
            "best_top1": state.best_top1,
            "recipe": state.recipe,
            "data": state.data,
        }
        write_checkpoint(self.resumable, tensors, description, RESUME_FORMAT)

    def load_resume(self) -> ResumeState:
        """Read ``resume.safetensors``.

        Raises:
            CheckpointError: if it is damaged.
        """
        checkpoint = read_checkpoint(self.resumable, RESUME_FORMAT)
        told = json.loads(json.dumps(checkpoint.description))
        return ResumeState(
            position=Position(**told["position"]),
            model=_under(MODEL, checkpoint.tensors),
            optimizer=_under(OPTIMIZER, checkpoint.tensors),
            loss_scale=told["loss_scale"],
            tally=tuple(told["tally"]),
            rows=[EpochRow(**row) for row in told["rows"]],
            quarantine=told["quarantine"],
            best_top1=told["best_top1"],
            recipe=told["recipe"],
            data=told["data"],
        )


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _cell(value: float | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.6g}"
