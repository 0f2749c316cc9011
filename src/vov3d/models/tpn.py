"""TPN: a temporal pyramid over the last two stages of a TSM ResNet.

Yang, Xu, Shi, Dai, Zhou: "Temporal Pyramid Network for Action Recognition", arXiv 2004.03548.

::

    stage 3 ── space: 1x3x3 /2, norm, ReLU ── time: 3x1x1, max pool over 8 frames ── a ──┐
    stage 4 ─────────────────────────────────  time: 3x1x1, max pool over 8 frames ── b ──┤
                                                                                          │
    a' = a + b             fuse(a', b)  ──┐                                               │
    b' = b + 3x1x1(a')     fuse(a', b') ──┴── concatenate ── 1x1x1, norm, ReLU ── pool ── fc

Axis legend: N clips, C channels, T frames, H rows, W columns, K classes.

Deviations from the paper:

1. There is no auxiliary head on stage 3: the contract has one output, and in a test it is not used. With its 19,234,990
   parameters (174 classes) the network of the paper has 82,445,724.
2. The flow upwards begins with a', not with a, as in the published code, although Figure 3 draws two parallel flows.
3. Weights start as in the other networks here, not by Xavier's rule.

A clip of 8 frames leaves the modulation with one: the pyramid sees all of its time in one step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vov3d.layers import ConvNorm, PoolHead, TemporalConv3d, TemporalShift
from vov3d.models.clip_classifier import ClipClassifier
from vov3d.models.resnet import R50, BottleneckBranch, Place, ResNetStem, resnet_stages


class TwoLevels(nn.Sequential):
    """The blocks of the last stage, which give their input beside their output: the levels of the pyramid.

    Shape: ``[N, C, T, H, W] -> [N, C, T, H, W], [N, 2 C, T, ceil(H/2), ceil(W/2)]``
    """

    def forward(self, clips: Tensor) -> tuple[Tensor, Tensor]:  # noqa: D102
        deeper = clips
        for block in self:
            deeper = block(deeper)
        return clips, deeper


class TemporalModulation(nn.Module):
    """A grouped 3x1x1 convolution, then the largest value of every 8 frames; the last window may be shorter.

    Shape: ``[N, C_in, T, H, W] -> [N, C_out, ceil(T/frames), H, W]``

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        frames: frames of a window.
        groups: groups of the convolution.

    Source: Section 3.2; 8 frames at both levels, as published with TSM.
    """

    def __init__(self, in_channels: int, out_channels: int, *, frames: int = 8, groups: int = 32) -> None:
        super().__init__()
        self.conv = TemporalConv3d(in_channels, out_channels, 3, groups=groups)
        self.frames = frames

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        rows = F.max_pool2d(self.conv(clips).flatten(3), (self.frames, 1), ceil_mode=True)  # an image of T rows
        modulated: Tensor = rows.unflatten(3, clips.shape[3:])
        return modulated


class LevelFusion(nn.Module):
    """A grouped 1x1x1 convolution of each level, concatenation, 1x1x1; norm and ReLU follow each convolution.

    Shape: ``2 x [N, C, T, H, W] -> [N, 2 C, T, H, W]``

    Args:
        channels: C, channels of each level.
        groups: groups of the first convolutions.

    Source: Section 3.3.
    """

    def __init__(self, channels: int, *, groups: int = 32) -> None:
        super().__init__()
        self.low = ConvNorm(channels, channels, groups=groups)
        self.high = ConvNorm(channels, channels, groups=groups)
        self.fuse = ConvNorm(2 * channels, 2 * channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:  # noqa: D102
        levels = torch.cat([self.relu(self.low(low)), self.relu(self.high(high))], dim=1)
        fused: Tensor = self.relu(self.fuse(levels))
        return fused


class TemporalPyramid(nn.Module):
    """Two levels of a backbone, brought to one size in space and time and fused in both directions.

    Shape: ``[N, C, T, H, W], [N, 2 C, T, ceil(H/2), ceil(W/2)] -> [N, 2 C, ceil(T/8), ceil(H/2), ceil(W/2)]``

    Args:
        channels: C, channels of the lower level and of each level inside.

    Source: Section 3 and Figure 3.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.space = ConvNorm(channels, 2 * channels, (1, 3), stride=2)
        self.low_time = TemporalModulation(2 * channels, channels)
        self.high_time = TemporalModulation(2 * channels, channels)
        self.up = TemporalConv3d(channels, channels, 3)
        self.fuse_down = LevelFusion(channels)
        self.fuse_up = LevelFusion(channels)
        self.project = ConvNorm(4 * channels, 2 * channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, levels: tuple[Tensor, Tensor]) -> Tensor:  # noqa: D102
        low = self.low_time(self.relu(self.space(levels[0])))
        high = self.high_time(levels[1])
        low = low + high
        down = self.fuse_down(low, high)
        up = self.fuse_up(low, high + self.up(low))
        projected: Tensor = self.relu(self.project(torch.cat([down, up], dim=1)))
        return projected


def shifted_branch(place: Place) -> BottleneckBranch:
    """Return the branch of a TSM block."""
    return BottleneckBranch(place, before=TemporalShift())


class TPN(ClipClassifier):
    """A temporal pyramid over a ResNet with the residual shift.

    Shape: ``[N, 3, T, H, W] -> [N, K]`` for any T >= 1 and any H, W >= 32; the published T is 8.

    Args:
        depths: blocks in each stage.
        num_classes: K; 0 for features in place of logits.
        dropout: probability of dropping a feature before the classifier.

    Source: Sections 3 and 4.3.
    """

    def __init__(self, depths: Sequence[int] = R50, *, num_classes: int = 400, dropout: float = 0.5) -> None:
        *stages, last = resnet_stages(depths, shifted_branch)
        pyramid = nn.Sequential(*stages, TwoLevels(*last.children()), TemporalPyramid(1024))
        super().__init__(ResNetStem(), pyramid, PoolHead(2048, num_classes, dropout=dropout))

    def blocks(self) -> Iterator[nn.Module]:
        """Yield the trunk in order: the blocks of the first three stages, the last stage whole, the pyramid."""
        *stages, last, pyramid = self.stages
        for stage in stages:
            yield from stage.children()
        yield last
        yield pyramid


def tsm_tpn_r50(num_classes: int = 400, dropout: float = 0.5) -> TPN:
    """TSM + TPN ResNet-50: 63,210,734 parameters at 174 classes; 41.23 GMACs at 8x224x224 (Table 6 has neither)."""
    return TPN(R50, num_classes=num_classes, dropout=dropout)
