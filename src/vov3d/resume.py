"""The states that a run can go on from: the newest few, each whole or passed over."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from torch import Tensor

from vov3d.checkpoint import JSON, RESUME_FORMAT, Checkpoint, read_checkpoint, write_checkpoint
from vov3d.errors import CheckpointError, RunFolderError

log = logging.getLogger("vov3d")

_NAME = re.compile(r"epoch-(\d+)-step-(\d+)\.safetensors")


@dataclass(frozen=True, order=True)
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
    val_map: float | None = None

    @property
    def accuracy(self) -> float | None:
        """The number by which networks are compared."""
        return self.val_map if self.val_map is not None else self.val_top1


@dataclass(frozen=True)
class StepMemory:
    """What the next step of the optimiser depends on, beside the batch.

    Attributes:
        model: the network's state dict.
        optimizer: what the optimiser remembers of each parameter; empty before the first step.
        average: the moving average of the weights; empty without one.
        loss_scale: the state of the fp16 loss scaler; empty in other precisions.
    """

    model: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]
    average: Mapping[str, Tensor]
    loss_scale: Mapping[str, float]


@dataclass(frozen=True)
class ResumeState(StepMemory):
    """All that a run needs to go on as if it had never stopped; its random draws are functions of its position.

    Attributes:
        position: where it stands.
        tally: summed loss, right answers and clips of the steps of this epoch.
        rows: the log so far.
        quarantine: split -> path -> reason of the videos that could not be decoded.
        best: highest validation accuracy so far; ``None`` before the first.
        recipe: the resolved recipe that the run began with.
        data: fingerprint of what it reads (see `vov3d.data.fingerprint`).
        norm_clips: clips that batch norm goes over.
    """

    position: Position
    tally: tuple[float, float, float]
    rows: Sequence[EpochRow]
    quarantine: Mapping[str, Mapping[str, str]]
    best: float | None
    recipe: JSON
    data: Mapping[str, str]
    norm_clips: int


_TENSORS = ("model", "optimizer", "average")
_OTHERS = tuple(field.name for field in fields(ResumeState) if field.name not in _TENSORS)


class ResumeFolder:
    """The newest states of a run, one file each.

    Args:
        path: the folder; made when the first state is written.
        keep: how many states stay.
    """

    def __init__(self, path: Path, keep: int = 3) -> None:
        self.path, self.keep = path, keep

    def files(self) -> list[Path]:
        """Return the files of all states, the newest first."""
        found = [(match, file) for file in _listing(self.path) if (match := _NAME.fullmatch(file.name))]
        return [file for match, file in sorted(found, key=lambda one: [-int(number) for number in one[0].groups()])]

    def save(self, state: ResumeState) -> Path:
        """Write a state, then remove those that are too old to keep, and any that lie ahead of it."""
        path = self.path / f"epoch-{state.position.epoch:06d}-step-{state.position.step:06d}.safetensors"
        tensors = {f"{kind}.{name}": tensor for kind in _TENSORS for name, tensor in getattr(state, kind).items()}
        write_checkpoint(path, tensors, _plain(state), RESUME_FORMAT)
        files = self.files()
        newer = files[: files.index(path)]  # they could not be read, or this run went another way
        for file in (*newer, *files[len(newer) + self.keep :]):
            file.unlink(missing_ok=True)
        return path

    def load(self) -> ResumeState:
        """Read the newest state that is whole (see `newest`)."""
        return self.read(self.newest())

    def read(self, name: str) -> ResumeState:
        """Read the state of this name.

        Raises:
            RunFolderError: if this process does not find it whole.
        """
        try:
            return _state(read_checkpoint(self.path / name, RESUME_FORMAT))
        except (CheckpointError, OSError) as error:
            raise RunFolderError(f"{error}; all processes must see the same run folder") from error

    def newest(self) -> str:
        """Return the name of the newest state that is whole; newer ones are passed over, and the log says so.

        Raises:
            RunFolderError: if there is none.
        """
        reasons: list[str] = []
        for file in self.files():
            try:
                read_checkpoint(file, RESUME_FORMAT)
            except (CheckpointError, OSError) as error:
                reasons.append(str(error))
                continue
            for reason in reasons:
                log.warning("passed over: %s", reason)
            return file.name
        told = f"; the newest: {reasons[0]}" if reasons else ""
        raise RunFolderError(f"nothing to resume in {str(self.path)!r}: none of {len(reasons)} states is whole{told}")


def _plain(state: ResumeState) -> dict[str, JSON]:
    told = {name: getattr(state, name) for name in _OTHERS}
    told["position"] = asdict(state.position)
    told["rows"] = [asdict(row) for row in state.rows]
    document: dict[str, JSON] = json.loads(json.dumps(told))
    return document


def _state(checkpoint: Checkpoint) -> ResumeState:
    told = json.loads(json.dumps(checkpoint.description))
    content = {name: told[name] for name in _OTHERS}
    content["position"] = Position(**told["position"])
    content["rows"] = [EpochRow(**row) for row in told["rows"]]
    content["tally"] = tuple(told["tally"])
    for kind in _TENSORS:
        content[kind] = {
            name.removeprefix(f"{kind}."): tensor
            for name, tensor in checkpoint.tensors.items()
            if name.startswith(f"{kind}.")
        }
    return ResumeState(**content)


def _listing(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []
