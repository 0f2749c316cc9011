"""The paths that actors, distractors and camera take.

Why neither a frame nor an unordered set of frames tells the class is argued in :mod:`vov3d.data.motion`. Times run from
0 to 1; frame ``k`` of a video of T stands at ``u = (k + 1/2) / T``, so that reversing its frames is exactly
``u -> 1 - u``. Mirror images are paths too: where a name says no direction, left and right are equally likely.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

from vov3d.data.motion.classes import MOTION_CLASSES, TIMES_OF_CLASS
from vov3d.data.motion.numbers import Numbers, between

X, Y, SIZE, ANGLE, HUE = range(5)
"""The dimensions of an actor's state. Each is a circle of length 1: across the frame, down the frame, from the smallest
size to the largest (where the smallest comes again), once round itself, once round the colour wheel."""


def actor_path(labels: Tensor, times: Tensor, numbers: Numbers) -> Tensor:
    """The paths of the actors through their states, from starts drawn uniformly over all of them.

    Args:
        labels: places in ``MOTION_CLASSES``, int64 [N].
        times: float32 [N, T].
        numbers: where start, extent, phase and all else come from; every class draws the same.

    Returns:
        States [N, T, 5], modulo 1.
    """
    bases = list(_PATHS)
    rows = [TIMES_OF_CLASS[name] for name in MOTION_CLASSES]
    base = torch.tensor([bases.index(row[0]) for row in rows], device=labels.device)[labels]
    speed, shift = torch.tensor([row[1:] for row in rows], device=labels.device)[labels].unbind(1)
    u = (speed[:, None] * times + shift[:, None]) % 1.0
    chance = Chance(*numbers("path", len(Chance._fields))[:, :, None].unbind(1))
    paths = torch.stack([path(u, chance) for path in _PATHS.values()])
    return (numbers("start", 5)[:, None] + paths[base, torch.arange(len(base), device=base.device)]) % 1.0


def loops(times: Tensor, phases: Tensor) -> Tensor:
    """Smooth closed curves about 0, with a standard deviation of 1 over uniform phases.

    Where the phases are uniform and independent, a curve, the same curve backwards and the same curve from any other
    time on have one law.

    Args:
        times: [N, T].
        phases: of each curve's waves, the first of them one wave in a video, [N, count, num_harmonics].

    Returns:
        Curves [N, T, count].
    """
    num_harmonics = phases.shape[2]
    waves = torch.arange(1, num_harmonics + 1, device=times.device)
    turns = waves * times[:, :, None, None] + phases[:, None]
    return torch.cos(2 * math.pi * turns).sum(-1) * math.sqrt(2 / num_harmonics)


class Chance(NamedTuple):
    """What is drawn for a path: numbers that are uniform from 0 to 1, each [N, 1]."""

    extent: Tensor
    phase: Tensor
    side: Tensor
    heading: Tensor
    tilt: Tensor
    share: Tensor
    before: Tensor
    after: Tensor
    width: Tensor
    height: Tensor
    left: Tensor
    middle: Tensor
    right: Tensor

    @property
    def reach(self) -> Tensor:
        """How far the path goes, 1 on the average."""
        return between(self.extent, 0.85, 1.15)

    @property
    def sign(self) -> Tensor:
        """-1 or 1."""
        return torch.where(self.side < 0.5, -1.0, 1.0)


Path = Callable[[Tensor, Chance], Tensor]


def _state(
    like: Tensor,
    *,
    x: Tensor | None = None,
    y: Tensor | None = None,
    size: Tensor | None = None,
    angle: Tensor | None = None,
    hue: Tensor | None = None,
) -> Tensor:
    """Put coordinates [N, T] together; those that are not given stay 0."""
    rest = torch.zeros_like(like)
    return torch.stack([rest if part is None else part for part in (x, y, size, angle, hue)], dim=-1)


def _rotate(u: Tensor, chance: Chance) -> Tensor:
    turn = chance.reach * u
    x, y = _on_circle(turn + chance.phase)
    return _state(u, x=0.2 * x, y=0.2 * y, angle=turn)


def _speed_up(u: Tensor, chance: Chance) -> Tensor:
    x, y = _on_circle(chance.heading)
    way = 0.9 * chance.reach * u**2
    return _state(u, x=way * x, y=way * y)


def _nod(u: Tensor, chance: Chance) -> Tensor:
    """Once round, a nod that lasts one half to four fifths of the time, and rest."""
    part = (u + chance.phase) % 1.0 / between(chance.share, 0.5, 0.8)
    return _state(u, angle=0.3 * chance.reach * chance.sign * _bump(part - 0.5, 1.0))


def _two_then_one(u: Tensor, chance: Chance) -> Tensor:
    """Three short nods, the last one apart."""
    late = between(chance.phase, -0.05, 0.05)
    nods = torch.stack([_bump(u - late - centre, 0.18) for centre in (0.15, 0.35, 0.8)]).sum(0)
    return _state(u, angle=0.3 * chance.reach * chance.sign * nods)


def _circle(u: Tensor, chance: Chance) -> Tensor:
    x, y = _on_circle(chance.phase + _progress(u, chance))
    return _drawn(x, y, chance)


def _spiral(u: Tensor, chance: Chance) -> Tensor:
    way = _progress(u, chance)
    x, y = _on_circle(chance.phase + 1.75 * chance.sign * way)
    radius = 1.15 * (1 - 0.85 * way)
    return _drawn(radius * x, radius * y, chance)


def _outline(turns: Sequence[float]) -> Path:
    """Once along a closed outline with corners at these turns on a circle, from anywhere on it."""

    def path(u: Tensor, chance: Chance) -> Tensor:
        corners = torch.tensor([[math.cos(2 * math.pi * turn), math.sin(2 * math.pi * turn)] for turn in turns])
        x, y = _along(corners.to(u.device)[None], (chance.phase + _progress(u, chance)) % 1.0)
        return _drawn(x, y, chance)

    return path


def _caret(u: Tensor, chance: Chance) -> Tensor:
    x, y = _caret_points(u, chance)
    return _drawn(x, y, chance)


def _vee(u: Tensor, chance: Chance) -> Tensor:
    x, y = _caret_points(u, chance)
    return _drawn(x, -y, chance)


def _caret_points(u: Tensor, chance: Chance) -> tuple[Tensor, Tensor]:
    """Up and down again on the way from left to right, one arm often longer than the other."""
    ends = [between(end, -0.2, 1.0) for end in (chance.left, chance.right)]
    corners = ((-1.0, ends[0]), (between(chance.middle, -0.4, 0.4), -1.0), (1.0, ends[1]))
    return _along(_corners(chance, corners), _progress(u, chance))


def _zigzag(u: Tensor, chance: Chance) -> Tensor:
    corners = ((-1.0, chance.sign), (-1 / 3, -chance.sign), (1 / 3, chance.sign), (1.0, -chance.sign))
    x, y = _along(_corners(chance, corners), _progress(u, chance))
    return _drawn(x, 0.8 * y, chance)


def _cross(u: Tensor, chance: Chance) -> Tensor:
    """Down along one diagonal, up to its other side, and down along the other diagonal."""
    corners = ((-chance.sign, -1.0), (chance.sign, 1.0), (chance.sign, -1.0), (-chance.sign, 1.0))
    x, y = _along(_corners(chance, corners), _progress(u, chance))
    return _drawn(0.9 * x, 0.9 * y, chance)


_PATHS: Mapping[str, Path] = MappingProxyType(
    {
        "move_right": lambda u, chance: _state(u, x=0.9 * chance.reach * u),
        "move_down": lambda u, chance: _state(u, y=0.9 * chance.reach * u),
        "right_and_back": lambda u, chance: _state(u, x=0.4 * chance.reach * (1 - abs(2 * u - 1))),
        "rotate_clockwise": _rotate,
        "approach": lambda u, chance: _state(u, size=0.8 * chance.reach * u),
        "jump_then_blink": lambda u, chance: _state(
            u, y=-0.3 * chance.reach * _bump(u - 0.25, 0.5), hue=0.5 * _bump(u - 0.75, 0.5)
        ),
        "oscillate_slow": lambda u, chance: _state(u, y=0.18 * chance.reach * _on_circle(u + chance.phase)[0]),
        "speed_up": _speed_up,
        "spin_up": lambda u, chance: _state(u, angle=1.5 * chance.reach * chance.sign * u**2),
        "nod_once": _nod,
        "nod_two_then_one": _two_then_one,
        "pulse_slow": lambda u, chance: _state(u, size=0.2 * chance.reach * _on_circle(u + chance.phase)[0]),
        "spin_slow": lambda u, chance: _state(u, angle=chance.sign * u),
        "circle_clockwise": _circle,
        "square_clockwise": _outline([0.125 + corner / 4 for corner in range(5)]),
        "triangle_clockwise": _outline([-0.25 + corner / 3 for corner in range(4)]),
        "star_clockwise": _outline([-0.25 + corner * 2 / 5 for corner in range(6)]),
        "spiral_inward": _spiral,
        "caret_rightward": _caret,
        "vee_rightward": _vee,
        "zigzag_rightward": _zigzag,
        "cross_downward": _cross,
    }
)
"""The path of the first class of each group, from any point [N, T, 5]."""


def _bump(time: Tensor, length: float) -> Tensor:
    """A smooth there-and-back about 0 that lasts as long as is said."""
    return torch.where(abs(time) < length / 2, torch.cos(math.pi / length * time) ** 2, 0.0)


def _on_circle(turn: Tensor) -> tuple[Tensor, Tensor]:
    """The points (x, y) at these turns, clockwise from the right."""
    return torch.cos(2 * math.pi * turn), torch.sin(2 * math.pi * turn)


def _progress(u: Tensor, chance: Chance) -> Tensor:
    """How much of a figure is drawn, from 0 to 1: there is some rest before and after."""
    before, after = 0.12 * chance.before, 0.12 * chance.after
    return ((u - before) / (1 - before - after)).clamp(0, 1)


def _drawn(x: Tensor, y: Tensor, chance: Chance) -> Tensor:
    """Bring a figure [N, T] of radius 1 to its size and tilt it a little."""
    wide, high = (0.23 * chance.reach * between(part, 0.85, 1.15) for part in (chance.width, chance.height))
    x, y = wide * x, high * y
    cos, sin = _on_circle(between(chance.tilt, -0.04, 0.04))
    return _state(x, x=cos * x - sin * y, y=sin * x + cos * y)


def _corners(chance: Chance, corners: Sequence[tuple[Tensor | float, Tensor | float]]) -> Tensor:
    """Corners, each coordinate a number or [N, 1], as [N, V, 2]."""
    zero = torch.zeros_like(chance.side)
    return torch.stack([torch.cat([zero + x, zero + y], dim=1) for x, y in corners], dim=1)


def _along(corners: Tensor, parts: Tensor) -> tuple[Tensor, Tensor]:
    """Where a point is after a part of its way along straight strokes, at an even speed.

    Args:
        corners: [N or 1, V, 2].
        parts: from 0 to 1, [N, T].

    Returns:
        x and y, each [N, T].
    """
    strokes = corners.diff(dim=1)
    lengths = strokes.norm(dim=2)
    ends = lengths.cumsum(1)
    way = parts[:, :, None] * ends[:, None, -1:]
    done = ((way - (ends - lengths)[:, None]) / lengths[:, None]).clamp(0, 1)  # of each stroke [N, T, V - 1]
    x, y = (corners[:, :1] + (done[..., None] * strokes[:, None]).sum(2)).unbind(2)
    return x, y
