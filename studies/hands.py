"""Clips of a drawn hand or object before a drawn scene: the motions of the built-in set, nearer to what a camera sees.

The motion set itself lives on a torus, which makes its classes exact and its pictures unlike any footage. Here the same
paths are taken by a hand with an arm that reaches in from outside, or by a lone object, within the edges of the frame:
before plain and busy backgrounds, lit and coloured at random, now and then with somebody standing there, filmed by a
camera that shakes. Beside the motion classes there are random paths, which have no class. Of every clip the path of the
finger tip is given as well: a network that tells it can tell any motion made of it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from scenes import Draws, apart, behind, colours, developed, painted, pixels, shake, shaken, skin, tinted, with_people
from torch import Tensor
from torch.nn import functional as F

from vov3d.data.motion.classes import MOTION_CLASSES, MOTION_FAMILIES
from vov3d.data.motion.draw import numbers_of
from vov3d.data.motion.paths import ANGLE, HUE, SIZE, X, Y, actor_path

NO_CLASS = -1
TRACE_POINTS = 8
TRACE_VALUES = 2 * TRACE_POINTS
_FINE = 64  # points in time at which a path is known
_STEADY = {
    name
    for family in ("speed", "acceleration", "repetition", "tempo")
    for group in MOTION_FAMILIES[family]
    for name in group
}


class Hands(NamedTuple):
    """A batch of clips.

    Attributes:
        clips: RGB from 0 to 1, [N, 3, T, size, size].
        traces: where the tip is at `TRACE_POINTS` times, about its mean: x and y as parts of the frame,
            [N, TRACE_VALUES].
        tips: where it is in each frame, from 0 to 1, [N, 2, T].
    """

    clips: Tensor
    traces: Tensor
    tips: Tensor


def draw_hands(labels: Tensor, seed: int, *, size: int = 64, num_frames: int = 16, difficulty: float = 1.0) -> Hands:
    """Draw clips: a pure function of its arguments and of the version of the motion set.

    Args:
        labels: places in ``MOTION_CLASSES``, or `NO_CLASS` for a random path, [N].
        seed: another seed, other clips.
        size: side of the square frames in pixels.
        num_frames: T.
        difficulty: from 0, a large hand before a plain wall, to 1.
    """
    draws = Draws(len(labels), seed, difficulty)
    state = _states(labels, draws, seed, num_frames)
    video = behind(draws, size).expand(-1, -1, num_frames, -1, -1)
    moves = shake(draws, num_frames)
    video = shaken(video, moves)
    video = with_people(video, draws, moves)
    video = _with_hand(video, draws, state, moves)
    tip = state[..., [X, Y]].transpose(1, 2)
    points = F.adaptive_avg_pool1d(tip, TRACE_POINTS)
    traces = (points - points.mean(2, keepdim=True)).flatten(1).clamp(-0.5, 0.5)
    return Hands(developed(video, draws.generator, difficulty), traces, tip)


def _states(labels: Tensor, draws: Draws, seed: int, num_frames: int) -> Tensor:
    """The state of the tip in each frame, [N, T, 5], within the frame but for a little."""
    fine = ((torch.arange(_FINE) + 0.5) / _FINE).expand(len(labels), -1)
    seeds = (seed << 20) + torch.arange(len(labels))
    path = actor_path(labels.clamp(min=0), fine, numbers_of(seeds, "train"))
    steps = path.diff(dim=1)
    path = torch.cat([torch.zeros_like(path[:, :1]), (steps - steps.round()).cumsum(1)], dim=1)
    has_class = (labels != NO_CLASS)[:, None, None]
    path = torch.where(has_class, path, _random_paths(draws))

    low, high = path.amin(1, keepdim=True), path.amax(1, keepdim=True)
    extent = (high - low)[..., :2]
    wanted = draws(0.55, 1.15, 1, 1) * (0.75 / extent.amax(2, keepdim=True).clamp(min=0.75))
    place = path - low
    place[..., :2] *= wanted
    room = 1 - extent * wanted
    margin = 0.12
    start = margin + draws(0, 1, 1, 2) * (room - 2 * margin)
    start = torch.where(room < 2 * margin, room / 2, start)
    place[..., :2] += start
    place[..., SIZE] += draws(0, 1, 1) * (1 - (high - low)[..., SIZE]).clamp(min=0)
    place[..., HUE] += draws(0, 1, 1)
    place[..., ANGLE] += draws(-0.08, 0.08, 1)
    return _timed(place, labels, draws, num_frames)


def _random_paths(draws: Draws) -> Tensor:
    """Broken lines between random points, some of them rounded, [N, _FINE, 5]."""
    most = 6
    points = draws(0, 1, most, 2)
    strokes = 1 + (draws(0, 1) * (most - 1)).long()
    way = (torch.arange(_FINE) / (_FINE - 1)) * strokes[:, None]
    stroke = way.long().clamp(max=most - 2)
    part = (way - stroke).clamp(0, 1)[..., None]
    begin, end = (points.gather(1, index[..., None].expand(-1, -1, 2)) for index in (stroke, stroke + 1))
    line = begin + part * (end - begin)
    rounded = F.avg_pool1d(F.pad(line.transpose(1, 2), (8, 8), mode="replicate"), 17, 1).transpose(1, 2)
    line = torch.where(draws.chance(0.5)[:, None, None], line, rounded)
    path = torch.zeros(len(line), _FINE, 5)
    path[..., :2] = line * draws(0.5, 1.0, 1, 2)
    return path


def _timed(path: Tensor, labels: Tensor, draws: Draws, num_frames: int) -> Tensor:
    """Frames at random times of equal parts; rest, or coming and going, before and after."""
    begin, end = draws(-0.06, 0.2, 1), draws(0.8, 1.06, 1)
    times = (torch.arange(num_frames) + draws(0, 1, num_frames)) / num_frames
    u = ((times - begin) / (end - begin)).clamp(0, 1)
    steady = torch.tensor([name in _STEADY for name in (*MOTION_CLASSES, "none")])[labels]
    warp = draws(-0.1, 0.1, 1) * ~steady[:, None]
    u = (u + warp * torch.sin(math.pi * u) ** 2).clamp(0, 1) * (_FINE - 1)
    index = u.long().clamp(max=_FINE - 2)
    part = (u - index)[..., None]
    before, after = (path.gather(1, place[..., None].expand(-1, -1, 5)) for place in (index, index + 1))
    states = before + part * (after - before)
    comes, goes = draws.trouble(0.25)[:, None], draws.trouble(0.25)[:, None]
    away = ((begin - times) / 0.12).clamp(0, 1) * comes + ((times - end) / 0.12).clamp(0, 1) * goes
    states[..., Y] += 0.9 * away
    return states


def _capsule(x: Tensor, y: Tensor, begin: Tensor, end: Tensor) -> Tensor:
    """Distance from the line between two points [N, T, 2], [N, T, H, W]."""
    bx, by, ex, ey = (point[..., axis, None, None] for point in (begin, end) for axis in (X, Y))
    dx, dy = ex - bx, ey - by
    part = (((x - bx) * dx + (y - by) * dy) / (dx * dx + dy * dy).clamp(min=1e-6)).clamp(0, 1)
    return torch.hypot(x - bx - part * dx, y - by - part * dy)


def _with_hand(video: Tensor, draws: Draws, state: Tensor, offsets: Tensor) -> Tensor:
    """A hand with a finger and an arm; of a fifth of the clips an object without them."""
    x, y = pixels(video.shape[-1])
    tip = state[..., [X, Y]] + offsets
    is_hand = ~draws.chance(0.2)[:, None]
    unit = draws(0.07 - 0.03 * draws.difficulty, 0.12 - 0.02 * draws.difficulty, 1) * 1.9 ** (state[..., SIZE] - 0.5)
    unit = torch.where(is_hand, unit, 1.3 * unit)
    drawn_by_path = draws(-0.12, 0.02, 1) + state[..., ANGLE]
    turn = 2 * math.pi * (drawn_by_path - 0.25)
    points_to = torch.stack([torch.cos(turn), torch.sin(turn)], dim=-1)
    length = torch.where(is_hand, draws(0.6, 3.2, 1), torch.zeros(1))[..., None] * unit[..., None]
    palm = tip - points_to * length
    side = torch.where(draws.chance(0.5), 1.0, -1.0)
    anchor = torch.stack([0.5 + side * draws(-0.1, 0.6), draws(1.1, 1.6)], dim=1)[:, None]
    follow = draws(0, 0.6, 1, 1)
    elbow = anchor + follow * (palm - palm.mean(1, keepdim=True)) + offsets
    r = unit[..., None, None]
    far = torch.where(is_hand, 0.0, 9.0)[..., None, None]
    finger = _capsule(x, y, palm, tip) - draws(0.25, 0.5, 1, 1, 1) * r + far
    arm = _capsule(x, y, palm, elbow) - draws(0.55, 0.95, 1, 1, 1) * r + far
    px, py = x - palm[..., X, None, None], y - palm[..., Y, None, None]
    around = torch.atan2(py, px) - turn[..., None, None]
    corners = (2 + (draws(0, 1) * 4).long())[:, None, None, None]
    uneven = 1 + draws(0, 0.35, 1, 1, 1) * torch.cos(corners * around)
    hand = torch.hypot(px, py) - r * torch.where(is_hand[..., None, None], 0.5 + 0.5 * uneven, uneven)
    whole = torch.minimum(torch.minimum(finger, arm), hand)
    light = (
        1 + draws(-0.3, 0.3, 1, 1, 1) * (whole / r).clamp(-1, 0) + draws(-0.25, 0.25, 1, 1, 1) * (py / r).clamp(-2, 2)
    )
    sleeve = torch.where((draws.chance(0.4))[:, None], draws(0.8, 3.0, 1), torch.full((1,), 50.0))[..., None, None] * r
    video = _with_shadow(video, draws, whole)
    tone = tinted(apart(skin(draws), video), state[..., HUE] - state[:, :1, HUE])
    video = painted(video, tone, whole, light)
    clothed = torch.maximum(arm - 0.15 * r, sleeve - torch.hypot(px, py))
    return painted(video, colours(draws), clothed, light).clamp(0, 1)


def _with_shadow(video: Tensor, draws: Draws, distance: Tensor) -> Tensor:
    """A soft shadow beside the hand in a quarter of the clips."""
    size = distance.shape[-1]
    shadow = (
        (0.5 - 0.3 * distance * size).clamp(0, 1) * draws(0, 0.5, 1, 1, 1) * draws.trouble(0.25)[:, None, None, None]
    )
    shadow = shadow.roll((size // 16, -(size // 10)), (-2, -1))
    return video * (1 - shadow)[:, None]
