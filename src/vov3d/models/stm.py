"""STM: a 2D ResNet whose middle convolution sees three frames, beside a path that sees what has moved.

Jiang, Wang, Gan, Wu, Yan: "STM: SpatioTemporal and Motion Encoding for Action Recognition", arXiv 1908.02486.

::

    x ──┬── reduce 1x1 ──┬── CSTM: depthwise 3x1x1 ── 1x3x3 ──────────────────┬(+)── project 1x1 ──(+)── ReLU
        │                └── CMM:  1x1, C/16 ── next frame - this frame ── 1x1 ┘                     │
        └───────────────────────────────────── shortcut ────────────────────────────────────────────┘

Axis legend: N clips, C channels, T frames, H rows, W columns, K classes.

Deviations from the paper:

1. The text names no norm inside CSTM and CMM. Here one follows each convolution that mixes channels, as in TEA.
2. Nor does it say where the path of motion strides: here in the depthwise convolution, as CSTM strides in its 1x3x3.
   Striding in CMM's last convolution is the same function (tested) and would count 0.1 GMACs more.
3. Features are averaged and then classified, which gives the mean of the frames' logits, with one draw of dropout.

Published are 33.3 GMACs for 8 frames and 66.5 for 16, and 67 in Table 7 of the VoV3D paper; these are 33.0 and 66.0.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from vov3d.layers import ConvNorm, FrameMotion, TemporalConv3d, start_as_shift
from vov3d.models.resnet import R50, BottleneckBranch, Place, ResNet


class CSTM(ConvNorm):
    """Channel-wise spatiotemporal module: each channel mixes three frames by itself; then 1x3x3 and a norm.

    Shape: ``[N, C, T, H, W] -> [N, C, T, ceil(H/stride), ceil(W/stride)]``

    Args:
        channels: channels of the input and of the output.
        stride: spatial stride in pixels.

    Source: Section 3.1. A quarter of the channels starts with the frame before, another with the next (Section 4.2).
    """

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__(channels, channels, (1, 3), stride=stride)
        self.temporal = TemporalConv3d(channels, channels, 3, groups=channels)

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        return super().forward(self.temporal(clips))


class CMM(nn.Module):
    """Channel-wise motion module: what has moved from each frame to the next, seen in fewer channels.

    Shape: ``[N, C, T, H, W] -> [N, C, T, ceil(H/stride), ceil(W/stride)]``

    Args:
        channels: channels of the input and of the output.
        stride: spatial stride in pixels.
        reduction: channels of the input for each that motion is seen in.

    Source: Section 3.2.
    """

    def __init__(self, channels: int, stride: int, reduction: int = 16) -> None:
        super().__init__()
        self.reduce = ConvNorm(channels, channels // reduction)
        self.motion = FrameMotion(channels // reduction, stride)
        self.restore = ConvNorm(channels // reduction, channels)

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        restored: Tensor = self.restore(self.motion(self.reduce(clips)))
        return restored


class SpatiotemporalMotion(nn.Module):
    """The sum of CSTM and CMM.

    Shape: ``[N, C, T, H, W] -> [N, C, T, ceil(H/stride), ceil(W/stride)]``

    Args:
        channels: channels of the input and of the output.
        stride: spatial stride in pixels.

    Source: Section 3.3; the sum was found better than concatenation.
    """

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.cstm = CSTM(channels, stride)
        self.cmm = CMM(channels, stride)

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        summed: Tensor = self.cstm(clips) + self.cmm(clips)
        return summed


def stm_branch(place: Place) -> BottleneckBranch:
    """Return the branch of an STM block."""
    return BottleneckBranch(place, middle=SpatiotemporalMotion(place.mid_channels, place.stride))


class STM(ResNet):
    """A ResNet of STM blocks.

    Shape: ``[N, 3, T, H, W] -> [N, K]`` for any T >= 1 and any H, W >= 32; the published T are 8 and 16.

    Args:
        depths: blocks in each stage.
        num_classes: K; 0 for features in place of logits.
        dropout: probability of dropping a feature before the classifier.

    Source: Section 3.3 and Figure 3; all 16 blocks of ResNet-50 (Table 5).
    """

    def __init__(self, depths: Sequence[int] = R50, *, num_classes: int = 400, dropout: float = 0.5) -> None:
        super().__init__(depths, stm_branch, num_classes=num_classes, dropout=dropout)
        for module in self.modules():
            if isinstance(module, CSTM):
                start_as_shift(module.temporal, (-1, 0, 0, 1))


def stm_r50(num_classes: int = 400, dropout: float = 0.5) -> STM:
    """STM ResNet-50: 24,043,218 parameters at 174 classes; 66.02 GMACs at 16x224x224 (Table 7: 67), 33.01 at 8."""
    return STM(R50, num_classes=num_classes, dropout=dropout)
