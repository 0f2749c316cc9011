"""The first layers of X3D and VoV3D."""

from __future__ import annotations

from torch import Tensor, nn

from vov3d.layers.convolution import SpatialConv3d, TemporalConv3d
from vov3d.layers.norm import BatchNorm


class Stem(nn.Module):
    """Dense 1x3x3 of stride 2, depthwise 5x1x1, norm, ReLU; nothing between the two convolutions.

    Shape: ``[N, C_in, T, H, W] -> [N, C, T, ceil(H/2), ceil(W/2)]``

    Args:
        in_channels: channels of the clip, 3 for RGB.
        channels: channels of the output.
        temporal: the convolution over time.

    Source: Table 2, conv1 (Section 3.3 says 3x1x1: docs/faithfulness.md #4).
    """

    def __init__(self, in_channels: int, channels: int, *, temporal: type[TemporalConv3d] = TemporalConv3d) -> None:
        super().__init__()
        self.spatial = SpatialConv3d(in_channels, channels, 3, stride=2)
        self.temporal = temporal(channels, channels, 5, groups=channels)
        self.norm = BatchNorm(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        features: Tensor = self.relu(self.norm(self.temporal(self.spatial(clips))))
        return features
