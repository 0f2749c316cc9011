"""The motion classes in their families, the splits and the levels of difficulty: names and numbers alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal, get_args

from vov3d.errors import ArgumentError, unknown_name

MOTION_VERSION = 2
"""Raised whenever the same settings would draw other videos."""

MOTION_FAMILIES: Mapping[str, tuple[tuple[str, ...], ...]] = MappingProxyType(
    {
        "direction": (("move_right", "move_left"), ("move_down", "move_up")),
        "there-and-back": (("right_and_back", "left_and_back"),),
        "rotation": (("rotate_clockwise", "rotate_counterclockwise"),),
        "depth": (("approach", "recede"),),
        "events": (("jump_then_blink", "blink_then_jump"),),
        "speed": (("oscillate_slow", "oscillate_fast"),),
        "acceleration": (("speed_up", "slow_down"), ("spin_up", "spin_down")),
        "repetition": (("nod_once", "nod_twice", "nod_three_times"), ("nod_two_then_one", "nod_one_then_two")),
        "tempo": (("pulse_slow", "pulse_fast"), ("spin_slow", "spin_fast")),
        "shapes": (
            ("circle_clockwise", "circle_counterclockwise"),
            ("square_clockwise", "square_counterclockwise"),
            ("triangle_clockwise", "triangle_counterclockwise"),
            ("star_clockwise", "star_counterclockwise"),
            ("spiral_inward", "spiral_outward"),
            ("caret_rightward", "caret_leftward"),
            ("vee_rightward", "vee_leftward"),
            ("zigzag_rightward", "zigzag_leftward"),
            ("cross_downward", "cross_upward"),
        ),
    }
)
"""The families, in groups of classes that share a path: each class takes it at other times (`TIMES_OF_CLASS`)."""

BASIC_FAMILIES = ("direction", "there-and-back", "rotation", "depth", "events", "speed")
"""The families of ``vov3d demo``, which a small network learns within minutes."""

_ONCE, _BACKWARDS, _HALF_LATER = (1.0, 0.0), (-1.0, 1.0), (1.0, 0.5)
_TWICE, _THREE_TIMES = (2.0, 0.0), (3.0, 0.0)
_TIMES_OF_FAMILY = {
    "there-and-back": (_ONCE, _HALF_LATER),
    "speed": (_ONCE, _THREE_TIMES),
    "tempo": (_ONCE, _THREE_TIMES),
}


def _times(family: str, group: tuple[str, ...]) -> tuple[tuple[float, float], ...]:
    if len(group) == 3:
        return (_ONCE, _TWICE, _THREE_TIMES)
    return _TIMES_OF_FAMILY.get(family, (_ONCE, _BACKWARDS))


TIMES_OF_CLASS: Mapping[str, tuple[str, float, float]] = MappingProxyType(
    {
        name: (group[0], speed, shift)
        for family, groups in MOTION_FAMILIES.items()
        for group in groups
        for name, (speed, shift) in zip(group, _times(family, group), strict=True)
    }
)
"""For each class, whose path it takes, and when: at the time ``u`` it is where that one is at ``speed u + shift``."""

MOTION_CLASSES: tuple[str, ...] = tuple(TIMES_OF_CLASS)
"""The names of the classes, in the order of their families."""

ORDER_PAIRS: tuple[tuple[str, str], ...] = tuple(
    (group[0], group[1])
    for family, groups in MOTION_FAMILIES.items()
    for group in groups
    if len(group) == 2 and family not in ("speed", "tempo")
)
"""The pairs whose videos, as unordered sets of frames, have exactly one law."""

Split = Literal["train", "val", "test"]
SPLITS: tuple[str, ...] = get_args(Split)

DIFFICULTIES: Mapping[str, float] = MappingProxyType({"easy": 0.1, "medium": 0.4, "hard": 0.8})
"""The named levels of difficulty, on the scale from 0 to 1 that `draw_clips` knows."""


def classes_of(families: Sequence[str]) -> tuple[str, ...]:
    """The classes of some families, in the order of ``MOTION_CLASSES``.

    Raises:
        ArgumentError: if there is no such family.
    """
    for family in families:
        if family not in MOTION_FAMILIES:
            raise ArgumentError(unknown_name("motion family", family, MOTION_FAMILIES))
    chosen = {name for family in families for group in MOTION_FAMILIES[family] for name in group}
    return tuple(name for name in MOTION_CLASSES if name in chosen)


def video_lengths(num_frames: int) -> list[int]:
    """The lengths that videos of about ``num_frames`` frames have: within a quarter, even and not a multiple of 3.

    Even, so that there is a frame half a video later; not a multiple of 3, so that every third frame around and around
    is every frame once.
    """
    shortest, longest = num_frames * 3 // 4, num_frames * 5 // 4
    return [length for length in range(shortest, longest + 1) if length % 2 == 0 and length % 3 != 0]
