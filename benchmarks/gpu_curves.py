"""The same training twice, plain and fused: from the same weights, on the same clips of drawn motion."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch
from gpu_timing import DEVICE, ON_GPU, Setting
from gpu_ways import WAYS, Way, gradient_of
from harness import Row
from torch import Tensor

from vov3d.data.motion import MOTION_CLASSES, MotionBatches
from vov3d.fused import Replayed, fuse, tiles
from vov3d.models import VoV3D, vov3d_m

EPOCH_BATCHES = 8


def loss_curves(setting: Setting) -> Iterator[Row]:
    """Train both ways in turns, step by step, so that what time allows is there of both."""
    plain = WAYS[2] if ON_GPU else Way("plain float32", "fp32", lambda model: model)
    fused = WAYS[4] if ON_GPU else Way("fused float32", "fp32", lambda model: (fuse(model), model)[1])
    batches = _batches(setting)
    if not ON_GPU:
        _fill_programs()
    runs = [_Run(way, setting) for way in (plain, fused)]
    for step in range(setting.steps):
        clips, targets = batches[step % len(batches)]
        yield {"step": step, **{run.way.name: run.take(clips, targets) for run in runs}}
    for run in runs:
        print(f"{run.way.name}: {run.seconds:.1f} s", flush=True)


class _Run:
    """One training."""

    def __init__(self, way: Way, setting: Setting) -> None:
        torch.manual_seed(0)
        classes = len(MOTION_CLASSES)
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


def _fill_programs() -> None:
    """Let a program compute as much as a small clip has: the interpreter takes as long for a few values as for many."""
    for block in (tiles.POINTWISE, tiles.POINTWISE_GRADIENT, tiles.RESIDUAL):
        block["ROWS"] = 1024
    tiles.DEPTHWISE.update(HEIGHT=16, WIDTH=16)


def _batches(setting: Setting) -> list[tuple[Tensor, Tensor]]:
    """Draw as many as are shown again and again."""
    motions = MotionBatches(setting.batch, num_frames=setting.frames, size=setting.size, device=DEVICE)
    drawn = [motions.batch(number) for number in range(min(setting.steps, EPOCH_BATCHES))]
    return [(clips.float() / 127.5 - 1, targets) for clips, targets in drawn]
