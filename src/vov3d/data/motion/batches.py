"""Clips without files: batches drawn where they are needed, as many as are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from vov3d.data.motion.classes import MOTION_CLASSES, Split, video_lengths
from vov3d.data.motion.draw import check_look, draw_clips, lengths_of, numbers_of
from vov3d.data.motion.numbers import Numbers
from vov3d.data.sampling import segment_bounds
from vov3d.errors import unknown_name

_MOST_SEEDS = 1 << 31  # each of 2**32 clips

FrameChoice = Literal["random", "centre"]


class MotionBatches(IterableDataset[tuple[Tensor, Tensor]]):
    """Batches of clips (uint8 [N, 3, T, H, W]) and labels (int64 [N], places in ``classes``), without end.

    Batch ``i`` is a pure function of the arguments and of ``i``, whoever draws it and where. Every clip has a scene of
    its own, and among every ``len(classes)`` clips in a row each class is shown once. A clip is what segment sampling
    takes from a video of the written set: T frames of a video whose length is drawn. In a `DataLoader`
    (``batch_size=None``) the worker processes share the batches out.

    Args:
        batch_size: N.
        classes: the names of the classes.
        split: train, val or test.
        num_frames: T.
        size: side of the square frames in pixels.
        video_frames: typical number of frames of the videos, see ``render``.
        difficulty: from 0 to 1, see ``draw_clips``.
        frames: of each part of a video, a ``"random"`` frame or the one in its ``"centre"``.
        seed: streams of different seeds share no clip.
        first: the first batch, as for one of several processes, or for a run that goes on.
        step: from a batch to the next, as where several processes take turns.
        device: where the clips are drawn; in worker processes the CPU.

    Raises:
        ValueError: an argument out of its range.
    """

    def __init__(
        self,
        batch_size: int,
        *,
        classes: Sequence[str] = MOTION_CLASSES,
        split: Split = "train",
        num_frames: int = 16,
        size: int = 96,
        video_frames: int = 32,
        difficulty: float = 0.1,
        frames: FrameChoice = "random",
        seed: int = 0,
        first: int = 0,
        step: int = 1,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__()
        for name in classes:
            if name not in MOTION_CLASSES:
                raise ValueError(unknown_name("motion class", name, MOTION_CLASSES))
        if frames not in get_args(FrameChoice):
            raise ValueError(unknown_name("choice of frames", frames, get_args(FrameChoice)))
        if min(batch_size, len(classes), num_frames, step) < 1 or video_frames < 8 or min(seed, first) < 0:
            raise ValueError(
                "motion batches need batch_size, num_frames and step of at least 1, a class, video_frames >= 8 and"
                f" seed and first >= 0; got {batch_size}, {num_frames}, {step}, {list(classes)}, {video_frames}, {seed}"
                f" and {first}"
            )
        if seed >= _MOST_SEEDS:
            raise ValueError(f"seed of motion batches is {seed}; allowed is less than {_MOST_SEEDS}")
        check_look(split, size, difficulty)
        self.classes, self.frames, self.device = tuple(classes), frames, torch.device(device)
        self.batch_size, self.num_frames, self.video_frames = batch_size, num_frames, video_frames
        self.split, self.size, self.difficulty = split, size, difficulty
        self.seed, self.first, self.step = seed, first, step

    def batch(self, number: int) -> tuple[Tensor, Tensor]:
        """Batch ``number`` of all, from 0.

        Raises:
            ValueError: if its clips are those of another seed.
        """
        if not 0 <= number < (1 << 32) // self.batch_size:
            raise ValueError(f"motion batch {number} is out of range: a seed has {2**32 // self.batch_size}, from 0")
        places = number * self.batch_size + torch.arange(self.batch_size, device=self.device)
        seeds = (self.seed << 32) + places
        labels = self._labels(places)
        names = torch.tensor([MOTION_CLASSES.index(name) for name in self.classes], device=self.device)
        numbers = numbers_of(seeds, self.split)
        clips = draw_clips(
            names[labels],
            seeds,
            self._times(numbers),
            split=self.split,
            size=self.size,
            difficulty=self.difficulty,
        )
        return clips, labels

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        worker = get_worker_info()
        number, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        while True:
            yield self.batch(self.first + number * self.step)
            number += workers

    def _labels(self, places: Tensor) -> Tensor:
        """Each class once in every ``len(classes)`` clips, in an order of their own."""
        num_classes = len(self.classes)
        rounds = (self.seed << 32) + places // num_classes
        order = Numbers(rounds, f"labels {self.split}")("order", num_classes).argsort(dim=1, stable=True)
        return order.gather(1, (places % num_classes)[:, None])[:, 0]

    def _times(self, numbers: Numbers) -> Tensor:
        """The times of one frame of each segment of the videos, [N, T]."""
        possible = video_lengths(self.video_frames)
        bounds = torch.zeros(possible[-1] + 1, self.num_frames, 2, dtype=torch.int64)
        for length in possible:
            bounds[length] = torch.from_numpy(segment_bounds(length, self.num_frames))
        lengths = lengths_of(numbers, self.video_frames)
        low, high = bounds.to(lengths.device)[lengths].unbind(2)
        drawn = numbers("frames", self.num_frames)
        frames = low + (drawn * (high - low + 1)).long() if self.frames == "random" else (low + high) // 2
        return (frames + 0.5) / lengths[:, None]
