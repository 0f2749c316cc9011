"""Drawing motion clips: a textured ground, distractors and the actor, on a torus that has no edges.

One renderer draws the frames of files and the clips of batches, on any device. Coordinates are fractions of the frame,
x to the right and y down; angles and hues are fractions of a turn.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vov3d.data.motion.classes import MOTION_CLASSES, MOTION_VERSION, SPLITS, Split, video_lengths
from vov3d.data.motion.looks import Look, ground, look, tones
from vov3d.data.motion.numbers import Numbers, between, whole
from vov3d.data.motion.paths import ANGLE, HUE, SIZE, X, Y, actor_path, loops
from vov3d.errors import unknown_name

_SMALLEST, _LARGEST = 0.19, 0.36  # radius of the actor at difficulty 0
_PIXELS_AT_ONCE = {"cpu": 2**19}  # which stay in its caches
_PIXELS_AT_ONCE_ELSEWHERE = 2**25


def draw_clips(
    labels: Tensor,
    seeds: Tensor,
    times: Tensor,
    *,
    split: Split = "train",
    size: int = 96,
    difficulty: float = 0.1,
) -> Tensor:
    """Draw clips on the device of ``seeds``: a pure function of its arguments and of ``MOTION_VERSION``.

    The same seed gives every class the same scene, the same actor and the same start: only the motion differs. A clip
    does not depend on the others of its batch; devices differ by the rounding of a colour.

    Shape: ``[N], [N], [N, T] -> [N, 3, T, size, size]``

    Args:
        labels: places in ``MOTION_CLASSES``, int64.
        seeds: from 0, int64; seeds of different splits are different streams.
        times: when each frame is seen, from 0 (the beginning of the video) to 1 (its end).
        split: decides also which outlines, patterns and grounds there are: no two splits share one.
        size: side of the square frames in pixels; the scene does not depend on it.
        difficulty: from 0 to 1; a smaller actor, more and larger distractors, a busier ground, a less steady camera.

    Returns:
        RGB, uint8.

    Raises:
        ValueError: an argument out of its range.
    """
    check_look(split, size, difficulty)
    if times.dim() != 2 or times.numel() == 0 or not labels.shape == seeds.shape == times.shape[:1]:
        raise ValueError(
            "motion clips need labels [N], seeds [N] and times [N, T], N and T at least 1; got "
            f"{list(labels.shape)}, {list(seeds.shape)} and {list(times.shape)}"
        )
    if labels.is_cpu and not 0 <= int(labels.min()) <= int(labels.max()) < len(MOTION_CLASSES):
        raise ValueError(f"labels are from 0 to {len(MOTION_CLASSES) - 1}; got {int(labels.min())} to {labels.max()}")
    if seeds.is_cpu and int(seeds.min()) < 0:
        raise ValueError(f"seeds of motion clips are 0 or more; got {int(seeds.min())}")
    labels, times = labels.to(seeds.device), times.to(seeds.device)
    num_clips, num_frames = times.shape
    clips = torch.empty(num_clips, 3, num_frames, size, size, dtype=torch.uint8, device=seeds.device)
    frames_at_once = max(1, _PIXELS_AT_ONCE.get(seeds.device.type, _PIXELS_AT_ONCE_ELSEWHERE) // size**2)
    for some in torch.arange(num_clips).split(max(1, frames_at_once // num_frames)):
        part = slice(int(some[0]), int(some[-1]) + 1)
        numbers = numbers_of(seeds[part], split)
        for frames in torch.arange(num_frames).split(frames_at_once):
            when = slice(int(frames[0]), int(frames[-1]) + 1)
            clips[part, :, when] = _drawn(
                labels[part], times[part, when], numbers, split=split, size=size, difficulty=difficulty
            )
    return clips


def check_look(split: str, size: int, difficulty: float) -> None:
    """Refuse what no clip can look like.

    Raises:
        ValueError: an argument out of its range.
    """
    if split not in SPLITS:
        raise ValueError(unknown_name("split of the motion set", split, SPLITS))
    if size < 16 or not 0 <= difficulty <= 1:
        raise ValueError(f"a motion clip needs size >= 16 and difficulty from 0 to 1; got {size} and {difficulty}")


def _drawn(labels: Tensor, times: Tensor, numbers: Numbers, *, split: str, size: int, difficulty: float) -> Tensor:
    """Draw so many clips as go at once, values from 0.5 to 255.5, float32 [N, 3, T, size, size]."""
    camera = (0.002 + 0.02 * difficulty) * loops(times, numbers("camera", 8).view(-1, 2, 4))
    video = _shifted(ground(numbers, split, size, 0.3 + 0.7 * difficulty), camera)
    for place in range(1 + round(6 * difficulty)):
        _paint_distractor(video, camera, times, numbers, name=f"distractor {place}", split=split, difficulty=difficulty)
    states = actor_path(labels, times, numbers)
    shrunk = 1 - 0.5 * difficulty
    radius = shrunk * _SMALLEST * (_LARGEST / _SMALLEST) ** states[..., SIZE]
    actor, colours = look(numbers, "actor", split), tones(states[..., HUE], 0.75, 1.0)
    centre = states[..., [X, Y]] + camera
    angle, largest = states[..., ANGLE], shrunk * _LARGEST
    _paint(video, centre, radius, angle, colours=colours, seen=actor, largest=largest, border=0.2)
    return video.mul_(255).add_(0.5)


def render(
    class_name: str,
    seed: int,
    *,
    split: Split = "train",
    size: int = 96,
    num_frames: int = 32,
    difficulty: float = 0.1,
) -> NDArray[np.uint8]:
    """Draw all frames of one video, see ``draw_clips``.

    Args:
        class_name: one of ``MOTION_CLASSES``.
        seed: 0 or more.
        split: train, val or test.
        size: side of the square frames in pixels.
        num_frames: typical number of frames; the length T is drawn within a quarter of it.
        difficulty: from 0 to 1.

    Returns:
        Frames [T, size, size, 3], RGB.

    Raises:
        ValueError: an argument out of its range.
    """
    if class_name not in MOTION_CLASSES:
        raise ValueError(unknown_name("motion class", class_name, MOTION_CLASSES))
    if seed < 0 or num_frames < 8:
        raise ValueError(f"a motion video needs seed >= 0 and num_frames >= 8; got {seed} and {num_frames}")
    label, seeds = torch.tensor([MOTION_CLASSES.index(class_name)]), torch.tensor([seed])
    length = int(lengths_of(numbers_of(seeds, split), num_frames))
    times = (torch.arange(length)[None] + 0.5) / length
    clip = draw_clips(label, seeds, times, split=split, size=size, difficulty=difficulty)[0]
    return clip.permute(1, 2, 3, 0).contiguous().numpy()


def numbers_of(seeds: Tensor, split: str) -> Numbers:
    """The random numbers of clips or videos [N]."""
    return Numbers(seeds, f"motion {MOTION_VERSION} {split}")


def lengths_of(numbers: Numbers, num_frames: int) -> Tensor:
    """How many frames each video has, int64 [N]."""
    lengths = torch.tensor(video_lengths(num_frames))
    drawn = numbers("length", 1)[:, 0]
    return lengths.to(drawn.device)[whole(drawn, 0, len(lengths))]


def _paint_distractor(
    video: Tensor, camera: Tensor, times: Tensor, numbers: Numbers, *, name: str, split: str, difficulty: float
) -> None:
    """Paint an object that moves on small closed curves."""
    drawn = numbers(f"{name} path", 13)
    start, phases, turn, turn_phases = drawn[:, :2], drawn[:, 2:6].view(-1, 2, 2), drawn[:, 6:7], drawn[:, 7:9]
    way, size, hue, saturation = drawn[:, 9:].unbind(1)
    way = between(way, 0.02, 0.06 + 0.1 * difficulty)[:, None, None]
    largest = 0.06 + 0.06 * difficulty
    _paint(
        video,
        start[:, None] + way * loops(times, phases) + camera,
        between(size, 0.03, largest)[:, None].expand_as(times),
        turn + 0.1 * loops(times, turn_phases[:, None])[..., 0],
        colours=tones(hue[:, None].expand_as(times), between(saturation, 0.3, 0.9)[:, None, None], 0.8),
        seen=look(numbers, f"{name} look", split),
        largest=largest,
    )


def _shifted(images: Tensor, offsets: Tensor) -> Tensor:
    """Images [N, 3, S, S] moved around the torus by each offset (x, y) of [N, T, 2]: [N, 3, T, S, S]."""
    size = images.shape[-1]
    place = -size * offsets
    corner = place.floor()
    part = (place - corner)[:, None, :, :, None, None]  # [N, 1, T, 2, 1, 1]
    pixels = (corner.long()[..., None] + torch.arange(size + 1, device=images.device)) % size  # [N, T, 2, S + 1]
    where = size * pixels[:, :, Y, :, None] + pixels[:, :, X, None, :]
    window = _at(images.flatten(2), where)
    window = torch.lerp(window[..., :-1], window[..., 1:], part[:, :, :, X])
    return torch.lerp(window[..., :-1, :], window[..., 1:, :], part[:, :, :, Y])


def _at(pixels: Tensor, where: Tensor) -> Tensor:
    """Take from [N, 3, pixels] what is at each place [N, ...]: [N, 3, ...]."""
    taken = pixels.gather(2, where.flatten(1)[:, None].expand(-1, 3, -1))
    return taken.view(len(pixels), 3, *where.shape[1:])


def _paint(
    video: Tensor,
    centre: Tensor,
    radius: Tensor,
    angle: Tensor,
    *,
    colours: tuple[Tensor, Tensor],
    seen: Look,
    largest: float,
    border: float = 0.0,
) -> None:
    """Paint an object into every video [N, 3, T, S, S], in place.

    Args:
        video: colours from 0 to 1.
        centre: [N, T, 2].
        radius: [N, T].
        angle: [N, T].
        colours: the two tones, [N, 3, T] each.
        seen: outline and pattern.
        largest: what no radius exceeds, less than half a frame.
        border: width of a white border, as a part of the radius.
    """
    num_clips, _, num_frames, size, _ = video.shape
    side = math.ceil(2 * size * largest) + 3  # of a square patch that holds the object
    corner = (centre * size - side / 2 + 0.5).floor()
    pixels = corner[..., None] + torch.arange(side, device=video.device)  # [N, T, 2, side]
    unit = (size * radius)[..., None, None]  # pixels in a radius
    local = (pixels + 0.5 - size * centre[..., None]) / unit
    x, y = local[:, :, X, None, :], local[:, :, Y, :, None]
    turn = 2 * math.pi * angle[..., None, None]
    cos, sin = torch.cos(turn), torch.sin(turn)
    x, y = cos * x + sin * y, cos * y - sin * x  # the object's own axes [N, T, side, side]

    inside = unit * (seen.radius(torch.atan2(y, x)) - torch.hypot(x, y)) + 0.5  # pixels from the edge
    cover = inside.clamp(0, 1)[:, None]
    fill = (inside - border * unit).clamp(0, 1)[:, None]
    tone = (unit * seen.pattern(x, y) + 0.5).clamp(0, 1)[:, None]
    first, second = (colour[..., None, None] for colour in colours)
    colour = 1 + fill * (torch.lerp(first, second, tone) - 1)  # white where it is not filled

    places = pixels.long() % size
    frames = torch.arange(num_frames, device=video.device)[:, None, None] * size**2
    where = frames + size * places[:, :, Y, :, None] + places[:, :, X, None, :]
    flat = video.view(num_clips, 3, -1)
    under = _at(flat, where)
    painted = torch.lerp(under, colour, cover).flatten(2)
    flat.scatter_(2, where.flatten(1)[:, None].expand(-1, 3, -1), painted)
