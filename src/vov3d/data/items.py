"""What datasets yield and loaders put together: clips, views, and videos that cannot be decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import NamedTuple

import torch

from vov3d.data.views import Views


@dataclass(frozen=True)
class Clip:
    """One training clip: float32 [3, T, H, W], the class it shows (after any flip), its index in the split.

    `label` is the first of the classes, -1 for none; `target` [K] is 1 for each class that it shows and 0 elsewhere.
    """

    clip: torch.Tensor
    label: int
    index: int
    target: torch.Tensor | None = None


@dataclass(frozen=True)
class Broken:
    """A video that cannot be decoded: its index in the split, its path, and why, in one line."""

    index: int
    path: str
    reason: str


class Batch(NamedTuple):
    """Clips [N, 3, T, H, W] or views [N, V, 3, T, H, W], labels [N], indices [N], and what could not be decoded.

    Where nothing could, N is 0. Targets are float32 [N, K], 1 for each class that a clip shows: one in each row, or any
    number in a data set of several labels a video; views have none, [0]. (A tuple, so that a DataLoader can pin its
    memory.)
    """

    clips: torch.Tensor
    labels: torch.Tensor
    indices: torch.Tensor
    targets: torch.Tensor
    broken: tuple[Broken, ...]


def collate(items: Sequence[Clip | tuple[Clip, ...] | Views | Broken]) -> Batch:
    """Put items together for the `collate_fn` of a DataLoader.

    Of repeated videos the first clip of each comes first, then the second of each, so that parts of the batch show as
    many videos as can be.
    """
    rows = [item if isinstance(item, tuple) else (item,) for item in items]
    good = [item for turn in zip_longest(*rows) for item in turn if item is not None and not isinstance(item, Broken)]
    targets = [item.target for item in good if isinstance(item, Clip) and item.target is not None]
    return Batch(
        clips=_stacked([_tensor(item) for item in good]) if good else torch.empty(0),
        labels=torch.tensor([item.label for item in good], dtype=torch.int64),
        indices=torch.tensor([item.index for item in good], dtype=torch.int64),
        targets=torch.stack(targets) if targets else torch.empty(0),
        broken=tuple(item for item in items if isinstance(item, Broken)),
    )


def _stacked(clips: Sequence[torch.Tensor]) -> torch.Tensor:
    """[..., 3, T, H, W] each -> [N, ..., 3, T, H, W], channels-last in memory as the clips are."""
    return torch.stack([clip.movedim(-4, -1) for clip in clips]).movedim(-1, -4)


def _tensor(item: Clip | Views) -> torch.Tensor:
    return item.clip if isinstance(item, Clip) else item.views
