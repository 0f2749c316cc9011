"""``vov3d predict CHECKPOINT SOURCE...``: what a video shows, from nothing but the checkpoint and the video."""

from __future__ import annotations

import glob
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import torch

from vov3d.bound import Clock
from vov3d.build import build_views, head_window
from vov3d.data.items import Broken
from vov3d.data.sources import VideoIndex, VideoItem
from vov3d.data.video import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from vov3d.data.views import Views
from vov3d.distributed import resolve_device
from vov3d.errors import ArgumentError, DataError, DecodeError
from vov3d.fast import device_for, fast_network, spread_over
from vov3d.inference import Network, default_workers, video_probabilities
from vov3d.optimize import Optimized, Precision
from vov3d.optimize.folding import folded
from vov3d.prefetch import made_ahead
from vov3d.trained import Trained, load_trained

log = logging.getLogger("vov3d")


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
        optimized: what computes in the network's place.
    """

    trained: Trained = field(repr=False)
    device: torch.device
    optimized: Optimized | None = field(default=None, repr=False)

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, in the order of the logits."""
        return self.trained.labels

    @cached_property
    def network(self) -> Network:
        """What gives the logits: the optimised network, or the trained one with its norms folded."""
        return folded(self.trained.model) if self.optimized is None else self.optimized

    def faster(
        self,
        precision: Precision,
        sources: Sequence[str | Path],
        *,
        clips: int | None = None,
        crops: int | None = None,
    ) -> VideoClassifier:
        """Return the same, computed by the quickest engine (`vov3d.optimize`).

        Args:
            precision: ``"fp32"``, ``"bf16"`` or ``"int8"``.
            sources: videos such as it will see; some of their clips are what it is checked, and calibrated, on.
            clips: see `predict`.
            crops: likewise.

        Raises:
            OptimizeError: no engine computes the network in this precision.
        """
        paths = [Path(source) for source in sources]
        decoded = (self._decoded(paths, clips, crops, number)[0] for number in spread_over(len(paths)))
        return replace(self, optimized=fast_network(self.trained.model, precision, decoded))

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
        (one,) = self.predict_each([source], top_k=top_k, clips=clips, crops=crops)
        if one.error is not None:
            raise DecodeError(source, one.error)
        return one

    def predict_each(
        self,
        sources: Sequence[str | Path],
        *,
        top_k: int = 5,
        clips: int | None = None,
        crops: int | None = None,
        clock: Clock | None = None,
    ) -> Iterator[Prediction]:
        """Classify videos in order: while the network works on one, threads decode the next ones.

        Args:
            sources: video files and folders of frames; one that cannot be decoded is reported in its place.
            top_k: see `predict`, as for all that is not explained here.
            clips: likewise.
            crops: likewise.
            clock: takes the times.
        """
        if top_k < 1:
            raise ArgumentError(f"top_k is {top_k}; it must be 1 or more")
        paths = [Path(source) for source in sources]
        clock = Clock(min(default_workers(), len(paths))) if clock is None else clock
        decode = partial(self._decoded, paths, clips, crops)
        decoded = made_ahead(decode, len(paths), threads=clock.decoders)
        for source, (views, seconds) in zip(sources, clock.over(decoded), strict=True):
            clock.decoding_seconds += seconds
            yield self._answer(str(source), views, top_k)

    def _decoded(
        self, paths: Sequence[Path], clips: int | None, crops: int | None, number: int
    ) -> tuple[Views | Broken, float]:
        """The views of a video, ready to be moved to the network, and the seconds that they took."""
        started, path = time.perf_counter(), paths[number]
        items = {"predict": (VideoItem(path, -1, path.name),)}
        index = VideoIndex(path.parent, "predict", self.labels, items, notes=(), flip="none", frame_fps=None)
        views = build_views(self.trained.recipe, index, "predict", num_clips=clips, num_crops=crops)[0]
        if self.device.type == "cuda" and isinstance(views, Views):
            views = views.pin_memory()
        return views, time.perf_counter() - started

    def _answer(self, source: str, views: Views | Broken, top_k: int) -> Prediction:
        """What the network says of the views of a video."""
        if isinstance(views, Broken):
            return Prediction(source, (), error=views.reason)
        window, activation = head_window(self.trained.recipe), self.trained.recipe.train.loss
        (probs,) = video_probabilities(self.network, [views], self.device, window, activation)
        best = probs.topk(min(top_k, len(probs)))
        top = tuple(
            (self.labels[number], value)
            for value, number in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        )
        is_exclusive = activation == "softmax"
        return Prediction(source, top, views.info.num_frames, views.info.duration_seconds, exclusive=is_exclusive)


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
    fast: Precision | None = None,
) -> list[Prediction]:
    """Classify videos; one that cannot be decoded is reported in its place, and the rest go on.

    Args:
        checkpoint: a checkpoint of ours, or a published one.
        sources: files, folders of videos (searched whole), folders of frames, shell patterns.
        top_k: how many classes to name.
        clips: clips of a video; by default as the recipe says.
        crops: crops of a clip, 1 or 3; likewise.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
        fast: ``"fp32"``, ``"bf16"`` or ``"int8"``: by the quickest engine (`vov3d.optimize`), checked, and
            calibrated for int8, on some of the videos.

    Raises:
        DataError: if a source does not exist or holds no video.
        CheckpointError: if the checkpoint cannot be read.
        OptimizeError: if no engine computes the network in the precision ``fast``.
    """
    return list(predict_each(checkpoint, sources, top_k=top_k, clips=clips, crops=crops, device=device, fast=fast))


def predict_each(
    checkpoint: str | Path,
    sources: str | Path | Sequence[str | Path],
    *,
    top_k: int = 5,
    clips: int | None = None,
    crops: int | None = None,
    device: str = "auto",
    fast: Precision | None = None,
) -> Iterator[Prediction]:
    """Yield the predictions of `predict` one by one, as they are made."""
    given = [sources] if isinstance(sources, str | Path) else list(sources)
    videos = find_videos(given)
    classifier = load(checkpoint, device=device_for(fast, device))
    if fast is not None:
        classifier = classifier.faster(fast, videos, clips=clips, crops=crops)
    clock = Clock(min(default_workers(), len(videos)))
    yield from classifier.predict_each(videos, top_k=top_k, clips=clips, crops=crops, clock=clock)
    log.info("%s", clock.bound())


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
