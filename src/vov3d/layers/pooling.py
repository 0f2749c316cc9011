"""Pooling that keeps time apart."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from vov3d.layers.convolution import frames_as_images, images_as_frames


class SpatialMaxPool(nn.Module):
    """The largest value of every 1 x 3 x 3 neighbourhood, in every second row and column; frame by frame.

    Shape: ``[N, C, T, H, W] -> [N, C, T, ceil(H/2), ceil(W/2)]``
    """

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        return images_as_frames(F.max_pool2d(frames_as_images(clips), 3, stride=2, padding=1), clips.shape[2])


class SpatialAveragePool(nn.Module):
    """The mean of every 1 x 3 x 3 neighbourhood, in every second row and column; frame by frame.

    Windows lie as TensorFlow's "same" padding has them, and what is outside of the image does not count.

    Shape: ``[N, C, T, H, W] -> [N, C, T, ceil(H/2), ceil(W/2)]``
    """

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        outside = [int(size % 2) for size in clips.shape[3:]]  # an even number of pixels begins with a whole window
        means = F.avg_pool2d(
            frames_as_images(clips), 3, stride=2, padding=outside, ceil_mode=True, count_include_pad=False
        )
        return images_as_frames(means, clips.shape[2])
