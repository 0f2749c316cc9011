"""TEA: a 2D Res2Net whose blocks excite what moves, then see three frames more with each slice of their channels.

Li, Ji, Shi, Zhang, Kang, Wang: "TEA: Temporal Excitation and Aggregation for Action Recognition", arXiv 2004.01398.

::

    ME    x ──┬── 1x1, C/16 ── next frame - this frame ── mean over H, W ── 1x1, C ── sigmoid - 1/2 ──┐
              └────────────────────────────────────────────────────────────────── x + x * gate ───────┴─>

    MTA   x1 ─────── 3x1x1 ── 1x3x3 ──┬── y1        3x1x1 is depthwise; norm and ReLU follow 1x3x3
          x2 ──(+)── 3x1x1 ── 1x3x3 ──│┬─ y2        (+) adds the y above
          x3 ──(+)── 3x1x1 ── 1x3x3 ──││─ y3
          x4 ─────── 3x1x1 ────────────── y4

    block x ──┬── reduce 1x1 ── ME ── MTA ── project 1x1 ──(+)── ReLU
              └─────────────────── shortcut ────────────────┘

Axis legend: N clips, C channels, T frames, H rows, W columns, K classes.

Deviations from the paper, all as in the authors' code, which is a Res2Net-50 of slices 26 channels wide:

1. The gate is sigmoid - 1/2, in (-1/2, 1/2); the text has 2 sigmoid - 1.
2. The slice that no 1x3x3 convolution sees is the last, not the first, and it too has a temporal convolution. That one
   starts as a shift of all its channels, the other three start as the identity.
3. In the first block of each stage slices do not add up, and the last one is averaged over 1x3x3 with the stride.
4. Features are averaged and then classified, which gives the mean of the frames' logits, with one draw of dropout.

Published are 35 GMACs for 8 frames and 70, twice as many, for 16; they count 34.5 and 69.1. Table 7 of the VoV3D paper
prints 24.4M parameters among results on 400 classes; that is the network for 174, the other one has 24.9M.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vov3d.layers import ConvNorm, FrameMotion, TemporalConv3d, start_as_shift
from vov3d.layers.convolution import frames_as_images, images_as_frames
from vov3d.models.resnet import R50, Place, ResNet

NUM_SLICES = 4


class MotionExcitation(nn.Module):
    """ME: scale each channel of each frame by what has moved in all of them.

    Shape: ``[N, C, T, H, W] -> [N, C, T, H, W]``

    Args:
        channels: channels of the input and of the output.
        reduction: channels of the input for each that motion is seen in.

    Source: Section 3.1; reduction 16.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.reduce = ConvNorm(channels, channels // reduction)
        self.motion = FrameMotion(channels // reduction)
        self.restore = ConvNorm(channels // reduction, channels)

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        moved = self.motion(self.reduce(clips)).mean(dim=(3, 4), keepdim=True)  # [N,C/16,T,1,1]
        gates: Tensor = self.restore(moved).sigmoid() - 0.5
        return clips + clips * gates


class MultipleTemporalAggregation(nn.Module):
    """MTA: slices of the channels, each of which sees a frame more on both sides than the one before.

    Shape: ``[N, 4 C, T, H, W] -> [N, 4 C, T, ceil(H/stride), ceil(W/stride)]``

    Args:
        width: C, the channels of a slice.
        stride: spatial stride in pixels.
        cascade: whether a slice adds the output of the one before to its input.

    Source: Section 3.2; four slices as in Gao et al., arXiv 1904.01169.
    """

    def __init__(self, width: int, *, stride: int, cascade: bool) -> None:
        super().__init__()
        self.cascade = cascade
        self.stride = stride
        self.temporal = nn.ModuleList(TemporalConv3d(width, width, 3, groups=width) for _ in range(NUM_SLICES))
        self.spatial = nn.ModuleList(ConvNorm(width, width, (1, 3), stride=stride) for _ in range(NUM_SLICES - 1))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        *slices, last = clips.chunk(NUM_SLICES, dim=1)
        *temporals, last_temporal = self.temporal
        outputs: list[Tensor] = []
        for part, temporal, spatial in zip(slices, temporals, self.spatial, strict=True):
            seen = part + outputs[-1] if self.cascade and outputs else part
            outputs.append(self.relu(spatial(temporal(seen))))
        outputs.append(self._averaged(last_temporal(last)))
        return torch.cat(outputs, dim=1)

    def _averaged(self, last: Tensor) -> Tensor:
        if self.cascade:
            return last
        return images_as_frames(F.avg_pool2d(frames_as_images(last), 3, self.stride, padding=1), last.shape[2])


class TEABranch(nn.Module):
    """The residual branch of a TEA block.

    Shape: ``[N, C_in, T, H, W] -> [N, C_out, T, ceil(H/stride), ceil(W/stride)]``

    Args:
        place: where the block stands; a slice has 26 channels for every 64 of its ``mid_channels``.
    """

    def __init__(self, place: Place) -> None:
        super().__init__()
        width = place.mid_channels * 26 // 64
        self.reduce = ConvNorm(place.in_channels, NUM_SLICES * width)
        self.relu = nn.ReLU(inplace=True)
        self.excite = MotionExcitation(NUM_SLICES * width)
        self.aggregate = MultipleTemporalAggregation(width, stride=place.stride, cascade=place.block > 0)
        self.project = ConvNorm(NUM_SLICES * width, place.out_channels)

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        projected: Tensor = self.project(self.aggregate(self.excite(self.relu(self.reduce(clips)))))
        return projected


class TEA(ResNet):
    """A Res2Net of TEA blocks.

    Shape: ``[N, 3, T, H, W] -> [N, K]`` for any T >= 1 and any H, W >= 32; the published T are 8 and 16.

    Args:
        depths: blocks in each stage.
        num_classes: K; 0 for features in place of logits.
        dropout: probability of dropping a feature before the classifier.

    Source: Section 3.3 and Figure 2; all 16 blocks of ResNet-50.
    """

    def __init__(self, depths: Sequence[int] = R50, *, num_classes: int = 400, dropout: float = 0.5) -> None:
        super().__init__(depths, TEABranch, num_classes=num_classes, dropout=dropout)
        for module in self.modules():
            if isinstance(module, MultipleTemporalAggregation):
                *others, last = (part for part in module.temporal if isinstance(part, TemporalConv3d))
                for temporal in others:
                    start_as_shift(temporal, (0,))
                start_as_shift(last, (1, -1))


def tea_r50(num_classes: int = 400, dropout: float = 0.5) -> TEA:
    """TEA ResNet-50: 24,456,280 parameters at 174 classes; 34.53 GMACs at 8x224x224, 69.07 at 16 (Table 7: 35, 70)."""
    return TEA(R50, num_classes=num_classes, dropout=dropout)
