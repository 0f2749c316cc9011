"""CSN: channels interact in 1x1x1 convolutions, and space and time in depthwise ones, each channel by itself.

Tran, Wang, Torresani, Feiszli: "Video Classification with Channel-Separated Convolutional Networks", arXiv 1904.02811.

::

    ip    x ──┬── 1x1x1 ── 1x1x1 ── depthwise 3x3x3 ── 1x1x1 ──(+)── ReLU
    ir    x ──┬── 1x1x1 ─────────── depthwise 3x3x3 ── 1x1x1 ──(+)── ReLU     norm after each
              └───────────────── shortcut ──────────────────────┘

Axis legend: N clips, C channels, T frames, H rows, W columns, K classes.

A dense 3x3x3 convolution lets every two channels interact. Made depthwise, it loses that; ip ("interaction-preserved")
gives it back with a 1x1x1 convolution, ir ("interaction-reduced") does not.

Deviations:

1. No ReLU stands between the two halves of an ip pair, as in MMAction2, which has the authors' weights.
2. Norms add 1e-3 to the variance, as for those weights of 152 layers, and 1e-5 in PyTorchVideo's 101 layers.

Table 6 of the VoV3D paper calls 29.7M parameters and 74.0 GFLOPs ip-CSN-152; they are those of ir-CSN-152 at 224
pixels. Table 7 has ip-CSN-152, at 256.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from vov3d.layers import BatchNorm, ConvNorm, DepthwiseConv3d
from vov3d.models.resnet import R101, R152, BottleneckBranch, Place, ResNet, ResNetStem


class ChannelSeparated(nn.Module):
    """A dense 3x3x3 convolution taken apart: pointwise (ip alone), then depthwise; a norm after each.

    Shape: ``[N, C, T, H, W] -> [N, C, ceil(T/temporal_stride), ceil(H/stride), ceil(W/stride)]``

    Args:
        channels: channels of the input and of the output.
        stride: spatial stride in pixels.
        temporal_stride: temporal stride in frames.
        preserves_interactions: whether the pointwise convolution is there.

    Source: Section 3.3, Figure 2.
    """

    def __init__(self, channels: int, *, stride: int, temporal_stride: int, preserves_interactions: bool) -> None:
        super().__init__()
        self.interact = ConvNorm(channels, channels) if preserves_interactions else nn.Identity()
        self.depthwise = DepthwiseConv3d(channels, stride, temporal_stride=temporal_stride)
        self.norm = BatchNorm(channels)

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        mixed: Tensor = self.norm(self.depthwise(self.interact(clips)))
        return mixed


class CSN(ResNet):
    """The channel-separated network.

    Shape: ``[N, 3, T, H, W] -> [N, K]`` for any T >= 1 and any H, W >= 32; the published T is 32.

    Args:
        depths: blocks in each stage.
        preserves_interactions: ip, else ir.
        norm_eps: what each norm adds to the variance.
        num_classes: K; 0 for features in place of logits.
        dropout: probability of dropping a feature before the classifier.

    Source: Table 1; Section 3.3.
    """

    def __init__(
        self,
        depths: Sequence[int] = R152,
        *,
        preserves_interactions: bool,
        norm_eps: float = 1e-3,
        num_classes: int = 400,
        dropout: float = 0.5,
    ) -> None:
        def branch(place: Place) -> BottleneckBranch:
            strides = {"stride": place.stride, "temporal_stride": place.temporal_stride}
            middle = ChannelSeparated(place.mid_channels, **strides, preserves_interactions=preserves_interactions)
            return BottleneckBranch(place, middle=middle)

        super().__init__(
            *(depths, branch),
            stem=ResNetStem(frames=3),
            temporal_strides=(1, 2, 2, 2),
            num_classes=num_classes,
            dropout=dropout,
        )
        for module in self.modules():
            if isinstance(module, BatchNorm):
                module.eps = norm_eps


def ip_csn_152(num_classes: int = 400, dropout: float = 0.5) -> CSN:
    """ip-CSN-152: 33,016,592 parameters at 400 classes; 108.793 GMACs at 32x256x256 (Table 7: 32.8M, 109)."""
    return CSN(preserves_interactions=True, num_classes=num_classes, dropout=dropout)


def ir_csn_152(num_classes: int = 400, dropout: float = 0.5) -> CSN:
    """ir-CSN-152: 29,703,568 parameters at 400 classes; 74.045 GMACs at 32x224x224 (Table 6, as ip: 29.7M, 74.0)."""
    return CSN(preserves_interactions=False, num_classes=num_classes, dropout=dropout)


def ir_csn_101(num_classes: int = 400, dropout: float = 0.5) -> CSN:
    """ir-CSN-101: 22,213,776 parameters at 400 classes; 73.755 GMACs at 32x256x256. The CSN of PyTorchVideo."""
    return CSN(R101, preserves_interactions=False, norm_eps=1e-5, num_classes=num_classes, dropout=dropout)
