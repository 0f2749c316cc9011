"""The same training twice, plain and fused: from the same weights, on the same clips."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from gpu_device import DEVICE, ON_GPU
from gpu_timing import Setting
from gpu_ways import CHANNELS_LAST, REPLAYED, Way, gradient_of
from harness import Row
from torch import Tensor

from vov3d.data.dataset import ClipDataset
from vov3d.data.items import Clip, collate
from vov3d.data.motion import MOTION_CLASSES, MotionBatches
from vov3d.data.sources.detect import read_index
from vov3d.fused import Replayed, fuse
from vov3d.models import VoV3D, vov3d_m

EPOCH_BATCHES = 8


Batches = Sequence[tuple[Tensor, Tensor]]
"""Clips and classes of each batch of an epoch."""


def loss_curves(setting: Setting) -> Iterator[Row]:
    """Learn drawn motion."""
    motions = MotionBatches(setting.batch, num_frames=setting.frames, size=setting.size, device=DEVICE)
    drawn = [motions.batch(number) for number in range(min(setting.steps, EPOCH_BATCHES))]
    batches = [(clips.float() / 127.5 - 1, targets) for clips, targets in drawn]
    yield from _both(batches, len(MOTION_CLASSES), setting)


def loss_curves_of_videos(setting: Setting) -> Iterator[Row]:
    """Learn the videos of a folder."""
    assert setting.data is not None
    batches, num_classes = _videos(setting.data, setting)
    yield from _both(batches, num_classes, setting)


def _both(batches: Batches, num_classes: int, setting: Setting) -> Iterator[Row]:
    """Train both ways in turns, step by step, so that what time allows is there of both."""
    plain = CHANNELS_LAST if ON_GPU else Way("plain float32", "fp32", lambda model: model)
    fused = REPLAYED if ON_GPU else Way("fused float32", "fp32", lambda model: (fuse(model), model)[1])
    runs = [_Run(way, num_classes, setting) for way in (plain, fused)]
    for step in range(setting.steps):
        clips, targets = batches[step % len(batches)]
        yield {"step": step, **{run.way.name: run.take(clips, targets) for run in runs}}
    for run in runs:
        print(f"{run.way.name}: {run.seconds:.1f} s", flush=True)


class _Run:
    """One training."""

    def __init__(self, way: Way, classes: int, setting: Setting) -> None:
        torch.manual_seed(0)
        small = VoV3D(setting.width, (1,), num_units=1, num_classes=classes, dropout=0.0) if setting.width else None
        self.model = (small or vov3d_m(num_classes=classes, dropout=0.0)).to(DEVICE)
        self.way, self.seconds = way, 0.0
        gradient = gradient_of(way.prepare(self.model), way)
        self.gradient = Replayed(gradient, self.model) if way.replays else gradient
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=3e-3)

    def take(self, clips: Tensor, targets: Tensor) -> float:
        """Take a step and return its loss."""
        begun = time.perf_counter()
        self.optimizer.zero_grad()
        loss, _ = self.gradient(clips, targets, 1 / len(clips))
        self.optimizer.step()
        mean = float(loss) / len(clips)
        self.seconds += time.perf_counter() - begun
        return mean


def _videos(folder: Path, setting: Setting) -> tuple[Batches, int]:
    """Decode as many batches as are shown again and again, of videos in an order of chance; and how many classes."""
    index = read_index(folder)
    clips = ClipDataset(
        index, "train", num_frames=setting.frames, short_side=(setting.size, setting.size), crop=setting.size
    )
    order = torch.randperm(len(clips), generator=torch.Generator().manual_seed(0)).tolist()
    decoded = (clips[0, place] for place in itertools.cycle(order))
    whole = (clip for clip in decoded if isinstance(clip, Clip))
    count = min(setting.steps, EPOCH_BATCHES, -(-len(order) // setting.batch))
    batches = [collate(list(itertools.islice(whole, setting.batch))) for _ in range(count)]
    return [(batch.clips.to(DEVICE), batch.labels.to(DEVICE)) for batch in batches], clips.num_classes
