"""What a test found: its numbers, and the files that hold them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from vov3d.data.sources.row import LABEL_SEPARATOR
from vov3d.data.targets import multi_hot
from vov3d.files import csv_text, write_text
from vov3d.metrics import ClassScore, score, score_multi_label
from vov3d.plots import confusion_chart
from vov3d.scoring import Missing, VideoScore

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vov3d.bound import Bound
    from vov3d.data.dataset import ViewDataset
    from vov3d.inference import Activation

SURE = 0.5
"""Of several labels a video, the probability from which ``predictions.csv`` says that a class is there."""


@dataclass(frozen=True)
class Metrics:
    """What a test found; accuracies are fractions. With several labels a video they mean what `vov3d.metrics` says.

    Attributes:
        checkpoint: the file tested.
        data: the data set.
        split: the part of it.
        num_videos: videos scored.
        num_classes: K.
        top1: fraction of videos whose best class is right.
        top5: fraction of videos with the right class among the best five.
        macro_top1: mean over classes of their own top-1; ``None`` with several labels a video.
        loss: mean negative log of the right class's probability; of a network trained with ``train.loss`` sigmoid, mean
            binary cross-entropy over videos and classes.
        num_clips: clips of a video.
        num_crops: crops of a clip.
        crop: side of a crop, in pixels.
        frame_order: ``given``, or a control that destroys or reverses time.
        labels: class names.
        per_class: top-1 of each class; with several labels a video, average precision.
        confusion: rows are classes, columns what was predicted; empty with several labels a video.
        missing: videos that could not be decoded, left out by ``allow_missing``.
        chance: top-1 of guessing; with several labels a video, about the mean average precision of guessing.
        seconds: how long it took.
        multi_label: whether a video may have several labels, or none.
        mean_average_precision: mean over classes of their average precision; ``None`` with one label a video.
        bound: where the time went, in the first process.
        engine: what computed in the network's place (`vov3d.optimize`), and how far off it is.
    """

    checkpoint: str
    data: str
    split: str
    num_videos: int
    num_classes: int
    top1: float
    top5: float
    macro_top1: float | None
    loss: float
    num_clips: int
    num_crops: int
    crop: int
    frame_order: str
    labels: tuple[str, ...]
    per_class: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]
    missing: tuple[Missing, ...]
    chance: float
    seconds: float
    multi_label: bool = False
    mean_average_precision: float | None = None
    bound: Bound | None = None
    engine: str | None = None

    @property
    def headline(self) -> float:
        """The number by which networks are compared: higher is better."""
        return (self.mean_average_precision or 0.0) if self.multi_label else self.top1

    @property
    def headline_name(self) -> str:
        """What `headline` is called."""
        return "mAP" if self.multi_label else "top-1"


@dataclass(frozen=True)
class Evaluation:
    """A finished test.

    Attributes:
        metrics: the numbers.
        scores: probabilities per video, in the order of the data set.
        out: folder with the files, if any were written.
    """

    metrics: Metrics
    scores: tuple[VideoScore, ...] = field(repr=False)
    out: Path | None = None


def summarise(
    scores: list[VideoScore],
    missing: list[Missing],
    labels: tuple[str, ...],
    views: ViewDataset,
    *,
    checkpoint: str,
    data: str,
    split: str,
    seconds: float,
    loss: Activation,
    bound: Bound | None = None,
    engine: str | None = None,
) -> Metrics:
    """Return the metrics of scored videos.

    Args:
        scores: what the network says of each video, one at least.
        missing: videos that could not be decoded.
        labels: class names.
        views: how the videos were shown, and whether they have several labels.
        checkpoint: see `Metrics`, as for all names that are not explained here.
        data: likewise.
        split: likewise.
        seconds: likewise.
        loss: ``train.loss`` of the recipe.
        bound: see `Metrics`.
        engine: likewise.
    """
    probs = torch.stack([one.probs for one in scores])
    targets = torch.stack([multi_hot(one.item.classes, len(labels)) for one in scores])
    if views.multi_label:
        result = score_multi_label(probs.numpy(), targets.numpy(), labels)
    else:
        result = score(probs.numpy(), np.array([one.item.label for one in scores]), labels)
    return Metrics(
        checkpoint=checkpoint,
        data=data,
        split=split,
        num_videos=result.num_videos,
        num_classes=result.num_classes,
        top1=result.top1,
        top5=result.top5,
        macro_top1=result.macro_top1,
        loss=_loss(probs, targets, loss),
        num_clips=views.num_clips,
        num_crops=views.num_crops,
        crop=views.crop,
        frame_order=views.frame_order,
        labels=result.labels,
        per_class=result.per_class,
        confusion=result.confusion,
        missing=tuple(missing),
        chance=result.chance,
        seconds=seconds,
        multi_label=result.multi_label,
        mean_average_precision=result.mean_average_precision,
        bound=bound,
        engine=engine,
    )


def _loss(probs: Tensor, targets: Tensor, loss: Activation) -> float:
    """Return the mean cross-entropy of the probabilities [V, K] of videos: of their class, or of all classes."""
    targets = targets.to(probs.dtype)
    of_classes = targets * probs.clamp_min(1e-12).log()
    if loss == "softmax":
        return float(-of_classes.sum(1).mean())
    return float(-(of_classes + (1 - targets) * (1 - probs).clamp_min(1e-12).log()).mean())


def write_evaluation(evaluation: Evaluation, out: Path) -> None:
    """Write the files of a test: metrics as JSON, predictions, classes and confusion as CSV, confusion as a picture.

    With several labels a video there is no confusion: a wrong answer stands in no one's place.
    """
    metrics = evaluation.metrics
    write_text(out / "metrics.json", json.dumps(asdict(metrics), indent=1, ensure_ascii=False) + "\n")
    label = "labels" if metrics.multi_label else "label"
    header = ["name", "path", label, "predicted", "probability", "correct"]
    if metrics.multi_label:
        header.append("found")
    rows = [_row(one, metrics) for one in evaluation.scores]
    write_text(out / "predictions.csv", csv_text([header, *rows]))
    column = "average_precision" if metrics.multi_label else "top1"
    values = [one.average_precision if metrics.multi_label else one.top1 for one in metrics.per_class]
    classes = [
        [one.label, str(one.num_videos), "" if value is None else f"{value:.4f}"]
        for one, value in zip(metrics.per_class, values, strict=True)
    ]
    write_text(out / "per_class.csv", csv_text([["label", "num_videos", column], *classes]))
    if metrics.multi_label:
        return
    counts = [[label, *map(str, row)] for label, row in zip(metrics.labels, metrics.confusion, strict=True)]
    write_text(out / "confusion.csv", csv_text([["label", *metrics.labels], *counts]))
    write_text(out / "confusion.svg", confusion_chart(metrics.labels, metrics.confusion))


def _row(one: VideoScore, metrics: Metrics) -> list[str]:
    """Return a row of ``predictions.csv``."""
    best = int(one.probs.argmax())
    row = [
        one.item.name,
        str(one.item.place),
        _joined(one.item.classes, metrics.labels),
        metrics.labels[best],
        f"{float(one.probs[best]):.4f}",
        str(best in one.item.classes).lower(),
    ]
    if metrics.multi_label:
        row.append(_joined((one.probs >= SURE).nonzero().flatten().tolist(), metrics.labels))
    return row


def _joined(classes: Iterable[int], labels: tuple[str, ...]) -> str:
    """Return class names in one cell of a table, as a list of videos has them."""
    return LABEL_SEPARATOR.join(labels[label] for label in classes)
