"""Reading a run folder: the files that training and evaluation wrote, as plain data; each of them may be absent."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from vov3d.checkpoint import read_checkpoint
from vov3d.data.sources.row import LABEL_SEPARATOR
from vov3d.errors import DataError
from vov3d.metrics import ClassScore

FRAME_ORDERS = {"given": "evaluation", "shuffled": "evaluation-shuffled", "reversed": "evaluation-reversed"}
"""The evaluations that a run may hold, by the order in which the network saw the frames."""

T = TypeVar("T")


@dataclass(frozen=True)
class Epoch:
    """The part of a row of ``log.csv`` that the report shows; what was not measured is NaN."""

    epoch: int
    train_loss: float = math.nan
    train_top1: float = math.nan
    val_loss: float = math.nan
    val_top1: float = math.nan
    val_map: float = math.nan
    clips_per_second: float = math.nan
    seconds: float = math.nan


@dataclass(frozen=True)
class LeftOut:
    """A video that could not be used."""

    path: str
    reason: str = ""


@dataclass(frozen=True)
class Evaluation:
    """The part of ``metrics.json`` that the report shows; with several labels a video, ``top1`` is the hit at 1."""

    data: str
    split: str
    num_videos: int
    num_classes: int
    top1: float
    top5: float
    macro_top1: float | None
    num_clips: int
    num_crops: int
    crop: int
    labels: tuple[str, ...]
    per_class: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]
    missing: tuple[LeftOut, ...]
    chance: float
    multi_label: bool = False
    mean_average_precision: float | None = None

    @property
    def headline(self) -> float:
        """The number by which networks are compared, a fraction."""
        return (self.mean_average_precision or 0.0) if self.multi_label else self.top1


@dataclass(frozen=True)
class PredictedVideo:
    """One row of ``predictions.csv``; the label is empty where the true class is not known.

    Where a video may have several labels, ``labels`` has them in place of ``label``, "|" between two of them.
    """

    name: str
    path: str
    predicted: str
    probability: float
    label: str = ""
    labels: str = ""

    @property
    def classes(self) -> tuple[str, ...]:
        """The true classes."""
        return tuple(self.labels.split(LABEL_SEPARATOR)) if self.labels else (self.label,) if self.label else ()

    @property
    def correct(self) -> bool:
        """Whether the answer is the true class, or one of them."""
        return self.predicted in self.classes


@dataclass(frozen=True)
class Guess:
    """A class and how probable the network holds it."""

    label: str
    probability: float


@dataclass(frozen=True)
class SinglePrediction:
    """The content of ``prediction.json``: what the network says about one video."""

    source: str
    top: tuple[Guess, ...]
    seconds: float | None = None
    num_frames: int | None = None


@dataclass(frozen=True)
class Machine:
    """The content of ``environment.json``, where every value may be absent."""

    vov3d: str | None = None
    commit: str | None = None
    python: str | None = None
    torch: str | None = None
    packages: Mapping[str, str] = field(default_factory=dict)
    platform: str | None = None
    processor: str | None = None
    cores: int | None = None
    memory_gib: float | None = None
    gpus: tuple[str, ...] = ()
    command: str | None = None
    started: str | None = None
    data: str | None = None
    device: str | None = None


@dataclass(frozen=True)
class Run:
    """Everything that a run folder says."""

    folder: Path
    epochs: tuple[Epoch, ...]
    evaluations: Mapping[str, Evaluation]
    predictions: tuple[PredictedVideo, ...]
    prediction: SinglePrediction | None
    quarantined: tuple[LeftOut, ...]
    machine: Machine
    recipe_text: str | None
    checkpoint: Path | None
    num_parameters: int | None


def read_run(folder: Path) -> Run:
    """The content of a run folder.

    Raises:
        DataError: the folder is no run, or a file in it is damaged.
        CheckpointError: the checkpoint in it is damaged.
    """
    _check_is_run(folder)
    evaluations = {}
    for order, name in FRAME_ORDERS.items():
        evaluation = _read_json(folder / name / "metrics.json", TypeAdapter(Evaluation))
        if evaluation is not None:
            evaluations[order] = _checked(evaluation, folder / name / "metrics.json")
    recipe = folder / "recipe.yaml"
    weights = (folder / "best.safetensors", folder / "last.safetensors")
    checkpoint = next((path for path in weights if path.is_file()), None)
    epochs = _read_rows(folder / "log.csv", TypeAdapter(Epoch))
    return Run(
        folder=folder,
        epochs=tuple({row.epoch: row for row in epochs}.values()),  # of an epoch that was run again, the last row
        evaluations=evaluations,
        predictions=_read_rows(folder / FRAME_ORDERS["given"] / "predictions.csv", TypeAdapter(PredictedVideo)),
        prediction=_read_json(folder / "prediction.json", TypeAdapter(SinglePrediction)),
        quarantined=_read_rows(folder / "quarantine.csv", TypeAdapter(LeftOut)),
        machine=_read_json(folder / "environment.json", TypeAdapter(Machine)) or Machine(),
        recipe_text=recipe.read_text(encoding="utf-8", errors="replace") if recipe.is_file() else None,
        checkpoint=checkpoint,
        num_parameters=count_parameters(checkpoint) if checkpoint else None,
    )


def count_parameters(checkpoint: Path) -> int:
    """How many learned numbers a checkpoint holds; running statistics of batch norm are not learned.

    Raises:
        CheckpointError: the file cannot be read.
    """
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    tensors = read_checkpoint(checkpoint).tensors
    return sum(tensor.numel() for name, tensor in tensors.items() if not name.endswith(statistics))


def _check_is_run(folder: Path) -> None:
    expected = ["log.csv", "recipe.yaml", *(f"{name}/metrics.json" for name in FRAME_ORDERS.values())]
    if any((folder / name).is_file() for name in expected):
        return
    if not folder.is_dir():
        raise DataError(f"there is no run folder {str(folder)!r}; give the folder that 'vov3d train' wrote with --out")
    hint = f"; did you mean {str(folder.parent)!r}?" if (folder / "metrics.json").is_file() else ""
    raise DataError(
        f"{str(folder)!r} is not a run folder{hint}: expected log.csv (of 'vov3d train') "
        "or evaluation/metrics.json (of 'vov3d evaluate') in it"
    )


def _checked(evaluation: Evaluation, path: Path) -> Evaluation:
    sizes = {len(evaluation.labels), len(evaluation.per_class)}
    if not evaluation.multi_label:
        sizes |= {len(evaluation.confusion), *(len(row) for row in evaluation.confusion)}
    if sizes != {evaluation.num_classes} or not evaluation.num_classes or not evaluation.num_videos:
        raise DataError(f"{str(path)!r} contradicts itself: labels, per_class and confusion need num_classes entries")
    return evaluation


def _read_json(path: Path, adapter: TypeAdapter[T]) -> T | None:
    if not path.is_file():
        return None
    try:
        return adapter.validate_json(path.read_bytes())
    except ValidationError as error:
        raise _damaged(path, error) from error


def _read_rows(path: Path, adapter: TypeAdapter[T]) -> tuple[T, ...]:
    """The rows of a table; an empty cell takes the default of its field."""
    if not path.is_file():
        return ()
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        rows = list(csv.DictReader(file))
    try:
        return tuple(adapter.validate_python({key: cell for key, cell in row.items() if key and cell}) for row in rows)
    except ValidationError as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: ValidationError) -> DataError:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "content"
    return DataError(f"{str(path)!r} is damaged: {where}: {first['msg']}; remove it or write it again")
