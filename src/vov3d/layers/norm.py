"""A convolution followed by its norm."""

from __future__ import annotations

from torch import Tensor, nn

from vov3d.layers.convolution import SpatialConv3d


class ConvNorm(nn.Module):
    """A pointwise convolution, then batch norm, no activation.

    Shape: ``[N, C_in, T, H, W] -> [N, C_out, T, ceil(H/stride), ceil(W/stride)]``

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        stride: spatial stride in pixels.
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv = SpatialConv3d(in_channels, out_channels, stride=stride)
        self.norm = nn.BatchNorm3d(out_channels)

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        normalised: Tensor = self.norm(self.conv(clips))
        return normalised
