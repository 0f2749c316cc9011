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

    Raises:
        DataError: for no video in train, fewer than two classes, or a class that train lacks.
    """
    if not parts.get("train"):
        found = ", ".join(split for split, items in parts.items() if items)
        raise DataError(f"{root} has no video in the split 'train'" + (f", only in {found}" if found else ""))
    splits, split_notes = settle_splits(parts, val_fraction, seed)
    seen = {split: {item.label for item in items if item.label >= 0} for split, items in splits.items()}
    if len(seen["train"]) < 2:
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
    unmeasured = [labels[label] for label in sorted(seen["train"] - seen["val"])]
    unused = [name for label, name in enumerate(labels) if label not in seen["train"]]
    return VideoIndex(
        root=root,
        kind=kind,
        labels=tuple(labels),
        splits=splits,
        notes=(
            *notes,
            *split_notes,
            *(
                [f"classes without a video in val, whose accuracy is not measured: {quoted(unmeasured)}"]
                if unmeasured
                else []
            ),
            *([f"classes without any video: {quoted(unused)}"] if unused else []),
        ),
        flip=flip,
        frame_fps=frame_fps,
    )


def quoted(names: Iterable[str]) -> str:
    """Names for a message: the first few, and how many there are if these are not all."""
    everything = list(names)
    shown = ", ".join(repr(name) for name in everything[:_NAMES_SHOWN])
    return shown if len(everything) <= _NAMES_SHOWN else f"{shown} and {len(everything) - _NAMES_SHOWN} more"
