"""A few tested videos to look at: which ones, and their frames as pictures inside the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vov3d.data.video import open_video
from vov3d.errors import DecodeError
from vov3d.report.reading import PredictedVideo

FRAME_HEIGHT = 120
"""Pixels; eight videos of five such frames are about 200 KB of page."""


@dataclass(frozen=True)
class Example:
    """One video of the report.

    Attributes:
        video: what the network said about it.
        pictures: its frames as data URIs; empty where they cannot be shown.
        shape: width of a frame by its height, from square to 16:9; what is outside it gets a margin.
        problem: why there are no pictures, one line.
    """

    video: PredictedVideo
    pictures: tuple[str, ...] = ()
    shape: float = 4 / 3
    problem: str = ""


def choose_examples(videos: Iterable[PredictedVideo], num_videos: int = 8) -> list[PredictedVideo]:
    """Half right and half wrong where there are enough of both, the surest first, of as many classes as possible.

    A wrong answer that the network is sure of tells most about it.

    Args:
        videos: all tested videos; those without a true class are not considered.
        num_videos: how many to choose, at most.
    """
    surest = sorted((video for video in videos if video.classes), key=lambda video: (-video.probability, video.name))
    right = _diverse([video for video in surest if video.correct])
    wrong = _diverse([video for video in surest if not video.correct])
    num_wrong = min(len(wrong), max(num_videos // 2, num_videos - len(right)))
    return right[: num_videos - num_wrong] + wrong[:num_wrong]


def show(video: PredictedVideo, roots: Sequence[Path], num_frames: int = 5) -> Example:
    """The video with evenly spaced frames of it.

    Args:
        video: its path may be relative to one of ``roots``.
        roots: folders to look in after the path itself.
        num_frames: pictures to take.
    """
    places = [Path(video.path), *(root / name for root in roots for name in (video.path, video.name))]
    path = next((place for place in places if place.exists()), None)
    if path is None:
        return Example(video, problem="the video is no longer there")
    try:
        with open_video(path) as decoder:
            info = decoder.info
            indices = [(2 * part + 1) * info.num_frames // (2 * num_frames) for part in range(num_frames)]
            width = max(1, round(info.width * FRAME_HEIGHT / info.height))
            frames = decoder.frames(indices, size=(FRAME_HEIGHT, width))  # [T, 3, H, W] uint8
    except DecodeError as error:
        return Example(video, problem=f"the video cannot be decoded: {error.reason}")
    pictures = tuple(_data_uri(frame.permute(1, 2, 0).numpy().tobytes(), width) for frame in frames)
    return Example(video, pictures, min(16 / 9, max(1.0, round(width / FRAME_HEIGHT, 3))))


def _diverse(videos: Sequence[PredictedVideo]) -> list[PredictedVideo]:
    """The videos reordered: first the first of each class, then the second of each, and so on."""
    seen: dict[str, int] = {}
    turns = []
    for video in videos:
        first = video.classes[0]
        turns.append(seen.get(first, 0))
        seen[first] = turns[-1] + 1
    return [video for _, video in sorted(zip(turns, videos, strict=True), key=lambda pair: pair[0])]


def _data_uri(pixels: bytes, width: int) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.frombytes("RGB", (width, FRAME_HEIGHT), pixels).save(file, "JPEG", quality=78)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
