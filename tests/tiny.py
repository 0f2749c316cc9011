"""A data set of real videos, a network and a recipe that are small enough for a test to train."""

from __future__ import annotations

import csv
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from torch import nn

from tests.filling import fill, golden_clips
from vov3d.checkpoint import write_checkpoint
from vov3d.models import VoV3D
from vov3d.optim import recompute_norm_statistics
from vov3d.recipe import Recipe, load_recipe, override
from vov3d.trained import describe

LABELS = ("dark", "light", "moving")
NUM_TRAIN, NUM_VAL = 4, 2  # videos of each class

SETTINGS = {
    "model.init": "null",
    "clip.num_frames": "4",
    "clip.short_side": "32,36",
    "clip.crop": "32",
    "clip.flip": "none",
    "clip.colour_jitter": "0",
    "optim.name": "sgd",
    "optim.lr": "0.025",
    "optim.nesterov": "true",
    "optim.weight_decay": "5e-5",
    "optim.warmup_epochs": "0",
    "train.label_smoothing": "0",
    "train.stills": "0",
    "train.checkpoint_every_epochs": "1",
    "train.epochs": "2",
    "train.batch_size": "4",
    "train.evaluate_every_epochs": "1",
    "train.precise_bn_batches": "2",
    "test.crop": "32",
}


def tiny_recipe(settings: dict[str, str] | None = None) -> Recipe:
    """The recipe of a tiny run, with some keys set anew."""
    return override(load_recipe("folder/vov3d_m_8"), {**SETTINGS, **(settings or {})})


def small_network(num_classes: int = 400, dropout: float = 0.5, stochastic_depth: float = 0.0) -> VoV3D:
    """VoV3D with one short block in each stage: what takes the place of VoV3D-M where a test trains often."""
    depths = (1, 1, 1, 1)
    return VoV3D(16, depths, num_units=2, num_classes=num_classes, dropout=dropout, stochastic_depth=stochastic_depth)


class FrozenNorms(VoV3D):
    """The small network without batch statistics, so that a clip's gradient is its own whatever the batch."""

    def __init__(self, num_classes: int = 400, dropout: float = 0.0) -> None:
        super().__init__(16, (1, 1, 1, 1), num_units=2, num_classes=num_classes, dropout=dropout)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm3d):
                nn.init.ones_(module.weight)
                nn.init.constant_(module.running_var, 0.3)  # signals neither die nor grow
        self.train()

    def train(self, mode: bool = True) -> FrozenNorms:
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm3d):
                module.eval()
        return self


def calling_back(number: int, call: Callable[[], None]) -> Callable[..., VoV3D]:
    """The small network, which calls back in the midst of its training pass of this number, counted from 1."""

    def build(num_classes: int = 400, dropout: float = 0.5) -> VoV3D:
        model, passes = small_network(num_classes, dropout), []

        def hook(module: nn.Module, _inputs: object) -> None:
            if module.training and torch.is_grad_enabled():
                passes.append(None)
                if len(passes) == number:
                    call()

        model.head.register_forward_pre_hook(hook)
        return model

    return build


def write_video(path: Path, label: str, seed: int, *, num_frames: int = 12, height: int = 48, width: int = 64) -> Path:
    """Write an H.264 video of texture that is dark, light, or has a bright bar go over it from left to right."""
    path.parent.mkdir(parents=True, exist_ok=True)
    texture = np.random.default_rng(seed).integers(0, 60, (height, width, 3))
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=30, options={"crf": "18", "preset": "ultrafast"})
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for number in range(num_frames):
            picture = texture + (170 if label == "light" else 20)
            if label == "moving":
                place = number * (width - 8) // num_frames
                picture[:, place : place + 8] += 150
            frame = av.VideoFrame.from_ndarray(picture.astype(np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 30)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def write_data_set(root: Path) -> Path:
    """Write ``root/{train,val}/{label}/{number}.mp4``."""
    for number, label in enumerate(LABELS):
        for split, count in (("train", NUM_TRAIN), ("val", NUM_VAL)):
            for index in range(count):
                write_video(root / split / label / f"{index}.mp4", label, seed=100 * number + 10 * len(split) + index)
    return root


def break_video(path: Path) -> Path:
    """Put something in the place of a video that is not one."""
    path.unlink(missing_ok=True)
    path.write_bytes(b"this was a video once\n" * 20)
    return path


def write_filled(path: Path, recipe: Recipe, labels: tuple[str, ...] = LABELS) -> Path:
    """Write a checkpoint of the small network with weights that tell any two clips apart."""
    model = small_network(len(labels))
    fill(model)
    recompute_norm_statistics(model, [golden_clips(8, 4, 32, 32, seed=1)])
    write_checkpoint(path, model.state_dict(), describe(recipe, labels))
    return path


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file by column."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
