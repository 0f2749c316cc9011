"""The last step of every source: a complete index, or one line that says why there can be none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from vov3d.data.sources.index import VideoIndex, VideoItem
from vov3d.data.sources.splits import settle_splits
from vov3d.errors import DataError

_NAMES_SHOWN = 5


def assemble(
    root: Path,
    kind: str,
    labels: Sequence[str],
    parts: Mapping[str, Sequence[VideoItem]],
    notes: Sequence[str],
    *,
    val_fraction: float,
    seed: int,
    flip: str = "labels",
    frame_fps: float | None = None,
    for_training: bool = True,
    multi_label: bool = False,
) -> VideoIndex:
    """Settle the splits and check that every class that is measured can be learned.

    Args:
        root: see `VideoIndex`, as for all names that are not explained here.
        kind: layout that was found.
        labels: class names by class id.
        parts: videos of each split as given; videos without a split are "train" alone.
        notes: what the reader has to say.
        val_fraction: share of an automatic split.
        seed: of an automatic split.
        flip: "none" or "labels".
        frame_fps: of frame folders.
        for_training: see `read_index`; without it any split with a video will do.
        multi_label: whether a video may show several classes.

    Raises:
        DataError: for no video in train, fewer than two classes, or a class that train lacks.
    """
    found = [split for split, items in parts.items() if items]
    if "train" not in found and (for_training or not found):
        raise DataError(
            f"{root} has no video in the split 'train'" + (f", only in {', '.join(found)}" if found else "")
        )
    if "train" in found:
        splits, split_notes = settle_splits(parts, val_fraction, seed, multi_label=multi_label)
    else:
        splits, split_notes = {split: tuple(parts[split]) for split in found}, ()
    seen = {split: {label for item in items for label in item.classes} for split, items in splits.items()}
    if for_training:
        _check_learnable(root, labels, splits, seen, multi_label=multi_label)
    unmeasured = [labels[label] for label in sorted(seen.get("train", set()) - seen.get("val", set()))]
    unused = [name for label, name in enumerate(labels) if not any(label in present for present in seen.values())]
    return VideoIndex(
        root=root,
        kind=kind,
        labels=tuple(labels),
        splits=splits,
        notes=(
            *notes,
            *split_notes,
            *([_labels_note(splits)] if multi_label else []),
            *(
                [f"classes without a video in val, whose accuracy is not measured: {quoted(unmeasured)}"]
                if unmeasured
                else []
            ),
            *([f"classes without any video: {quoted(unused)}"] if unused else []),
        ),
        flip=flip,
        frame_fps=frame_fps,
        multi_label=multi_label,
    )


def check_learnable(index: VideoIndex) -> None:
    """Raise `DataError` unless a network can be trained on a data set, and measured on its val."""
    splits = {"train": (), "val": (), **index.splits}
    seen = {split: {label for item in items for label in item.classes} for split, items in splits.items()}
    _check_learnable(index.root, index.labels, splits, seen, multi_label=index.multi_label)


def _check_learnable(
    root: Path,
    labels: Sequence[str],
    splits: Mapping[str, Sequence[VideoItem]],
    seen: Mapping[str, set[int]],
    *,
    multi_label: bool,
) -> None:
    """Raise unless there are classes to tell apart, videos to measure on, and none but learned classes in these."""
    if not seen["train"]:
        raise DataError(f"{root} has no video with a label in train; a classifier needs at least one class")
    if len(seen["train"]) < 2 and not multi_label:
        only = labels[next(iter(seen["train"]))]
        raise DataError(f"{root} has the single class {only!r} in train; a classifier needs at least two classes")
    if not splits["val"]:
        raise DataError(f"{root} has one video per class, so none is left for val; add videos, or a val split")
    for split, present in seen.items():
        if unlearnable := present - seen["train"]:
            raise DataError(
                f"{root}: {split} has classes that train lacks, so they cannot be learned: "
                f"{quoted(labels[label] for label in sorted(unlearnable))}; add them to train or take them out"
            )


def _labels_note(splits: Mapping[str, Sequence[VideoItem]]) -> str:
    """How many labels the videos have; a wrong separator shows here first."""
    numbers = [len(item.classes) for items in splits.values() for item in items]
    if max(numbers) < 2:
        return "several labels a video are allowed, but no video has two; '|' stands between them in a table"
    none = f", {numbers.count(0)} of {len(numbers)} videos have none" if 0 in numbers else ""
    return f"several labels a video: {sum(numbers) / len(numbers):.1f} on average, at most {max(numbers)}{none}"


def quoted(names: Iterable[str]) -> str:
    """Names for a message: the first few, and how many there are if these are not all."""
    everything = list(names)
    shown = ", ".join(repr(name) for name in everything[:_NAMES_SHOWN])
    return shown if len(everything) <= _NAMES_SHOWN else f"{shown} and {len(everything) - _NAMES_SHOWN} more"
