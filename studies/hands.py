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
        traces: where the tip is at `TRACE_POINTS` times, about its mean: x and y as parts of the frame, [N, TRACE_VALUES].
        tips: where it is in each frame, from 0 to 1, [N, 2, T].
    """

    clips: Tensor
    traces: Tensor
    tips: Tensor


class _Draws:
    """Uniform numbers of one batch."""

    def __init__(self, count: int, seed: int, difficulty: float) -> None:
        self.count, self.generator = count, torch.Generator().manual_seed(seed)
        self.difficulty = difficulty

    def __call__(self, low: float, high: float, *shape: int) -> Tensor:
        """Numbers from low to high, [N, *shape]."""
        return low + (high - low) * torch.rand(self.count, *shape, generator=self.generator)

    def chance(self, probability: float) -> Tensor:
        """Whether something is so, [N]."""
        return torch.rand(self.count, generator=self.generator) < probability

    def trouble(self, probability: float) -> Tensor:
        """Whether something makes it harder, the less often the easier it is to be, [N]."""
        return self.chance(probability * self.difficulty)


def draw_hands(labels: Tensor, seed: int, *, size: int = 64, num_frames: int = 16, difficulty: float = 1.0) -> Hands:
    """Draw clips: a pure function of its arguments and of the version of the motion set.

    Args:
        labels: places in ``MOTION_CLASSES``, or `NO_CLASS` for a random path, [N].
        seed: another seed, other clips.
        size: side of the square frames in pixels.
        num_frames: T.
        difficulty: from 0, a large hand before a plain wall, to 1.
    """
    draws = _Draws(len(labels), seed, difficulty)
    state = _states(labels, draws, seed, num_frames)
    video = _behind(draws, size).expand(-1, -1, num_frames, -1, -1)
    shake = _shake(draws, num_frames)
    video = _shaken(video, shake)
    x, y = _pixels(size)
    video = _with_people(video, draws, shake, x, y)
    video = _with_hand(video, draws, state, shake, x, y)
    tip = state[..., [X, Y]].transpose(1, 2)
    points = F.adaptive_avg_pool1d(tip, TRACE_POINTS)
    traces = (points - points.mean(2, keepdim=True)).flatten(1).clamp(-0.5, 0.5)
    return Hands(developed(video, draws.generator, difficulty), traces, tip)


def developed(video: Tensor, generator: torch.Generator, strength: float = 1.0) -> Tensor:
    """What a camera makes of pictures [N, 3, T, H, W]: exposure, tint, contrast, blur and noise, each drawn for a clip."""

    def drawn(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(len(video), *shape, generator=generator)

    blurred = F.avg_pool3d(video, (1, 3, 3), 1, (0, 1, 1), count_include_pad=False)
    video = torch.lerp(video, blurred, drawn(0, 1, 1, 1, 1, 1) * (drawn(0, 1, 1, 1, 1, 1) < 0.5 * strength))
    video = video.clamp(0.001, 1) ** (2 ** (strength * drawn(-0.7, 0.7, 1, 1, 1, 1)))
    gain = drawn(0.7, 1.25, 1, 1, 1, 1) * drawn(0.85, 1.15, 3, 1, 1, 1)
    flicker = 1 + 0.03 * torch.randn(len(video), 1, video.shape[2], 1, 1, generator=generator) * drawn(0, 1, 1, 1, 1, 1)
    grey = video.mean(1, keepdim=True)
    video = torch.lerp(grey, video, drawn(0.3, 1.2, 1, 1, 1, 1)) * gain * flicker
    noise = torch.randn(video.shape, generator=generator) * 0.05 * strength * drawn(0, 1, 1, 1, 1, 1) ** 2
    return (video + noise).clamp_(0, 1)


def _states(labels: Tensor, draws: _Draws, seed: int, num_frames: int) -> Tensor:
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


def _random_paths(draws: _Draws) -> Tensor:
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


def _timed(path: Tensor, labels: Tensor, draws: _Draws, num_frames: int) -> Tensor:
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


def _pixels(size: int) -> tuple[Tensor, Tensor]:
    place = (torch.arange(size) + 0.5) / size
    return place, place[:, None]


def _colours(draws: _Draws, *shape: int) -> Tensor:
    """Any colours, [N, 3, *shape]."""
    value = draws(0.05, 1, 1, *shape)
    return (value + draws(-0.3, 0.3, 3, *shape) * draws(0, 1, 1, *shape)).clamp(0, 1)


def _skin(draws: _Draws) -> Tensor:
    """From pale to dark skin, and any colour of a third of the hands, [N, 3]."""
    value = draws(0.12, 0.95, 1)
    hand = value * torch.stack([draws(0.95, 1.05), draws(0.62, 0.85), draws(0.42, 0.75)], dim=1)
    return torch.where(draws.chance(0.67)[:, None], hand, _colours(draws)).clamp(0, 1)


def _behind(draws: _Draws, size: int) -> Tensor:
    """Backgrounds from plain walls to busy views, [N, 3, 1, size, size]."""
    x, y = _pixels(size)
    turn = draws(0, 2 * math.pi, 1, 1)
    along = torch.cos(turn) * (x - 0.5) + torch.sin(turn) * (y - 0.5)
    busy = (draws(0, 1, 1, 1) ** 2) * draws.trouble(0.65)[:, None, None]
    field = 0.5 + draws(-0.6, 0.6, 1, 1) * along
    for cells in (3, 7, 16, 32):
        values = torch.rand(draws.count, 1, cells, cells, generator=draws.generator)
        mode = "nearest" if cells == 16 else "bilinear"
        noise = F.interpolate(values, size=(size, size), mode=mode)[:, 0] - 0.5
        field = field + 1.2 * busy * draws(0, 1, 1, 1) * noise
    waves = torch.sin(2 * math.pi * (draws(2, 14, 1, 1) * along + draws(0, 1, 1, 1)))
    stripes = torch.where(draws.chance(0.5)[:, None, None], waves, waves.sign())
    field = field + 0.35 * draws(0, 1, 1, 1) * draws.trouble(0.3)[:, None, None] * stripes
    first, second = _colours(draws, 1, 1), _colours(draws, 1, 1)
    picture = torch.lerp(first, second, field[:, None].clamp(-0.5, 1.5))
    below = (y - draws(0.5, 1.0, 1, 1) + draws(-0.2, 0.2, 1, 1) * (x - 0.5)) * size  # a table, a horizon
    table = below.clamp(0, 1) * draws.trouble(0.35)[:, None, None]
    picture = torch.lerp(picture, _colours(draws, 1, 1) + 0.2 * (field - 0.5)[:, None] * busy[:, None], table[:, None])
    for _ in range(5):  # windows, houses, books
        shown = draws.trouble(0.5)[:, None, None] * (busy > 0)
        wide, high = draws(0.03, 0.3, 1, 1), draws(0.03, 0.3, 1, 1)
        inside = torch.minimum(wide - abs(x - draws(0, 1, 1, 1)), high - abs(y - draws(0, 1, 1, 1)))
        picture = torch.lerp(picture, _colours(draws, 1, 1), ((inside * size).clamp(0, 1) * shown)[:, None])
    return picture.clamp(0, 1)[:, :, None]


def _shake(draws: _Draws, num_frames: int) -> Tensor:
    """How far the camera has moved, [N, T, 2]: two clips in five are filmed by hand."""
    u = torch.arange(num_frames)[:, None] / num_frames
    waves = sum(
        torch.sin(2 * math.pi * (rate * u + draws(0, 1, 1, 2))) * draws(0, 1, 1, 2) for rate in (0.5, 1.0, 2.0, 3.0)
    )
    jolts = torch.randn(draws.count, num_frames, 2, generator=draws.generator)
    amount = draws(0, 1, 1, 1) * draws.trouble(0.4)[:, None, None]
    return amount * (0.02 * waves + 0.004 * jolts)


def _shaken(video: Tensor, shake: Tensor) -> Tensor:
    """Pictures seen by a camera that has moved, mirrored beyond their edges."""
    moves = shake.abs().amax((1, 2)) > 0
    if not moves.any():
        return video.clone()
    out = video.clone()
    still, offsets = video[moves, :, 0], shake[moves]
    count, frames, size = len(still), shake.shape[1], video.shape[-1]
    place = (torch.arange(size) + 0.5) * 2 / size - 1
    grid = torch.stack(torch.broadcast_tensors(place, place[:, None]), dim=-1)
    grid = grid - 2 * offsets[:, :, None, None]
    moved = F.grid_sample(
        still[:, :, None].expand(-1, -1, frames, -1, -1).transpose(1, 2).flatten(0, 1),
        grid.flatten(0, 1),
        padding_mode="reflection",
        align_corners=False,
    )
    out[moves] = moved.view(count, frames, 3, size, size).transpose(1, 2)
    return out


def _painted(video: Tensor, colour: Tensor, distance: Tensor, light: Tensor | None = None) -> Tensor:
    """Lay a colour [N, 3] or [N, 3, T] over a video where the distance [N, T, H, W], in frames, is below 0."""
    cover = (0.5 - distance * video.shape[-1]).clamp(0, 1)[:, None]
    colour = colour[..., None, None] if colour.dim() == 3 else colour[..., None, None, None]
    if light is not None:
        colour = colour * light[:, None]
    return torch.lerp(video, colour.expand_as(video) if light is None else colour, cover)


def _with_people(video: Tensor, draws: _Draws, shake: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Somebody who stands there and sways, head and shoulders, in a quarter of the clips."""
    shown = draws.trouble(0.25)
    if not shown.any():
        return video
    frames = video.shape[2]
    u = torch.arange(frames) / frames
    sway = draws(0, 0.02, 1) * torch.sin(2 * math.pi * (draws(0.3, 1.5, 1) * u + draws(0, 1, 1)))
    centre = (draws(0.2, 0.8, 1) + sway + shake[..., X])[..., None, None]
    top = (draws(0.1, 0.45, 1) + shake[..., Y])[..., None, None]
    radius = draws(0.06, 0.16, 1, 1, 1)
    head = torch.hypot(x - centre, 0.8 * (y - top)) - radius
    body = torch.hypot((x - centre) / 2.2, (y - top - 3.2 * radius) / 2.4) - 0.85 * radius
    away = torch.where(shown, 0.0, 9.0)[:, None, None, None]
    video = _painted(video, _colours(draws), body + away)
    return _painted(video, _skin(draws), head + away)


def _capsule(x: Tensor, y: Tensor, begin: Tensor, end: Tensor) -> Tensor:
    """Distance from the line between two points [N, T, 2], [N, T, H, W]."""
    bx, by, ex, ey = (point[..., axis, None, None] for point in (begin, end) for axis in (X, Y))
    dx, dy = ex - bx, ey - by
    part = (((x - bx) * dx + (y - by) * dy) / (dx * dx + dy * dy).clamp(min=1e-6)).clamp(0, 1)
    return torch.hypot(x - bx - part * dx, y - by - part * dy)


def _with_hand(video: Tensor, draws: _Draws, state: Tensor, shake: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """A hand with a finger and an arm; of a fifth of the clips an object without them."""
    tip = state[..., [X, Y]] + shake
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
    elbow = anchor + follow * (palm - palm.mean(1, keepdim=True)) + shake
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
    skin = _tinted(_apart(_skin(draws), video), state[..., HUE] - state[:, :1, HUE])
    video = _painted(video, skin, whole, light)
    clothed = torch.maximum(arm - 0.15 * r, sleeve - torch.hypot(px, py))
    return _painted(video, _colours(draws), clothed, light).clamp(0, 1)


def _apart(colour: Tensor, video: Tensor) -> Tensor:
    """Colours [N, 3], those darkened or lightened that could not be told from what is behind."""
    behind = video.mean((1, 2, 3, 4))[:, None]
    other = torch.where(behind > 0.5, 0.4 * colour, 0.5 + 0.5 * colour)
    return torch.where((colour.mean(1, keepdim=True) - behind).abs() < 0.2, other, colour)


def _with_shadow(video: Tensor, draws: _Draws, distance: Tensor) -> Tensor:
    """A soft shadow beside the hand in a quarter of the clips."""
    size = distance.shape[-1]
    shadow = (
        (0.5 - 0.3 * distance * size).clamp(0, 1) * draws(0, 0.5, 1, 1, 1) * draws.trouble(0.25)[:, None, None, None]
    )
    shadow = shadow.roll((size // 16, -(size // 10)), (-2, -1))
    return video * (1 - shadow)[:, None]


def _tinted(colour: Tensor, turn: Tensor) -> Tensor:
    """Colours [N, 3] with their hue turned by parts of a circle [N, T]: [N, 3, T]."""
    angle = 2 * math.pi * turn
    cos, sin = torch.cos(angle)[:, None], torch.sin(angle)[:, None]
    rows = colour[..., None]
    mean = rows.mean(1, keepdim=True)
    across = (rows.roll(1, 1) - rows.roll(-1, 1)) / math.sqrt(3)
    vivid = mean + cos * (rows - mean) + sin * across
    return (vivid + (turn.abs() > 1e-6)[:, None] * 0.5 * (1 - cos) * (0.5 - mean)).clamp(0, 1)
