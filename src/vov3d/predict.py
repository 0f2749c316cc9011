"""``vov3d predict CHECKPOINT SOURCE...``: what a video shows, from nothing but the checkpoint and the video."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from vov3d.build import build_views, head_window
from vov3d.data.dataset import Broken
from vov3d.data.sources import VideoIndex, VideoItem
from vov3d.data.video import IMAGE_SUFFIXES, VIDEO_SUFFIXES, open_video
from vov3d.distributed import resolve_device
from vov3d.errors import ArgumentError, DataError, DecodeError
from vov3d.inference import video_probabilities
from vov3d.trained import Trained, load_trained


@dataclass(frozen=True)
class Prediction:
    """What the network says of one video.

    Attributes:
        source: the video.
        top: (label, probability) of the most probable classes, best first; empty if the video cannot be decoded.
        num_frames: frames of the video.
        duration_seconds: length of the video.
        error: why the video could not be decoded, if so.
        exclusive: whether a video shows one class alone, so that the probabilities of all classes sum to 1; otherwise
            each class has a probability of its own.
    """

    source: str
    top: tuple[tuple[str, float], ...]
    num_frames: int = 0
    duration_seconds: float = 0.0
    error: str | None = None
    exclusive: bool = True


@dataclass(frozen=True)
class VideoClassifier:
    """A trained network, ready for videos.

    Attributes:
        trained: network, labels and recipe.
        device: where the network computes.
    """

    trained: Trained = field(repr=False)
    device: torch.device

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, in the order of the logits."""
        return self.trained.labels

    def predict(
        self, source: str | Path, *, top_k: int = 5, clips: int | None = None, crops: int | None = None
    ) -> Prediction:
        """Classify one video.

        Args:
            source: a video file or a folder of frames.
            top_k: how many classes to name.
            clips: clips of the video; by default as the recipe says.
            crops: crops of a clip, 1 or 3; likewise.

        Raises:
            DecodeError: if the video cannot be decoded.
        """
        if top_k < 1:
            raise ArgumentError(f"top_k is {top_k}; it must be 1 or more")
        path = Path(source)
        index = VideoIndex(
            root=path.parent,
            kind="predict",
            labels=self.labels,
            splits={"predict": (VideoItem(path, -1, path.name),)},
            notes=(),
            flip="none",
            frame_fps=None,
        )
        with open_video(path) as video:
            info = video.info
        views = build_views(self.trained.recipe, index, "predict", num_clips=clips, num_crops=crops)[0]
        if isinstance(views, Broken):
            raise DecodeError(views.path, views.reason)
        window, activation = head_window(self.trained.recipe), self.trained.recipe.train.loss
        probs = video_probabilities(self.trained.model, [views.on(self.device)], self.device, window, activation)[0]
        best = probs.topk(min(top_k, len(probs)))
        top = tuple(
            (self.labels[number], value)
            for value, number in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        )
        is_exclusive = activation == "softmax"
        return Prediction(str(source), top, info.num_frames, info.duration_seconds, exclusive=is_exclusive)


def load(path: str | Path, *, device: str = "auto") -> VideoClassifier:
    """Return the network of a checkpoint, ready for videos.

    >>> vov3d.load("runs/demo/last.safetensors").predict("a.mp4").top[0]

    Args:
        path: a checkpoint of ours, or a published one.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.

    Raises:
        CheckpointError: if the file cannot be read.
    """
    target = resolve_device(device)
    trained = load_trained(path)
    trained.model.to(target)
    return VideoClassifier(trained, target)


def predict(
    checkpoint: str | Path,
    sources: str | Path | Sequence[str | Path],
    *,
    top_k: int = 5,
    clips: int | None = None,
    crops: int | None = None,
    device: str = "auto",
) -> list[Prediction]:
    """Classify videos; one that cannot be decoded is reported in its place, and the rest go on.

    Args:
        checkpoint: a checkpoint of ours, or a published one.
        sources: files, folders of videos (searched whole), folders of frames, shell patterns.
        top_k: how many classes to name.
        clips: clips of a video; by default as the recipe says.
        crops: crops of a clip, 1 or 3; likewise.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.

    Raises:
        DataError: if a source does not exist or holds no video.
        CheckpointError: if the checkpoint cannot be read.
    """
    return list(predict_each(checkpoint, sources, top_k=top_k, clips=clips, crops=crops, device=device))


def predict_each(
    checkpoint: str | Path,
    sources: str | Path | Sequence[str | Path],
    *,
    top_k: int = 5,
    clips: int | None = None,
    crops: int | None = None,
    device: str = "auto",
) -> Iterator[Prediction]:
    """Yield the predictions of `predict` one by one, as they are made."""
    given = [sources] if isinstance(sources, str | Path) else list(sources)
    videos = find_videos(given)
    classifier = load(checkpoint, device=device)
    for video in videos:
        try:
            yield classifier.predict(video, top_k=top_k, clips=clips, crops=crops)
        except DecodeError as error:
            yield Prediction(str(video), (), error=error.reason)


def find_videos(sources: Iterable[str | Path]) -> list[Path]:
    """Return the videos that sources stand for, each once, those of a folder by name.

    Raises:
        DataError: if a source does not exist or holds no video.
    """
    found: dict[Path, None] = {}
    for source in sources:
        path = Path(source)
        if path.is_dir():
            videos = list(_videos_below(path, set()))
        elif path.exists():
            videos = [path]
        else:
            videos = [Path(name) for name in sorted(glob.glob(str(source), recursive=True))]  # noqa: PTH207 (absolute patterns)
            videos = [video for one in videos for video in (_videos_below(one, set()) if one.is_dir() else [one])]
        if not videos:
            what = "holds no video" if path.is_dir() else "does not exist"
            raise DataError(
                f"source {str(source)!r} {what}; give video files, folders of videos or frames, or patterns"
            )
        found |= dict.fromkeys(videos)
    return list(found)


def _videos_below(folder: Path, seen: set[Path]) -> Iterator[Path]:
    """Yield the video files below a folder by name; a folder that holds images, and no videos, is one video."""
    if folder.resolve() in seen:  # links may lead around in circles
        return
    seen.add(folder.resolve())
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    suffixes = {entry.suffix.lower() for entry in entries}
    if not suffixes.isdisjoint(IMAGE_SUFFIXES) and suffixes.isdisjoint(VIDEO_SUFFIXES):
        yield folder
    for entry in entries:
        if entry.is_dir():
            yield from _videos_below(entry, seen)
        elif entry.suffix.lower() in VIDEO_SUFFIXES:
            yield entry
