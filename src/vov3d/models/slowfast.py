"""SlowFast: one pathway sees few frames with many channels, another many frames with few channels.

Feichtenhofer, Fan, Malik, He: "SlowFast Networks for Video Recognition", arXiv 1812.03982.

::

    slow   every alpha-th frame ── 64 ──(+)── 256 ──(+)── 512 ──(+)── 1024 ──(+)── 2048 ──┐
                                         │           │           │            │           ├── mean ── fc
    fast   every frame ───────────  8 ───┴──── 32 ───┴──── 64 ───┴──── 128 ───┴──── 256 ──┘

    (+) lateral connection: t x 1 x 1 of temporal stride alpha to twice the fast channels, concatenated to the slow ones

Axis legend: N clips, C channels, T frames of the fast pathway, H rows, W columns, K classes.

A published name such as 4x16 is that of the slow pathway: 4 frames, 16 apart. The clip holds the fast pathway's frames:
4 * alpha = 32 of them, 2 apart. A clip whose T is not a multiple of alpha has ceil(T/alpha) slow frames, and its logits
are those of the mean over all T fast frames all the same.

Deviations:

1. The slow frames are 0, alpha, 2 alpha, ... as in the paper, which the lateral connections' stride agrees with. The
   authors' code spreads them from the first frame to the last: 0, 10, 20, 31 of 32.
2. Position logits see the fast map averaged over each alpha frames. That is exact where T is a multiple of alpha.
"""

from __future__ import annotations

import functools
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vov3d.layers import ConvNorm, PoolHead
from vov3d.models.clip_classifier import ClipClassifier
from vov3d.models.resnet import R50, BottleneckBranch, Place, ResNetStem, resnet_stage

Pathways: TypeAlias = "tuple[Tensor, Tensor]"
"""The slow and the fast feature map."""


class LateralConnection(nn.Module):
    """Bring the fast map to the slow frames and concatenate it to the slow map.

    Shape: ``[N, C, ceil(T/alpha), H, W], [N, c, T, H, W] -> [N, C + ratio * c, ceil(T/alpha), H, W]``

    Args:
        fast_channels: c.
        ratio: channels brought over, for each fast channel.
        frames: t of the t x 1 x 1 convolution.
        alpha: its temporal stride.

    Source: Section 3.4, "time-strided convolution"; norm and ReLU after it, as published.
    """

    def __init__(self, fast_channels: int, *, ratio: int, frames: int, alpha: int) -> None:
        super().__init__()
        self.bring = ConvNorm(fast_channels, ratio * fast_channels, (frames, 1), temporal_stride=alpha)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, slow: Tensor, fast: Tensor) -> Tensor:  # noqa: D102
        return torch.cat([slow, self.relu(self.bring(fast))], dim=1)


class TwoStems(nn.Module):
    """The first layers of both pathways; the slow one has a temporal stride of alpha.

    Shape: ``[N, 3, T, H, W] -> [N, C, ceil(T/alpha), H/4, W/4], [N, c, T, H/4, W/4]``
    """

    def __init__(self, slow: nn.Module, fast: nn.Module, lateral: LateralConnection) -> None:
        super().__init__()
        self.slow = slow
        self.fast = fast
        self.lateral = lateral

    def forward(self, clips: Tensor) -> Pathways:  # noqa: D102
        fast = self.fast(clips)
        return self.lateral(self.slow(clips), fast), fast


class TwoStages(nn.Module):
    """One stage of both pathways.

    Args:
        slow: the slow pathway's blocks.
        fast: the fast pathway's.
        lateral: what the slow pathway is given then; ``None`` in the last stage.
    """

    def __init__(self, slow: nn.Module, fast: nn.Module, lateral: LateralConnection | None) -> None:
        super().__init__()
        self.slow = slow
        self.fast = fast
        self.lateral = lateral

    def forward(self, pathways: Pathways) -> Pathways:  # noqa: D102
        slow, fast = self.slow(pathways[0]), self.fast(pathways[1])
        return slow if self.lateral is None else self.lateral(slow, fast), fast


class Join(nn.Module):
    """Concatenate both maps, the fast one summed over each alpha frames.

    The sums are scaled so that their mean over the slow frames is the mean over the fast ones, also where the last sum
    is over fewer frames than alpha.

    Shape: ``[N, C, ceil(T/alpha), H, W], [N, c, T, H, W] -> [N, C + c, ceil(T/alpha), H, W]``
    """

    def __init__(self, alpha: int) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, pathways: Pathways) -> Tensor:  # noqa: D102
        slow, fast = pathways
        num_frames = fast.shape[2]
        lacking = -num_frames % self.alpha
        sums = F.pad(fast, (0, 0, 0, 0, 0, lacking)).unflatten(2, (-1, self.alpha)).sum(3)
        return torch.cat([slow, sums * (slow.shape[2] / num_frames)], dim=1)

    def extra_repr(self) -> str:  # noqa: D102
        return f"alpha={self.alpha}"


class SlowFast(ClipClassifier):
    """The SlowFast network.

    Shape: ``[N, 3, T, H, W] -> [N, K]`` for any T >= 1 and any H, W >= 32.

    Args:
        depths: blocks in each stage, of both pathways.
        alpha: fast frames for each slow one.
        beta_inverse: slow channels for each fast one.
        lateral_frames: t of the lateral connections.
        lateral_ratio: channels that they bring over, for each fast channel.
        num_classes: K; 0 for features in place of logits.
        dropout: probability of dropping a feature before the classifier.

    Source: Table 1; Sections 3.1 to 3.4.
    """

    def __init__(
        self,
        depths: tuple[int, int, int, int] = R50,
        *,
        alpha: int = 8,
        beta_inverse: int = 8,
        lateral_frames: int = 5,
        lateral_ratio: int = 2,
        num_classes: int = 400,
        dropout: float = 0.5,
    ) -> None:
        def lateral(fast_channels: int) -> LateralConnection:
            return LateralConnection(fast_channels, ratio=lateral_ratio, frames=lateral_frames, alpha=alpha)

        slow, fast = 64, 64 // beta_inverse
        stem = TwoStems(ResNetStem(slow, temporal_stride=alpha), ResNetStem(fast, frames=5), lateral(fast))
        stages = nn.Sequential()
        for stage, depth in enumerate(depths):
            mid_channels = 64 * 2**stage
            blocks = functools.partial(resnet_stage, stage, depth, stride=1 if stage == 0 else 2)
            slow_blocks = blocks(slow_branch, in_channels=slow + lateral_ratio * fast, mid_channels=mid_channels)
            fast_blocks = blocks(fast_branch, in_channels=fast, mid_channels=mid_channels // beta_inverse)
            slow, fast = 4 * mid_channels, 4 * mid_channels // beta_inverse
            is_last = stage == len(depths) - 1
            stages.append(TwoStages(slow_blocks, fast_blocks, None if is_last else lateral(fast)))
        stages.append(Join(alpha))
        super().__init__(stem, stages, PoolHead(slow + fast, num_classes, dropout=dropout))
        for module in self.modules():
            if isinstance(module, BottleneckBranch):
                nn.init.zeros_(module.project.norm.weight)  # each block begins as its shortcut


def slow_branch(place: Place) -> BottleneckBranch:
    """Return a branch of the slow pathway: 3x1x1 first in the last two stages alone."""
    return BottleneckBranch(place, frames=3 if place.stage >= 2 else 1)


def fast_branch(place: Place) -> BottleneckBranch:
    """Return a branch of the fast pathway: 3x1x1 first."""
    return BottleneckBranch(place, frames=3)


def slowfast_r50_4x16(num_classes: int = 400, dropout: float = 0.5) -> SlowFast:
    """SlowFast 4x16 R50: 34,480,216 parameters at 400 classes; 36.102 GMACs at 32x256x256 (Table 7: 34.4M, 36.1)."""
    return SlowFast(alpha=8, lateral_frames=5, num_classes=num_classes, dropout=dropout)


def slowfast_r50_8x8(num_classes: int = 400, dropout: float = 0.5) -> SlowFast:
    """SlowFast 8x8 R50: 34,566,488 parameters at 400 classes; 65.712 GMACs at 32x256x256. Not in the paper."""
    return SlowFast(alpha=4, lateral_frames=7, num_classes=num_classes, dropout=dropout)


def slowfast_r50_16x8(num_classes: int = 400, dropout: float = 0.5) -> SlowFast:
    """SlowFast 16x8 R50: 34,045,558 parameters at 174 classes; 131.418 GMACs at 64x256x256 (Table 6: 34.0M, 131.4)."""
    return SlowFast(alpha=4, lateral_frames=7, num_classes=num_classes, dropout=dropout)
