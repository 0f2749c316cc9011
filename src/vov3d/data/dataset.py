"""Clips to train on and views to test on, read from an index of videos.

Every random choice about an item is a pure function of (seed, epoch, index), whichever process reads it and when: the
sampler hands the epoch in with the index, so workers keep no state and a run can stop and go on anywhere.

A video that cannot be decoded comes back as `Broken`; no other video ever takes its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import numpy as np
import torch
from torch.utils.data import Dataset

from vov3d.data import sampling
from vov3d.data.augment import colour_jitter
from vov3d.data.cache import VideoCache
from vov3d.data.flips import flip_labels
from vov3d.data.items import Broken, Clip
from vov3d.data.opening import open_item
from vov3d.data.pack.reader import ShardReader, training_reader
from vov3d.data.sources import VideoIndex, VideoItem
from vov3d.data.targets import multi_hot
from vov3d.data.transforms import (
    ShortSideLaw,
    crop_offsets,
    hflip,
    jittered_short_side,
    normalise,
    random_crop_offset,
    short_side_size,
)
from vov3d.data.video import Decoder, VideoInfo, Window
from vov3d.data.views import Views
from vov3d.errors import DataError, DecodeError, unknown_name

Sampling = Literal["segment", "dense"]
Flip = Literal["none", "labels"]
ClipRule = Literal["uniform", "random"]
FrameOrder = Literal["given", "shuffled", "reversed"]

CLIP_STREAM, VIEW_STREAM, SHUFFLE_STREAM = 1, 2, 3  # `vov3d.data.sampler` has 0, `vov3d.train_step` 4, 5 and 7


class ClipDataset(Dataset[Clip | tuple[Clip, ...] | Broken]):
    """Random clips of the videos of one split; items are asked for by (epoch, index), as `SeekableSampler` yields them.

    Args:
        index: the data set.
        split: which of its splits.
        num_frames: frames of a clip, T.
        sampling: "segment" or "dense" (see `vov3d.data.sampling`).
        frame_stride: frames between two of a dense clip at 30 frames per second; not used by segments.
        short_side: shortest and longest length of the shorter side after the resize, in pixels.
        short_side_law: how that length is drawn.
        crop: side of the square that is cut out, in pixels.
        flip: "labels" flips half of the clips; the label becomes that of the mirror image, and classes whose mirror
            image is no class are not flipped. Of several labels a video, that a class is not there is a label too: then
            nothing is flipped unless the mirror image of every class is a class. "none" never flips.
        mean: subtracted from the pixels, on the scale of 0 to 1.
        std: divides the pixels.
        colour_jitter: how far the colours of a clip may change, see `vov3d.data.augment`; 0 for not at all.
        seed: of all random choices.
        transform: applied to the cropped and flipped frames, uint8 [T, 3, H, W], as the transforms of torchvision v2
            are; what it draws from torch's generator is a pure function of (seed, epoch, index) too.
        repeats: clips of an item. More than 1 make an item a tuple of so many clips of one video, which is opened once;
            each draws its own frames, size, place, flip and colours, and the first is that of `repeats=1`.
        cache: copies of the videos, which are read in their place; by default the videos are.

    Raises:
        DataError: the index has no such split.
        ValueError: the crop is larger than the shortest side, or there are no repeats.
    """

    def __init__(
        self,
        index: VideoIndex,
        split: str,
        *,
        num_frames: int,
        sampling: Sampling = "segment",
        frame_stride: int = 1,
        short_side: tuple[int, int] = (256, 320),
        short_side_law: ShortSideLaw = "inverse_uniform",
        crop: int = 224,
        flip: Flip = "none",
        mean: float = 0.45,
        std: float = 0.225,
        colour_jitter: float = 0.0,
        seed: int = 0,
        transform: Callable[[torch.Tensor], torch.Tensor] | None = None,
        cache: VideoCache | None = None,
        repeats: int = 1,
    ) -> None:
        _check(sampling=(sampling, Sampling), short_side_law=(short_side_law, ShortSideLaw), flip=(flip, Flip))
        low, high = short_side
        if not 1 <= crop <= low <= high:
            raise ValueError(f"short_side={low} to {high} with crop={crop}; needed: crop <= shortest <= longest")
        if repeats < 1:
            raise ValueError(f"repeats={repeats}; at least 1 clip of each video")
        self.items = _items(index, split)
        self.shards = training_reader(self.items)
        self._open = open_item if cache is None else cache.open
        self.frame_fps = index.frame_fps
        self.num_frames, self.sampling, self.frame_stride = num_frames, sampling, frame_stride
        self.short_side, self.short_side_law, self.crop = short_side, short_side_law, crop
        self.mean, self.std, self.seed, self.transform = mean, std, seed, transform
        self.colour_jitter, self.repeats = colour_jitter, repeats
        self.mirrored = flip_labels(index.labels) if flip == "labels" else (None,) * len(index.labels)
        self.num_classes, self.multi_label = len(index.labels), index.multi_label

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, key: tuple[int, int]) -> Clip | tuple[Clip, ...] | Broken:
        epoch, index = key
        item = self.items[index]
        rngs = [_clip_rng(self.seed, epoch, index, repeat) for repeat in range(self.repeats)]
        try:
            with self._open(item, self.frame_fps, self.shards) as video:
                drawn = [self._frames(video, rng) for rng in rngs]
        except DecodeError as error:
            return Broken(index, str(error.path), error.reason)
        clips = tuple(self._clip(frames, item, index, rng) for frames, rng in zip(drawn, rngs, strict=True))
        return clips if self.repeats > 1 else clips[0]

    def _clip(self, frames: torch.Tensor, item: VideoItem, index: int, rng: np.random.Generator) -> Clip:
        """Flip, change and normalise the frames of a clip."""
        classes, mirrored = item.classes, self._mirrored(item.classes)
        if rng.random() < 0.5 and mirrored is not None:
            frames, classes = hflip(frames), mirrored
        if self.transform is not None:
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(int(rng.integers(2**63)))
                frames = self.transform(frames)
        clip = normalise(frames, self.mean, self.std)
        label = classes[0] if classes else -1
        target = multi_hot(classes, self.num_classes)
        return Clip(colour_jitter(clip, self.colour_jitter, rng), label, index, target)

    def _mirrored(self, classes: tuple[int, ...]) -> tuple[int, ...] | None:
        """The classes that a mirror image shows; None where it must not be shown."""
        asked = range(self.num_classes) if self.multi_label else classes
        if not asked or any(self.mirrored[label] is None for label in asked):
            return None
        return tuple(partner for label in classes if (partner := self.mirrored[label]) is not None)

    def _frames(self, video: Decoder, rng: np.random.Generator) -> torch.Tensor:
        """A random clip at a random size and place, uint8 [T, 3, crop, crop]."""
        info = video.info
        indices = _random_clip(info, self.sampling, self.num_frames, self.frame_stride, rng)
        short_side = jittered_short_side(*self.short_side, self.short_side_law, rng)
        size = short_side_size(info.height, info.width, short_side)
        corner = random_crop_offset(*size, self.crop, rng)
        return video.frames(indices.tolist(), size, Window(*corner, self.crop, self.crop))


class ViewDataset(Dataset[Views | Broken]):
    """All test views of each video of one split; each of its frames is decoded once.

    Views are ordered clip by clip: view v is crop v mod num_crops of clip v div num_crops. The shorter side is resized
    to `crop`, as published.

    Args:
        index: the data set.
        split: which of its splits.
        num_frames: frames of a clip, T.
        sampling: "segment" or "dense" (see `vov3d.data.sampling`).
        frame_stride: frames between two of a dense clip at 30 frames per second; not used by segments.
        num_clips: clips of each video.
        num_crops: crops of each clip: 1 (the centre) or 3 (along the longer side).
        crop: side of the square that is cut out, in pixels.
        clip_rule: "uniform" takes deterministic clips; "random" draws every view by itself, as published for
            Something-Something, as a pure function of (seed, index).
        mean: subtracted from the pixels, on the scale of 0 to 1.
        std: divides the pixels.
        frame_order: "shuffled" and "reversed" are controls: what a model scores on them, it scores without knowing
            what came first. One order is drawn for each video from (seed, index); it is never the given one.
        seed: of the random choices.
        cache: copies of the videos, which are read in their place; by default the videos are.
        speed: how many times as fast the videos play: the frames of a clip lie so many times as far apart (see
            `vov3d.data.sampling.segment_part` for segments, whose clips otherwise cover the whole video).

    Raises:
        DataError: the index has no such split.
        ValueError: the number of clips or crops is not possible, or the speed is not above 0.
    """

    def __init__(
        self,
        index: VideoIndex,
        split: str,
        *,
        num_frames: int,
        sampling: Sampling = "segment",
        frame_stride: int = 1,
        num_clips: int = 1,
        num_crops: int = 1,
        crop: int = 224,
        clip_rule: ClipRule = "uniform",
        mean: float = 0.45,
        std: float = 0.225,
        frame_order: FrameOrder = "given",
        seed: int = 0,
        cache: VideoCache | None = None,
        speed: float = 1.0,
    ) -> None:
        _check(sampling=(sampling, Sampling), clip_rule=(clip_rule, ClipRule), frame_order=(frame_order, FrameOrder))
        if num_clips < 1 or num_crops not in (1, 3):
            raise ValueError(f"num_clips={num_clips}, num_crops={num_crops}; at least 1 clip, and 1 or 3 crops")
        if not speed > 0:
            raise ValueError(f"speed={speed}; above 0")
        self.items = _items(index, split)
        self.shards = ShardReader()
        self._open = open_item if cache is None else cache.open
        self.frame_fps, self.multi_label = index.frame_fps, index.multi_label
        self.num_frames, self.sampling, self.frame_stride = num_frames, sampling, frame_stride
        self.num_clips, self.num_crops, self.crop, self.clip_rule = num_clips, num_crops, crop, clip_rule
        self.mean, self.std, self.frame_order, self.seed, self.speed = mean, std, frame_order, seed, speed

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Views | Broken:
        item = self.items[index]
        try:
            with self._open(item, self.frame_fps, self.shards) as video:
                return self._views(video, index)
        except DecodeError as error:
            return Broken(index, str(error.path), error.reason)

    def _views(self, video: Decoder, index: int) -> Views:
        """All views of one video."""
        info = video.info
        wanted = self._indices(info, index)[:, frame_order(self.frame_order, self.num_frames, (self.seed, index))]
        numbers, places = np.unique(wanted, return_inverse=True)
        size = short_side_size(info.height, info.width, self.crop)
        corners = crop_offsets(*size, self.crop, self.num_crops)
        (top, left), (bottom, right) = corners[0], corners[-1]
        window = Window(top, left, bottom - top + self.crop, right - left + self.crop)
        return Views(
            frames=video.frames(numbers.tolist(), size, window),
            places=torch.from_numpy(places.reshape(wanted.shape)),
            corners=tuple((y - top, x - left) for y, x in corners) * (len(wanted) // self.num_crops),
            crop=self.crop,
            mean=self.mean,
            std=self.std,
            label=self.items[index].label,
            index=index,
            info=info,
        )

    def _indices(self, info: VideoInfo, index: int) -> sampling.Indices:
        """The frames of each view, [V, T]."""
        num_views, fps = self.num_clips * self.num_crops, info.fps * self.speed
        first, length = sampling.segment_part(info.num_frames, self.speed)
        rng = np.random.default_rng((VIEW_STREAM, self.seed, index))
        match self.sampling, self.clip_rule:
            case "segment", "random":
                drawn = sampling.segment_random_clips(length, self.num_frames, num_views, rng)
                return np.minimum(first + drawn, info.num_frames - 1)
            case "dense", "random":
                shape = (info.num_frames, fps, self.num_frames, self.frame_stride)
                return np.stack([sampling.dense_train(*shape, rng) for _ in range(num_views)])
            case "segment", _:
                clips = sampling.segment_clips(length, self.num_frames, self.num_clips)
                clips = np.minimum(first + clips, info.num_frames - 1)
            case _:
                stride, num_clips = self.frame_stride, self.num_clips
                clips = sampling.dense_clips(info.num_frames, fps, self.num_frames, stride, num_clips)
        return clips.repeat(self.num_crops, axis=0)


def frame_order(order: FrameOrder, num_frames: int, seed: Sequence[int]) -> sampling.Indices:
    """The positions of the frames of a clip in this order, [T]; a shuffle is never the given order where T > 1."""
    given = np.arange(num_frames)
    if order == "given":
        return given
    if order == "reversed":
        return given[::-1]
    shuffled = np.random.default_rng((SHUFFLE_STREAM, *seed)).permutation(num_frames)
    return np.roll(given, 1) if np.array_equal(shuffled, given) else shuffled


def _clip_rng(seed: int, epoch: int, index: int, repeat: int) -> np.random.Generator:
    """The source of all draws of one clip."""
    key = (CLIP_STREAM, seed, epoch, index)
    return np.random.default_rng((*key, repeat) if repeat else key)


def _random_clip(
    info: VideoInfo, rule: Sampling, num_frames: int, frame_stride: int, rng: np.random.Generator
) -> sampling.Indices:
    """The frames of one randomly drawn clip, [T]."""
    if rule == "dense":
        return sampling.dense_train(info.num_frames, info.fps, num_frames, frame_stride, rng)
    return sampling.segment_train(info.num_frames, num_frames, rng)


def _check(**choices: tuple[str, object]) -> None:
    """Refuse a word that its Literal type does not have."""
    for name, (given, allowed) in choices.items():
        if given not in get_args(allowed):
            raise ValueError(unknown_name(name, given, get_args(allowed)))


def _items(index: VideoIndex, split: str) -> tuple[VideoItem, ...]:
    """The videos of a split, or an error that names the splits there are."""
    if split not in index.splits:
        raise DataError(f"{index.root} has no split {split!r}. Allowed: {', '.join(sorted(index.splits))}")
    return index.splits[split]
