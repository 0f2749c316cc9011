"""Looking through a data set."""

from __future__ import annotations

import os
import re
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path, PurePosixPath

from vov3d.check.opened import Opened, same_content, try_to_open
from vov3d.check.report import SHORT_FRAMES, BrokenVideo, ClassReport, DataReport, SplitReport, Spread
from vov3d.check.verdicts import verdicts
from vov3d.data.flips import flip_labels
from vov3d.data.sources import VideoIndex, VideoItem, read_index

_CLIP_NUMBER = re.compile(r"(_c\d+|_\d{6}_\d{6})$")  # of UCF101 and of Kinetics


def check(
    data: str | Path,
    *,
    max_videos: int | None = None,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> DataReport:
    """Look through a data set.

    Args:
        data: folder or list, as for training.
        max_videos: open only so many videos of each split, evenly spread over it; by default all.
        workers: threads that decode; by default one per core.
        on_progress: called with the number of videos done and of all.

    Raises:
        DataError: if the data set cannot be read as given.
    """
    index = read_index(data)
    chosen = [(split, item) for split, items in index.splits.items() for item in _spread_out(items, max_videos)]
    opened = []
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        for one in pool.map(lambda part: try_to_open(part[0], part[1], index.frame_fps), chosen):
            opened.append(one)
            if on_progress:
                on_progress(len(opened), len(chosen))
        same = same_content(opened, pool)
    return _report(str(data), index, opened, same)


def _spread_out(items: Sequence[VideoItem], number: int | None) -> Sequence[VideoItem]:
    if number is None or number >= len(items):
        return items
    return [items[position * len(items) // number] for position in range(number)]


def _report(data: str, index: VideoIndex, opened: Sequence[Opened], same: Sequence[Sequence[Opened]]) -> DataReport:
    leaked = [group for group in same if len({one.split for one in group}) > 1]
    infos = [one.info for one in opened if one.info]
    counts = {split: Counter(_classes(items)) for split, items in index.splits.items()}
    report = DataReport(
        data=data,
        kind=index.kind,
        notes=index.notes,
        splits=tuple(_split_report(split, items, opened) for split, items in index.splits.items()),
        classes=tuple(
            ClassReport(name, {split: count[label] for split, count in counts.items()}, mirror)
            for label, (name, mirror) in enumerate(zip(index.labels, _mirrors(index), strict=True))
        ),
        resolutions=_most_common(f"{info.width}x{info.height}" for info in infos),
        codecs=_most_common(info.codec for info in infos),
        broken=tuple(BrokenVideo(one.item.name, one.reason) for one in opened if not one.info),
        duplicates=_names(group for group in same if group not in leaked),
        leaked=_names(leaked),
        contradictory=_names(group for group in same if len({frozenset(one.item.classes) for one in group}) > 1),
        shared_names=_shared_names(index),
        short=tuple(one.item.name for one in opened if one.info and one.info.num_frames < SHORT_FRAMES),
        imbalance=max(counts["train"].values()) / min(counts["train"].values()),
        verdicts=(),
        multi_label=index.multi_label,
    )
    return replace(report, verdicts=tuple(verdicts(report)))


def _split_report(split: str, items: Sequence[VideoItem], opened: Iterable[Opened]) -> SplitReport:
    infos = [one.info for one in opened if one.split == split and one.info]
    return SplitReport(
        split=split,
        num_videos=len(items),
        num_opened=len(infos),
        num_classes=len(set(_classes(items))),
        num_frames=_spread([info.num_frames for info in infos]),
        duration_seconds=_spread([info.duration_seconds for info in infos]),
        fps=_spread([info.fps for info in infos]),
    )


def _classes(items: Iterable[VideoItem]) -> Iterable[int]:
    """The classes of all videos, each as often as a video shows it."""
    return (label for item in items for label in item.classes)


def _spread(values: Sequence[float]) -> Spread | None:
    return Spread(min(values), statistics.median(values), max(values)) if values else None


def _most_common(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())


def _names(groups: Iterable[Iterable[Opened]]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(one.item.name for one in group) for group in groups)


def _mirrors(index: VideoIndex) -> list[str | None]:
    if index.flip == "none":
        return [None] * len(index.labels)
    return [None if partner is None else index.labels[partner] for partner in flip_labels(index.labels)]


def _shared_names(index: VideoIndex) -> tuple[tuple[str, str], ...]:
    train = {source: item.name for item in index.splits["train"] if (source := _source_name(item))}
    return tuple(
        (train[source], item.name) for item in index.splits["val"] if (source := _source_name(item)) and source in train
    )


def _source_name(item: VideoItem) -> str | None:
    """The name of the recording that a video was cut from, as far as its own name says; a mere number says nothing."""
    stem = _CLIP_NUMBER.sub("", PurePosixPath(item.name).stem)
    return None if stem.isdecimal() else stem.lower()
