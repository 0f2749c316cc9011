"""``vov3d stream CHECKPOINT SOURCE``: what a causal network says of a video while it goes on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from vov3d.data.transforms import crop_offsets, normalise, short_side_size
from vov3d.data.video import Decoder, VideoInfo, Window, open_video
from vov3d.distributed import resolve_device
from vov3d.errors import ArgumentError
from vov3d.optimize import fast_stream
from vov3d.recipe import Recipe
from vov3d.trained import load_trained

FRAMES_AT_ONCE = 16
"""Decoded together; the network sees them one by one."""


@dataclass(frozen=True)
class Moment:
    """What the network says of all frames up to one.

    Attributes:
        frame: number of the frame in the video, from 0.
        seconds: when it is shown.
        top: (label, probability) of the most probable classes, best first.
    """

    frame: int
    seconds: float
    top: tuple[tuple[str, float], ...]


def stream(
    checkpoint: str | Path,
    source: str | Path,
    *,
    step: float | None = None,
    every: int = 1,
    top_k: int = 1,
    device: str = "auto",
) -> Iterator[Moment]:
    """Show a video to a causal network frame by frame, and yield what it says as soon as it does.

    Args:
        checkpoint: of a network that was trained causal (``model.causal``), or of a MoViNet-Stream.
        source: a video file or a folder of frames.
        step: frames of the video from one that is shown to the next; by default those of the training's clips: of dense
            clips their stride, of segments what spreads ``clip.num_frames`` over the video.
        every: frames shown from one answer to the next; the last one is always answered.
        top_k: how many classes to name.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.

    Raises:
        ArgumentError: the network is not causal, or an argument is out of range.
        CheckpointError: the checkpoint cannot be read.
        DecodeError: the video cannot be decoded.
    """
    if every < 1 or top_k < 1 or (step is not None and step <= 0):
        raise ArgumentError(f"every is {every}, top_k {top_k}, step {step}; they must be above 0")
    trained, target = load_trained(checkpoint), resolve_device(device)
    if not trained.model.causal:
        raise ArgumentError(
            f"the network of {str(checkpoint)!r} sees frames before they come; train one with --model.causal true, or "
            "a MoViNet-Stream"
        )
    network = fast_stream(trained.model.to(target))
    activation = torch.sigmoid if trained.recipe.train.loss == "sigmoid" else _softmax
    with open_video(Path(source)) as video:
        shown = _shown(video.info, trained.recipe, step)
        for place, frame in enumerate(_frames(video, shown, trained.recipe)):
            probs = activation(network(frame[None].to(target, trained.model.dtype)))[0].cpu()
            if (place + 1) % every == 0 or place == len(shown) - 1:
                values, numbers = probs.topk(min(top_k, len(probs)))
                labels = [trained.labels[number] for number in numbers.tolist()]
                top = tuple(zip(labels, values.tolist(), strict=True))
                yield Moment(shown[place], shown[place] / video.info.fps, top)


def _softmax(logits: torch.Tensor) -> torch.Tensor:
    return logits.softmax(-1)


def _shown(info: VideoInfo, recipe: Recipe, step: float | None) -> list[int]:
    """The frames that the network is shown: the middle one of each step."""
    if step is None:
        dense = recipe.clip.sampling == "dense"
        step = recipe.clip.frame_stride * info.fps / 30 if dense else info.num_frames / recipe.clip.num_frames
    num_shown = max(round(info.num_frames / step), 1)
    return [min(int((place + 0.5) * step), info.num_frames - 1) for place in range(num_shown)]


def _frames(video: Decoder, shown: Sequence[int], recipe: Recipe) -> Iterator[torch.Tensor]:
    """Yield frames [3, 1, H, W], prepared as views of the test are: resized, the middle cut out, normalised."""
    crop = recipe.test.crop
    size = short_side_size(video.info.height, video.info.width, crop)
    window = Window(*crop_offsets(*size, crop, 1)[0], crop, crop)
    for start in range(0, len(shown), FRAMES_AT_ONCE):
        pixels = video.frames(shown[start : start + FRAMES_AT_ONCE], size, window)
        yield from normalise(pixels, recipe.clip.mean, recipe.clip.std).split(1, dim=1)
