"""What a check finds: plain values, ready for a table or for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

SHORT_FRAMES = 16  # the clip of every published network


@dataclass(frozen=True)
class Spread:
    """The range of a quantity over the videos of a split."""

    minimum: float
    median: float
    maximum: float


@dataclass(frozen=True)
class SplitReport:
    """One split; the spreads are None if none of its videos could be opened.

    Args:
        split: "train", "val" or "test".
        num_videos: videos that the split lists.
        num_opened: videos that were opened and decode.
        num_classes: classes with a video.
        num_frames: frames of a video.
        duration_seconds: length of a video.
        fps: frames per second.
    """

    split: str
    num_videos: int
    num_opened: int
    num_classes: int
    num_frames: Spread | None
    duration_seconds: Spread | None
    fps: Spread | None


@dataclass(frozen=True)
class ClassReport:
    """One class.

    Args:
        label: its name.
        num_videos: videos by split.
        mirror: the class that a mirror image shows: the class itself, its partner, or None if no flip is right.
    """

    label: str
    num_videos: Mapping[str, int]
    mirror: str | None


@dataclass(frozen=True)
class BrokenVideo:
    """A video that cannot be decoded."""

    path: str
    reason: str


@dataclass(frozen=True)
class Verdict:
    """One finding and what to do about it."""

    level: Literal["wrong", "look", "good"]
    text: str


@dataclass(frozen=True)
class DataReport:
    """What `check` found. Videos are named by their path relative to the data set.

    Args:
        data: what was looked at.
        kind: layout that was found.
        notes: what reading the layout had to say.
        splits: one entry per split.
        classes: one entry per class, by class id.
        resolutions: videos by "WIDTHxHEIGHT".
        codecs: videos by codec.
        broken: videos that cannot be decoded.
        duplicates: groups of videos with the same content in one split.
        leaked: groups of videos with the same content in several splits.
        contradictory: groups of videos with the same content under several labels.
        shared_names: pairs from train and from val whose names point to the same recording.
        short: videos with fewer than 16 frames.
        imbalance: videos of the largest class in train for each one of the smallest.
        verdicts: what to do.
        multi_label: whether a video may show several classes; then it counts in each of them.
    """

    data: str
    kind: str
    notes: tuple[str, ...]
    splits: tuple[SplitReport, ...]
    classes: tuple[ClassReport, ...]
    resolutions: Mapping[str, int]
    codecs: Mapping[str, int]
    broken: tuple[BrokenVideo, ...]
    duplicates: tuple[tuple[str, ...], ...]
    leaked: tuple[tuple[str, ...], ...]
    contradictory: tuple[tuple[str, ...], ...]
    shared_names: tuple[tuple[str, str], ...]
    short: tuple[str, ...]
    imbalance: float
    verdicts: tuple[Verdict, ...]
    multi_label: bool = False
