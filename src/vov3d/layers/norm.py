"""A convolution followed by its norm."""

from __future__ import annotations

from torch import Tensor, nn

from vov3d.layers.convolution import SpatialConv3d


class BatchNorm(nn.BatchNorm3d):
    """Batch norm over clips, frames, rows and columns, exact on feature maps of one pixel too.

    There the strides of a view do not tell channels-last memory from plain memory, and torch's backward pass on the CPU
    takes one for the other (torch 2.13: float32 gradients off by their own size; tested). Such maps are copied first.

    Shape: ``[N, C, T, H, W] -> [N, C, T, H, W]``
    """

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        if clips.shape[3] * clips.shape[4] == 1:
            clips = clips.contiguous()
        normalised: Tensor = super().forward(clips)
        return normalised


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
        self.norm = BatchNorm(out_channels)

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        normalised: Tensor = self.norm(self.conv(clips))
        return normalised
