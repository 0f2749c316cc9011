"""Drawn scenes as a camera sees them: backgrounds, somebody who stands there, shaking, exposure and noise."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from vov3d.data.motion.paths import X, Y


class Draws:
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


def pixels(size: int) -> tuple[Tensor, Tensor]:
    """Where the columns [S] and rows [S, 1] of a frame are, from 0 to 1."""
    place = (torch.arange(size) + 0.5) / size
    return place, place[:, None]


def colours(draws: Draws, *shape: int) -> Tensor:
    """Any colours, [N, 3, *shape]."""
    value = draws(0.05, 1, 1, *shape)
    return (value + draws(-0.3, 0.3, 3, *shape) * draws(0, 1, 1, *shape)).clamp(0, 1)


def skin(draws: Draws) -> Tensor:
    """From pale to dark skin, and any colour of a third of the hands, [N, 3]."""
    value = draws(0.12, 0.95, 1)
    hand = value * torch.stack([draws(0.95, 1.05), draws(0.62, 0.85), draws(0.42, 0.75)], dim=1)
    return torch.where(draws.chance(0.67)[:, None], hand, colours(draws)).clamp(0, 1)


def apart(colour: Tensor, video: Tensor) -> Tensor:
    """Colours [N, 3], those darkened or lightened that could not be told from what is behind."""
    ground = video.mean((1, 2, 3, 4))[:, None]
    other = torch.where(ground > 0.5, 0.4 * colour, 0.5 + 0.5 * colour)
    return torch.where((colour.mean(1, keepdim=True) - ground).abs() < 0.2, other, colour)


def tinted(colour: Tensor, turn: Tensor) -> Tensor:
    """Colours [N, 3] with their hue turned by parts of a circle [N, T]: [N, 3, T]."""
    angle = 2 * math.pi * turn
    cos, sin = torch.cos(angle)[:, None], torch.sin(angle)[:, None]
    rows = colour[..., None]
    mean = rows.mean(1, keepdim=True)
    across = (rows.roll(1, 1) - rows.roll(-1, 1)) / math.sqrt(3)
    vivid = mean + cos * (rows - mean) + sin * across
    return (vivid + (turn.abs() > 1e-6)[:, None] * 0.5 * (1 - cos) * (0.5 - mean)).clamp(0, 1)


def behind(draws: Draws, size: int) -> Tensor:
    """Backgrounds from plain walls to busy views, [N, 3, 1, size, size]."""
    x, y = pixels(size)
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
    first, second = colours(draws, 1, 1), colours(draws, 1, 1)
    picture = torch.lerp(first, second, field[:, None].clamp(-0.5, 1.5))
    below = (y - draws(0.5, 1.0, 1, 1) + draws(-0.2, 0.2, 1, 1) * (x - 0.5)) * size  # a table, a horizon
    table = below.clamp(0, 1) * draws.trouble(0.35)[:, None, None]
    picture = torch.lerp(picture, colours(draws, 1, 1) + 0.2 * (field - 0.5)[:, None] * busy[:, None], table[:, None])
    for _ in range(5):  # windows, houses, books
        shown = draws.trouble(0.5)[:, None, None] * (busy > 0)
        wide, high = draws(0.03, 0.3, 1, 1), draws(0.03, 0.3, 1, 1)
        inside = torch.minimum(wide - abs(x - draws(0, 1, 1, 1)), high - abs(y - draws(0, 1, 1, 1)))
        picture = torch.lerp(picture, colours(draws, 1, 1), ((inside * size).clamp(0, 1) * shown)[:, None])
    return picture.clamp(0, 1)[:, :, None]


def shake(draws: Draws, num_frames: int) -> Tensor:
    """How far the camera has moved, [N, T, 2]: two clips in five are filmed by hand."""
    u = torch.arange(num_frames)[:, None] / num_frames
    waves = sum(
        torch.sin(2 * math.pi * (rate * u + draws(0, 1, 1, 2))) * draws(0, 1, 1, 2) for rate in (0.5, 1.0, 2.0, 3.0)
    )
    jolts = torch.randn(draws.count, num_frames, 2, generator=draws.generator)
    amount = draws(0, 1, 1, 1) * draws.trouble(0.4)[:, None, None]
    return amount * (0.02 * waves + 0.004 * jolts)


def shaken(video: Tensor, offsets: Tensor) -> Tensor:
    """Pictures seen by a camera that has moved, mirrored beyond their edges."""
    moves = offsets.abs().amax((1, 2)) > 0
    if not moves.any():
        return video.clone()
    out = video.clone()
    still, offsets = video[moves, :, 0], offsets[moves]
    count, frames, size = len(still), offsets.shape[1], video.shape[-1]
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


def painted(video: Tensor, colour: Tensor, distance: Tensor, light: Tensor | None = None) -> Tensor:
    """Lay a colour [N, 3] or [N, 3, T] over a video where the distance [N, T, H, W], in frames, is below 0."""
    cover = (0.5 - distance * video.shape[-1]).clamp(0, 1)[:, None]
    colour = colour[..., None, None] if colour.dim() == 3 else colour[..., None, None, None]
    if light is not None:
        colour = colour * light[:, None]
    return torch.lerp(video, colour.expand_as(video) if light is None else colour, cover)


def with_people(video: Tensor, draws: Draws, offsets: Tensor) -> Tensor:
    """Somebody who stands there and sways, head and shoulders, in a quarter of the clips."""
    shown = draws.trouble(0.25)
    if not shown.any():
        return video
    x, y = pixels(video.shape[-1])
    frames = video.shape[2]
    u = torch.arange(frames) / frames
    sway = draws(0, 0.02, 1) * torch.sin(2 * math.pi * (draws(0.3, 1.5, 1) * u + draws(0, 1, 1)))
    centre = (draws(0.2, 0.8, 1) + sway + offsets[..., X])[..., None, None]
    top = (draws(0.1, 0.45, 1) + offsets[..., Y])[..., None, None]
    radius = draws(0.06, 0.16, 1, 1, 1)
    head = torch.hypot(x - centre, 0.8 * (y - top)) - radius
    body = torch.hypot((x - centre) / 2.2, (y - top - 3.2 * radius) / 2.4) - 0.85 * radius
    away = torch.where(shown, 0.0, 9.0)[:, None, None, None]
    video = painted(video, colours(draws), body + away)
    return painted(video, skin(draws), head + away)


def developed(video: Tensor, generator: torch.Generator, strength: float = 1.0) -> Tensor:
    """What a camera makes of pictures [N, 3, T, H, W]: exposure, tint, contrast, blur and noise, drawn for a clip."""

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
