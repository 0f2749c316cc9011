"""What has moved from each frame to the next, in features (Jiang et al., arXiv 1908.02486)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from vov3d.layers.convolution import SpatialConv3d


class FrameMotion(nn.Module):
    """The next frame after a depthwise 1x3x3 convolution, minus this frame; zero at the last frame.

    Shape: ``[N, C, T, H, W] -> [N, C, T, ceil(H/stride), ceil(W/stride)]``

    Args:
        channels: channels of the input and of the output.
        stride: spatial stride in pixels.

    Source: Jiang et al., Section 3.2, Equation 2; Li et al., arXiv 2004.01398, Section 3.1.
    """

    def __init__(self, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.transform = SpatialConv3d(channels, channels, 3, stride=stride, groups=channels)

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        following = self.transform(clips)[:, :, 1:]
        moved = following - clips[:, :, :-1, :: self.stride, :: self.stride]
        return F.pad(moved, (0, 0, 0, 0, 0, 1))
