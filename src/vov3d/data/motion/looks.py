"""What things look like: outlines, patterns and grounds, of which every split has its own.

Everything is a function of a clip's numbers and is computed for a whole batch; of the few kinds that a split has, all
are computed and one is taken.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

from vov3d.data.motion.numbers import Numbers, between, whole

OUTLINES: Mapping[str, tuple[tuple[str, int], ...]] = MappingProxyType(
    {
        "train": (
            *(("disc", 1), ("polygon", 3), ("polygon", 4), ("polygon", 6)),
            *(("star", 4), ("star", 5), ("flower", 3), ("flower", 6)),
        ),
        "val": (("polygon", 5), ("star", 6), ("flower", 5)),
        "test": (("cross", 4), ("star", 3), ("flower", 4)),
    }
)
"""Kinds of figures and the number of their corners."""

PATTERNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"train": ("half", "band", "eye"), "val": ("quarter",), "test": ("ring",)}
)
"""What is drawn on them."""

GROUNDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "train": ("stripes", "checks", "patches", "clouds"),
        "val": ("dots", "waves"),
        "test": ("rings", "contours"),
    }
)
"""What is behind everything."""

_BINS = 512  # of the table of an outline


class Look(NamedTuple):
    """The outline and the pattern of an object in each clip.

    Attributes:
        corners: how often the outline repeats in a turn, [N].
        radii: its radius from a corner to the middle of a side, at most 1, [N, _BINS].
        terms: what ``pattern`` adds up, [N, 7].
    """

    corners: Tensor
    radii: Tensor
    terms: Tensor

    def radius(self, direction: Tensor) -> Tensor:
        """The radius of the outline in each direction (in radians), [N, ...] like ``direction``."""
        turn = direction * (self.corners / (2 * math.pi)).view(-1, *[1] * (direction.dim() - 1))
        place = (abs(turn - turn.round()) * (2 * _BINS)).long().clamp_(max=_BINS - 1)
        return self.radii.gather(1, place.flatten(1)).view_as(direction)

    def pattern(self, x: Tensor, y: Tensor) -> Tensor:
        """How far each point lies within the second tone, in radii, negative outside, [N, ...] like ``x``."""
        along, across, around, eye, offset, width, sign = (
            term.view(-1, *[1] * (x.dim() - 1)) for term in self.terms.unbind(1)
        )
        level = along * x + across * abs(y) + around * torch.hypot(x - eye, y) + offset
        return sign * (width - abs(level))


def look(numbers: Numbers, name: str, split: str) -> Look:
    """An object's look: one outline and one pattern of those that the split has."""
    figure, depth, pattern, width = numbers(name, 4).unbind(1)
    kinds = OUTLINES[split]
    chosen = whole(figure, 0, len(kinds))
    off = (torch.arange(_BINS, device=depth.device) + 0.5) / (2 * _BINS)
    depth = between(depth, 0.1, 0.3)[:, None]
    radii = torch.stack([_outline(kind, corners, off, depth) for kind, corners in kinds], dim=1)
    corners = torch.tensor([corners for _, corners in kinds], device=depth.device)[chosen]
    places = torch.arange(len(chosen), device=depth.device)
    terms = torch.stack([_pattern(kind, between(width, 0.2, 0.35)) for kind in PATTERNS[split]], dim=1)
    return Look(corners, radii[places, chosen], terms[places, whole(pattern, 0, len(PATTERNS[split]))])


def _outline(kind: str, corners: int, off: Tensor, depth: Tensor) -> Tensor:
    """The radii of a figure from a corner (0) to the middle of a side (1/2), [N, _BINS]."""
    match kind:
        case "polygon":
            radii = math.cos(math.pi / corners) / torch.cos(2 * math.pi * (0.5 - off) / corners)
        case "star":
            radii = 1 / (1 + 2.4 * off)
        case "cross":
            turn = 2 * math.pi * off / corners
            radii = torch.minimum(1 / torch.cos(turn), 0.38 / torch.sin(turn)) / math.hypot(1, 0.38)
        case "flower":
            radii = 1 - depth * (1 - torch.cos(2 * math.pi * off))
        case _:
            radii = torch.ones_like(off)
    return radii.expand(len(depth), -1)


def _pattern(kind: str, width: Tensor) -> Tensor:
    """The terms of a pattern [N, 7].

    They are factors of x, of abs(y) and of the distance from the point (eye, 0), that eye, an offset, the half width of
    the levels that lie within, and 1 where what lies within has the second tone, -1 where what lies outside has it.
    """
    terms: Sequence[float | Tensor]
    match kind:
        case "half":
            terms = (1.0, 0.0, 0.0, 0.0, 2.0, 2.0, -1.0)
        case "quarter":
            terms = (1.0, -1.0, 0.0, 0.0, 2.0, 2.0, -1.0)
        case "band":
            terms = (1.0, 0.0, 0.0, 0.0, 0.0, width, -1.0)
        case "eye":
            terms = (0.0, 0.0, 1.0, 0.4, 0.0, width, 1.0)
        case _:  # a ring off the centre
            terms = (0.0, 0.0, 1.0, 0.3, -0.45, 0.5 * width, 1.0)
    return torch.stack([torch.zeros_like(width) + term for term in terms], dim=1)


def tones(hue: Tensor, saturation: Tensor | float, value: float) -> tuple[Tensor, Tensor]:
    """The two colours of an object, its hue and a paler neighbour, [N, 3, T] each from hues [N, T]."""
    return rgb(hue, saturation, value), rgb((hue + 0.08) % 1, 0.35 * saturation, value)


def rgb(hue: Tensor, saturation: Tensor | float, value: Tensor | float) -> Tensor:
    """Colours from 0 to 1, [N, 3, ...] from hues [N, ...]; saturation and value broadcast against them."""
    thirds = torch.tensor([0.0, 4.0, 2.0], device=hue.device).view(-1, *[1] * (hue.dim() - 1))
    primary = (abs((6 * hue[:, None] + thirds) % 6 - 3) - 1).clamp(0, 1)
    return value * (1 - saturation * (1 - primary))


def ground(numbers: Numbers, split: str, size: int, contrast: float) -> Tensor:
    """Dusky textures without edges, busier with more contrast (from 0 to 1), float32 [N, 3, size, size]."""
    part = dict(zip(_GROUND_PARTS, numbers("ground", len(_GROUND_PARTS))[:, :, None, None].unbind(1), strict=True))
    patterns = torch.stack([_texture(kind, part, numbers, size) for kind in GROUNDS[split]])
    kind = whole(part["kind"], 0, len(patterns)).view(-1)
    pattern = patterns[kind, torch.arange(len(kind), device=kind.device)]

    hue, value = between(part["hue"], 0.4, 1.0), between(part["value"], 0.2, 0.35 + 0.2 * contrast)
    dark = rgb(hue, between(part["dark"], 0.2, 0.6)[:, None], value[:, None])
    lighter = value + between(part["lighter"], 0.1, 0.25) * contrast
    light = rgb(hue + between(part["shift"], -0.15, 0.15), between(part["light"], 0.2, 0.5)[:, None], lighter[:, None])
    coarse, fine = (_noise(cells, size, numbers(f"grain {cells}", cells**2)) - 0.5 for cells in (12, 40))
    grain = (0.5 + 0.5 * contrast) * (0.1 * coarse + 0.08 * fine)
    return (dark + pattern[:, None] * (light - dark) + grain[:, None]).clamp(0, 1)


_GROUND_PARTS = (
    *("kind", "warp", "columns", "rows", "crispness", "patches", "clouds"),
    *("hue", "value", "dark", "lighter", "shift", "light"),
)


def _texture(kind: str, part: Mapping[str, Tensor], numbers: Numbers, size: int) -> Tensor:
    """Values from 0 to 1 without edges [N, size, size]; of ``part`` each is [N, 1, 1]."""
    place = (torch.arange(size, device=part["warp"].device) + 0.5) / size
    warp = between(part["warp"], 0, 0.1) * _noise(3, size, numbers("warp", 9))
    x, y = place + warp, place[:, None] + warp
    columns, rows = whole(part["columns"], 1, 4), whole(part["rows"], -3, 4)
    along, across = 2 * math.pi * columns * x, 2 * math.pi * rows * y
    match kind:
        case "stripes":
            level = torch.sin(along + across)
        case "checks":
            level = torch.sin(along) * torch.cos(across)
        case "patches":
            level = 4 * (_noise(whole(part["patches"], 4, 9), size, numbers("patches", 64)) - 0.5)
        case "clouds":
            return _noise(whole(part["clouds"], 2, 5), size, numbers("clouds", 16))
        case "dots":
            level = torch.sin(along) + torch.sin(2 * math.pi * columns * y) - 0.7
        case "waves":
            level = torch.sin(2 * math.pi * columns * y + 1.5 * torch.sin(2 * math.pi * x))
        case "rings":
            distance = torch.hypot(torch.sin(math.pi * x), torch.sin(math.pi * y))
            level = torch.sin(2 * math.pi * (1 + columns) * distance)
        case _:  # contours of a landscape
            level = torch.sin(6 * math.pi * _noise(whole(part["patches"], 3, 6), size, numbers("patches", 25)))
    return 0.5 + 0.5 * torch.tanh(0.5 * 16 ** part["crispness"] * level)  # with edges the sharper, the crisper


def _noise(cells: Tensor | int, size: int, values: Tensor) -> Tensor:
    """Smooth values between the points of tori of ``cells`` x ``cells``, [N, size, size].

    Args:
        cells: [N, 1, 1], or the same for all clips.
        size: of the result.
        values: of the points, [N, most cells ** 2].
    """
    most = math.isqrt(values.shape[1])
    lattice = values.view(-1, most, most)
    place = ((torch.arange(size, device=values.device) + 0.5) / size * cells).expand(len(values), 1, size)[:, 0]
    cell = place.long()
    part = (place - cell) ** 2 * (3 - 2 * (place - cell))
    after = (cell + 1) % (cells if isinstance(cells, int) else cells[:, 0])
    rows = [lattice.gather(1, index[:, :, None].expand(-1, -1, most)) for index in (cell, after)]
    mixed = rows[0] + part[:, :, None] * (rows[1] - rows[0])
    columns = [mixed.gather(2, index[:, None].expand(-1, size, -1)) for index in (cell, after)]
    return columns[0] + part[:, None] * (columns[1] - columns[0])
