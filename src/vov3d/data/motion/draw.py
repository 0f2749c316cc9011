"""Drawing a motion video: a textured ground, distractors and the actor, on a torus that has no edges.

Coordinates are fractions of the frame, x to the right and y down; angles and hues are fractions of a turn.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vov3d.data.motion.paths import ANGLE, HUE, MOTION_CLASSES, SIZE, Float, X, Y, actor_path, loops, video_lengths
from vov3d.errors import unknown_name

MOTION_VERSION = 1
"""Raised whenever the same settings would draw other videos."""

Video = NDArray[np.float32]

_SMALLEST, _LARGEST = 0.19, 0.36  # radius of the actor at difficulty 0


def render(
    class_name: str,
    seed: int,
    *,
    split: str = "train",
    size: int = 96,
    num_frames: int = 32,
    difficulty: float = 0.1,
) -> NDArray[np.uint8]:
    """Draw one video: a pure function of its arguments and of ``MOTION_VERSION``.

    The same seed gives every class the same scene, the same actor and the same start: only the motion differs.

    Args:
        class_name: one of ``MOTION_CLASSES``.
        seed: 0 or more; seeds of different splits are different streams.
        split: name of the split.
        size: side of the square frames in pixels; the scene does not depend on it.
        num_frames: typical number of frames; the length T is drawn within a quarter of it.
        difficulty: from 0 to 1; a smaller actor, more and larger distractors, a busier ground, a less steady camera.

    Returns:
        Frames [T, size, size, 3], RGB.

    Raises:
        ValueError: an argument out of its range.
    """
    if class_name not in MOTION_CLASSES:
        raise ValueError(unknown_name("motion class", class_name, MOTION_CLASSES))
    if seed < 0 or size < 16 or num_frames < 8 or not 0 <= difficulty <= 1:
        raise ValueError(
            "a motion video needs seed >= 0, size >= 16, num_frames >= 8 and difficulty from 0 to 1;"
            f" got {seed}, {size}, {num_frames} and {difficulty}"
        )
    rng = np.random.default_rng([MOTION_VERSION, seed, *split.encode()])
    length = int(rng.choice(video_lengths(num_frames)))
    camera = (0.002 + 0.02 * difficulty) * loops(length, 2, 4, rng)
    video = _shifted(_ground(size, 0.3 + 0.7 * difficulty, rng), camera)
    for _ in range(1 + round(6 * difficulty)):
        centre = rng.random(2) + rng.uniform(0.02, 0.06 + 0.1 * difficulty) * loops(length, 2, 2, rng)
        radius = np.full(length, rng.uniform(0.03, 0.06 + 0.06 * difficulty))
        angle = rng.random() + 0.1 * loops(length, 1, 2, rng)[:, 0]
        tones = np.broadcast_to(_tones(rng.random(1), rng.uniform(0.3, 0.9), 0.8), (length, 2, 3))
        _paint(video, centre + camera, radius, angle, tones, rng=rng)
    states = actor_path(class_name, length, rng)
    radius = _SMALLEST * (_LARGEST / _SMALLEST) ** states[:, SIZE] * (1 - 0.5 * difficulty)
    tones = _tones(states[:, HUE], 0.75, 1.0)
    _paint(video, states[:, [X, Y]] + camera, radius, states[:, ANGLE], tones, rng=rng, border=0.2)
    return (255 * video + np.float32(0.5)).astype(np.uint8)


def _rgb(hue: Float, saturation: float, value: float) -> Float:
    """Colours [..., 3] from 0 to 1 of hues [...]."""
    primary = np.clip(abs((6 * hue[..., None] + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    colour: Float = value * (1 - saturation * (1 - primary))
    return colour


def _tones(hue: Float, saturation: float, value: float) -> Float:
    """The two colours of an object [T, 2, 3]: its hue, and a paler neighbour."""
    return np.stack([_rgb(hue, saturation, value), _rgb((hue + 0.08) % 1, 0.35 * saturation, value)], axis=1)


def _ground(size: int, contrast: float, rng: np.random.Generator) -> Float:
    """A dusky texture without edges, busier with more contrast (from 0 to 1) [size, size, 3]."""
    x = (np.arange(size) + 0.5) / size
    warp = rng.uniform(0, 0.1) * _noise(3, size, rng)
    along = rng.integers(1, 4) * (x + warp)
    across = rng.integers(-3, 4) * (x[:, None] + warp)
    crispness = 0.5 * 16 ** rng.random()
    patterns = [
        _step(np.sin(2 * np.pi * (along + across)), crispness),  # stripes
        _step(np.sin(2 * np.pi * along) * np.cos(2 * np.pi * across), crispness),  # checks
        _step(_noise(int(rng.integers(4, 9)), size, rng) - 0.5, 4 * crispness),  # patches
        _noise(int(rng.integers(2, 5)), size, rng),  # clouds
    ]
    pattern = patterns[rng.integers(len(patterns))]
    hue, value = rng.uniform(0.4, 1.0), rng.uniform(0.2, 0.35 + 0.2 * contrast)
    dark = _rgb(np.array(hue), rng.uniform(0.2, 0.6), value)
    light = _rgb(
        np.array(hue + rng.uniform(-0.15, 0.15)), rng.uniform(0.2, 0.5), value + rng.uniform(0.1, 0.25) * contrast
    )
    grain = (0.5 + 0.5 * contrast) * (0.1 * (_noise(12, size, rng) - 0.5) + 0.08 * (_noise(40, size, rng) - 0.5))
    return np.clip(dark + pattern[..., None] * (light - dark) + grain[..., None], 0, 1)


def _noise(cells: int, size: int, rng: np.random.Generator) -> Float:
    """Smooth random values from 0 to 1 between the points of a torus of ``cells`` x ``cells`` [size, size]."""
    place = (np.arange(size) + 0.5) / size * cells
    cell = place.astype(int)
    part = (place - cell) ** 2 * (3 - 2 * (place - cell))
    weights = np.zeros((size, cells))
    weights[np.arange(size), cell] = 1 - part
    weights[np.arange(size), (cell + 1) % cells] += part
    values: Float = weights @ rng.random((cells, cells)) @ weights.T
    return values


def _step(values: Float, crispness: float) -> Float:
    """From values about 0 to values between 0 and 1, with edges the sharper the crisper."""
    return 0.5 + 0.5 * np.tanh(crispness * values)


def _shifted(image: Float, offsets: Float) -> Video:
    """The image [size, size, 3] moved around the torus by each offset (x, y) of [T, 2]: [T, size, size, 3]."""
    size = len(image)
    tiled = np.tile(image.astype(np.float32), (2, 2, 1))
    tiled = np.pad(tiled, ((0, 1), (0, 1), (0, 0)), mode="wrap")
    video = np.empty((len(offsets), size, size, 3), np.float32)
    for frame, place in zip(video, -size * offsets, strict=True):
        (left, top), (part_x, part_y) = np.floor(place).astype(int) % size, (place % 1).astype(np.float32)
        window = tiled[top : top + size + 1, left : left + size + 1]
        window = window[:, :-1] + part_x * (window[:, 1:] - window[:, :-1])
        frame[:] = window[:-1] + part_y * (window[1:] - window[:-1])
    return video


def _paint(
    video: Video,
    centre: Float,
    radius: Float,
    angle: Float,
    tones: Float,
    *,
    rng: np.random.Generator,
    border: float = 0.0,
) -> None:
    """Paint an object of random outline and pattern into the video [T, size, size, 3], in place.

    Args:
        video: colours from 0 to 1.
        centre: [T, 2].
        radius: [T], less than half a frame.
        angle: [T].
        tones: two colours [T, 2, 3].
        rng: source of outline and pattern.
        border: width of a white border, as a part of the radius.
    """
    size = video.shape[1]
    side = int(np.ceil(2 * size * radius.max())) + 3  # of a square patch that holds the object
    corner = np.floor(centre * size - side / 2 + 0.5).astype(int)
    pixels = corner[:, :, None] + np.arange(side)  # [T, 2, side]
    local = ((pixels + 0.5 - size * centre[:, :, None]) / (size * radius[:, None, None])).astype(np.float32)
    x, y = local[:, X, None, :], local[:, Y, :, None]
    turn = np.exp(2j * np.pi * angle)[:, None, None].astype(np.complex64)
    x, y = turn.real * x + turn.imag * y, turn.real * y - turn.imag * x  # the object's own axes [T, side, side]

    unit = (size * radius[:, None, None]).astype(np.float32)  # pixels in a radius
    inside = unit * (_outline(np.arctan2(y, x), rng) - np.hypot(x, y))  # pixels from the edge
    cover = np.clip(inside + 0.5, 0, 1)[..., None]
    fill = np.clip(inside + 0.5 - border * unit, 0, 1)[..., None]
    tone = np.clip(unit * _pattern(x, y, rng) + 0.5, 0, 1)[..., None]
    first, second = tones.astype(np.float32)[:, :, None, None].swapaxes(0, 1)
    colour = 1 + fill * (first + tone * (second - first) - 1)  # white where it is not filled

    where = (np.arange(len(video))[:, None, None], pixels[:, Y, :, None] % size, pixels[:, X, None, :] % size)
    under = video[where]
    video[where] = under + cover * (colour - under)


def _outline(direction: Video, rng: np.random.Generator) -> Video:
    """The radius of a random figure in each direction (in radians), at most 1."""
    corners, roundness, kind = rng.integers(3, 7), rng.uniform(0.1, 0.3), rng.integers(4)
    turn = direction * corners / (2 * np.pi)
    off = abs(turn - np.round(turn))  # from a corner, 0, to the middle of a side, 1/2
    figures = [
        np.ones_like(direction),  # disc
        np.cos(np.pi / corners) / np.cos(2 * np.pi * (0.5 - off) / corners),  # polygon
        1 / (1 + 2.4 * off),  # star
        1 - roundness * (1 - np.cos(2 * np.pi * off)),  # flower
    ]
    figure: Video = figures[kind].astype(np.float32)
    return figure


def _pattern(x: Video, y: Video, rng: np.random.Generator) -> Video:
    """How far each point lies within the second tone of a random pattern, in radii, negative outside."""
    kind, width = rng.integers(3), rng.uniform(0.2, 0.35)
    patterns: list[Video] = [
        x,  # half and half
        abs(x) - width,  # a band
        width - np.hypot(x - 0.4, y),  # an eye
    ]
    return patterns[kind]
