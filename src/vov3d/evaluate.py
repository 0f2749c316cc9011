"""``vov3d evaluate CHECKPOINT --data PATH``: the multi-view test, with its control."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from vov3d.build import build_cache, build_views, head_window
from vov3d.data.dataset import Broken, FrameOrder, ViewDataset
from vov3d.data.sampler import eval_shard
from vov3d.data.sources.renumber import renumbered
from vov3d.data.sources.row import LABEL_SEPARATOR
from vov3d.data.targets import check_loss, multi_hot
from vov3d.data.views import Views
from vov3d.distributed import ProcessGroup, process_group
from vov3d.errors import DataError, DecodeError
from vov3d.files import csv_text, write_text
from vov3d.inference import Activation, default_workers, threads_beside, video_probabilities
from vov3d.interrupts import ignore_interrupts, stop_for
from vov3d.locks import sole_writer
from vov3d.metrics import ClassScore, score, score_multi_label
from vov3d.plots import confusion_chart
from vov3d.trained import load_trained

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vov3d.data.sources import VideoItem
    from vov3d.models import ClipClassifier

SURE = 0.5
"""Of several labels a video, the probability from which ``predictions.csv`` says that a class is there."""


@dataclass(frozen=True)
class Missing:
    """A video that could not be decoded, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class VideoScore:
    """What the network says of one video.

    Attributes:
        item: the video.
        probs: probability of each class, [K].
    """

    item: VideoItem
    probs: Tensor


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


def evaluate(
    checkpoint: str | Path,
    data: str | Path,
    *,
    split: str = "val",
    clips: int | None = None,
    crops: int | None = None,
    crop: int | None = None,
    frame_order: FrameOrder = "given",
    out: str | Path | None = None,
    device: str = "auto",
    workers: int | None = None,
    batch_size: int | None = None,
    cache: str | Path | None = None,
    allow_missing: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Test a checkpoint: softmax at every position, mean over positions and views (Section 4.1).

    A network that was trained with ``train.loss`` sigmoid is tested with the sigmoid in place of the softmax.

    Args:
        checkpoint: a checkpoint of ours, or a published one.
        data: anything that ``vov3d check --data`` reads.
        split: which part of it; ``"all"`` for the whole.
        clips: clips of a video; by default as the recipe says.
        crops: crops of a clip, 1 or 3; likewise.
        crop: side of a crop in pixels; likewise.
        frame_order: ``"shuffled"`` or ``"reversed"`` show each clip's frames in another order, the control that tells
            how much of the accuracy comes from time.
        out: folder for ``metrics.json``, ``predictions.csv``, ``per_class.csv``, and, with one label a video,
            ``confusion.csv`` and a plot.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
        workers: processes that decode; by default half of the cores.
        batch_size: videos at a time; by default so that about 8 views are computed at once.
        cache: folder for small copies of the videos that decode faster.
        allow_missing: leave out, and report, videos that cannot be decoded.
        on_progress: called with (videos done, all videos).

    Raises:
        DecodeError: for the first video that cannot be decoded, unless ``allow_missing``.
        DataError: if the data has no such split, classes that the network does not know, or several labels a video
            where the network knows one.
        CheckpointError: if the checkpoint cannot be read.
        InUseError: if another process writes to ``out``.
    """
    from vov3d.data.sources import read_index

    started = time.perf_counter()
    trained = load_trained(checkpoint)
    loss = trained.recipe.train.loss
    index = renumbered(read_index(data, for_training=False), trained.labels, split)
    check_loss(loss, index)
    views = build_views(
        trained.recipe,
        index,
        split,
        num_clips=clips,
        num_crops=crops,
        crop=crop,
        frame_order=frame_order,
        cache=build_cache(trained.recipe, Path(cache) if cache is not None else None, index.root, crop),
    )
    workers = default_workers() if workers is None else workers
    folder = Path(out) if out is not None else None
    with process_group(device) as group, threads_beside(workers), ExitStack() as held:
        if folder is not None:
            group.from_main(partial(held.enter_context, sole_writer(folder)))
        scores, missing = score_videos(
            trained.model.to(group.device),
            views,
            group,
            window=head_window(trained.recipe),
            loss=loss,
            workers=workers,
            batch_size=batch_size,
            allow_missing=allow_missing,
            on_progress=on_progress,
        )
        if not scores:
            raise DataError(f"none of the {len(missing)} videos of {str(data)!r} could be decoded: {missing[0].reason}")
        metrics = summarise(
            scores,
            missing,
            index.labels,
            views,
            checkpoint=str(checkpoint),
            data=str(data),
            split=split,
            seconds=time.perf_counter() - started,
            loss=loss,
        )
        evaluation = Evaluation(metrics, tuple(scores), folder)
        if folder is not None and group.is_main:
            write_evaluation(evaluation, folder)
    return evaluation


def score_videos(
    model: ClipClassifier,
    views: ViewDataset,
    group: ProcessGroup,
    *,
    window: tuple[int, int, int] | None,
    loss: Activation = "softmax",
    workers: int | None = None,
    batch_size: int | None = None,
    allow_missing: bool = True,
    on_progress: Callable[[int, int], None] | None = None,
    asked_to_stop: Callable[[], int] = lambda: 0,
) -> tuple[list[VideoScore], list[Missing]]:
    """Return the class probabilities of every video, each counted once over all processes.

    Args:
        model: the network, on the group's device; its mode is restored.
        views: the videos.
        group: the processes that share them.
        window: pooling window of the head; ``None`` pools over the whole map.
        loss: ``train.loss`` of the recipe, which says what makes probabilities of logits.
        workers: processes that decode.
        batch_size: videos at a time; by default so that about 8 views are computed at once.
        allow_missing: collect videos that cannot be decoded, instead of failing on the first.
        on_progress: called with (videos done, all videos) of this process.
        asked_to_stop: says which signal asked to stop, 0 for none; then all processes do.

    Raises:
        DecodeError: for the first video found that cannot be decoded, unless ``allow_missing``; in every process.
    """
    mine = eval_shard(len(views), group.rank, group.world_size)
    loader: DataLoader[Views | Broken] = DataLoader(
        views,
        sampler=mine,
        batch_size=batch_size or max(1, 8 // (views.num_clips * views.num_crops)),
        num_workers=default_workers() if workers is None else workers,
        collate_fn=list,
        worker_init_fn=ignore_interrupts,
    )
    was_training = model.training
    model.eval()
    found: list[tuple[int, Tensor]] = []
    missing: list[tuple[int, Missing]] = []
    done = 0
    try:
        for batch in loader:
            whole = [one for one in batch if isinstance(one, Views)]
            missing.extend((one.index, Missing(one.path, one.reason)) for one in batch if isinstance(one, Broken))
            if missing and not allow_missing:
                break  # the other processes wait below, where all of them hear of it
            probs = video_probabilities(model, [one.on(group.device) for one in whole], group.device, window, loss)
            found.extend((one.index, row) for one, row in zip(whole, probs, strict=True))
            done += len(batch)
            if on_progress is not None:
                on_progress(done, len(mine))
            if asked_to_stop():
                break  # likewise
    finally:
        model.train(was_training)
    stop_for(group.largest(asked_to_stop()))
    lost = sorted(group.gather(missing), key=lambda one: one[0])
    if lost and not allow_missing:
        first = lost[0][1]
        raise DecodeError(first.path, f"{first.reason}; --allow-missing leaves such videos out and reports them")
    scored = sorted(group.gather(found), key=lambda one: one[0])
    return [VideoScore(views.items[index], probs) for index, probs in scored], [one for _, one in lost]


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
