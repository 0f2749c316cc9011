"""The motion classes, and the paths that actors, distractors and camera take.

Why neither a frame nor an unordered set of frames tells the class is argued in :mod:`vov3d.data.motion`.
Frame ``k`` of T stands at the time ``u = (k + 1/2) / T``: reversing the frames is exactly ``u -> 1 - u``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

MOTION_FAMILIES: Mapping[str, tuple[tuple[str, str], ...]] = MappingProxyType(
    {
        "direction": (("move_right", "move_left"), ("move_down", "move_up")),
        "there and back": (("right_and_back", "left_and_back"),),
        "rotation": (("rotate_clockwise", "rotate_counterclockwise"),),
        "depth": (("approach", "recede"),),
        "order of events": (("jump_then_blink", "blink_then_jump"),),
        "speed": (("oscillate_slow", "oscillate_fast"),),
    }
)
"""The families of classes, in pairs. The second of a pair takes the path of the first in another order of frames."""

MOTION_CLASSES: tuple[str, ...] = tuple(name for pairs in MOTION_FAMILIES.values() for pair in pairs for name in pair)
"""The names of the classes, in the order of their families."""

ORDER_PAIRS: tuple[tuple[str, str], ...] = tuple(
    pair for family, pairs in MOTION_FAMILIES.items() if family != "speed" for pair in pairs
)
"""The pairs whose videos, as unordered sets of frames, have exactly one law."""

X, Y, SIZE, ANGLE, HUE = range(5)
"""The dimensions of an actor's state. Each is a circle of length 1: across the frame, down the frame, from the smallest
size to the largest (where the smallest comes again), once round itself, once round the colour wheel."""


def actor_path(class_name: str, num_frames: int, rng: np.random.Generator) -> Float:
    """The path of the actor through its states, from a start drawn uniformly over all of them.

    Args:
        class_name: one of ``MOTION_CLASSES``.
        num_frames: T, even and not a multiple of 3 (see ``video_lengths``).
        rng: source of start, extent and phase; every class draws the same numbers.

    Returns:
        States [T, 5], modulo 1.
    """
    pair = next(pair for pairs in MOTION_FAMILIES.values() for pair in pairs if class_name in pair)
    start, extent, phase = rng.random(5), rng.uniform(0.85, 1.15), rng.random()
    states = (start + _path_of_first(pair[0], num_frames, extent, phase)) % 1.0
    return states if class_name == pair[0] else states[_order_of_second(pair[0], num_frames)]


def _path_of_first(class_name: str, num_frames: int, extent: float, phase: float) -> Float:
    """The path of the first class of a pair, from the origin [T, 5]."""
    u = (np.arange(num_frames) + 0.5) / num_frames
    path = np.zeros((num_frames, 5))
    match class_name:
        case "move_right":
            path[:, X] = 0.9 * extent * u
        case "move_down":
            path[:, Y] = 0.9 * extent * u
        case "right_and_back":
            path[:, X] = 0.4 * extent * (1 - abs(2 * u - 1))
        case "rotate_clockwise":
            path[:, ANGLE] = extent * u
            path[:, X] = 0.2 * np.cos(2 * np.pi * (path[:, ANGLE] + phase))
            path[:, Y] = 0.2 * np.sin(2 * np.pi * (path[:, ANGLE] + phase))
        case "approach":
            path[:, SIZE] = 0.8 * extent * u
        case "jump_then_blink":
            path[:, Y] = -0.3 * extent * _bump(u - 0.25)
            path[:, HUE] = 0.5 * _bump(u - 0.75)
        case "oscillate_slow":
            path[:, Y] = 0.18 * extent * np.cos(2 * np.pi * (u + phase))
    return path


def _order_of_second(first: str, num_frames: int) -> NDArray[np.int64]:
    """The frames of the first class, in the order in which the second class of the pair shows them [T]."""
    k = np.arange(num_frames)
    match first:
        case "right_and_back":  # half a video later: out becomes back
            return (k + num_frames // 2) % num_frames
        case "oscillate_slow":  # every third frame, three times around
            return 3 * k % num_frames
        case _:  # backwards
            return k[::-1]


def _bump(time: Float) -> Float:
    """A smooth there-and-back that lasts half a video [T]."""
    return np.where(abs(time) < 0.25, np.cos(2 * np.pi * time) ** 2, 0.0)


def loops(num_frames: int, count: int, num_harmonics: int, rng: np.random.Generator) -> Float:
    """Smooth random closed curves about 0, with a standard deviation of 1.

    The phases are uniform and independent, so that a curve, the same curve backwards and the same curve from any other
    frame on have one law.

    Args:
        num_frames: T, frames once around.
        count: number of curves.
        num_harmonics: number of waves, the first of them one wave in T frames.
        rng: source of the phases.

    Returns:
        Curves [T, count].
    """
    u = np.arange(num_frames)[:, None, None] / num_frames
    waves = np.arange(1, num_harmonics + 1)
    sums = np.cos(2 * np.pi * (waves * u + rng.random((count, num_harmonics)))).sum(-1)
    curves: Float = sums * np.sqrt(2 / num_harmonics)
    return curves


def video_lengths(num_frames: int) -> list[int]:
    """The lengths that videos of about ``num_frames`` frames have: within a quarter, even and not a multiple of 3.

    Even, so that there is a frame half a video later; not a multiple of 3, so that every third frame around and around
    is every frame once.
    """
    shortest, longest = num_frames * 3 // 4, num_frames * 5 // 4
    return [length for length in range(shortest, longest + 1) if length % 2 == 0 and length % 3 != 0]
