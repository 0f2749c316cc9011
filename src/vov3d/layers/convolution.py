"""Factorised 3D convolutions, computed as 2D ones on channels-last memory.

Axis legend: N clips, C channels, T frames, H rows, W columns.

A kernel that spans only space sees every frame as an image of its own; a kernel that spans only time sees every clip
as one image of T rows and H*W columns. In channels-last memory (N,T,H,W,C) both are views, so no element moves, and
the well-tuned 2D kernels do the work. Parameters keep the five-dimensional shape ``[C_out, C_in/groups, t, h, w]`` of
the published networks, and each class gives what ``nn.Conv3d`` with the same parameters gives (tested).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


def frames_as_images(clips: Tensor) -> Tensor:
    """[N,C,T,H,W] -> [N*T,C,H,W], a view where memory is channels-last."""
    return clips.transpose(1, 2).flatten(0, 1)


def images_as_frames(images: Tensor, num_frames: int) -> Tensor:
    """[N*T,C,H,W] -> [N,C,T,H,W], the inverse of `frames_as_images`."""
    frames: Tensor = images.unflatten(0, (-1, num_frames))
    return frames.transpose(1, 2)


class SpatialConv3d(nn.Conv3d):
    """A convolution of kernel 1 x k x k: pointwise for k = 1, one 2D convolution over all frames.

    Shape: ``[N, C_in, T, H, W] -> [N, C_out, T, ceil(H/stride), ceil(W/stride)]`` for odd kernels.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: k, odd, in pixels.
        stride: spatial stride in pixels; time is never strided.
        groups: ``in_channels`` for a depthwise convolution.
        bias: whether to add a bias.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        *,
        stride: int = 1,
        groups: int = 1,
        bias: bool = False,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size=(1, kernel_size, kernel_size),
            stride=(1, stride, stride),
            padding=(0, kernel_size // 2, kernel_size // 2),
            groups=groups,
            bias=bias,
        )

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        images, padding = frames_as_images(clips), self.kernel_size[1] // 2
        if padding and min(images.shape[2:]) <= 2:  # oneDNN's weight gradient is 10 times slower if it pads such images
            images, padding = F.pad(images, (padding,) * 4), 0
        _, stride, _ = self.stride
        if stride > 1 and self.kernel_size[1] == 1 and self.in_channels < 8:  # oneDNN's backward pass then corrupts
            images, stride = images[..., ::stride, ::stride], 1  # the heap (torch 2.13)
        images = F.conv2d(images, self.weight.squeeze(2), self.bias, stride, padding, groups=self.groups)
        return images_as_frames(images, clips.shape[2])


class TemporalConv3d(nn.Conv3d):
    """A convolution of kernel t x 1 x 1, stride 1, that keeps channels and frames; depthwise unless told otherwise.

    Shape: ``[N, C, T, H, W] -> [N, C, T, H, W]``

    Args:
        channels: channels of the input and of the output.
        kernel_size: t, odd, in frames.
        groups: number of channel groups; ``None`` for depthwise.
    """

    def __init__(self, channels: int, kernel_size: int, *, groups: int | None = None) -> None:
        super().__init__(
            channels,
            channels,
            kernel_size=(kernel_size, 1, 1),
            padding=(kernel_size // 2, 0, 0),
            groups=channels if groups is None else groups,
            bias=False,
        )

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        padding = (self.kernel_size[0] // 2, 0)
        rows = F.conv2d(clips.flatten(3), self.weight.squeeze(4), None, padding=padding, groups=self.groups)
        frames: Tensor = rows.unflatten(3, clips.shape[3:])
        return frames


class DepthwiseConv3d(nn.Conv3d):
    """A depthwise convolution of kernel 3 x 3 x 3, spatially strided: three spatial ones, shifted in time and summed.

    Shape: ``[N, C, T, H, W] -> [N, C, T, ceil(H/stride), ceil(W/stride)]``

    Args:
        channels: channels of the input and of the output.
        stride: spatial stride in pixels.
    """

    def __init__(self, channels: int, stride: int = 1) -> None:
        super().__init__(
            channels, channels, kernel_size=3, stride=(1, stride, stride), padding=1, groups=channels, bias=False
        )

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        images = frames_as_images(clips)
        past, present, future = (
            images_as_frames(self._spatial(images, tap), clips.shape[2]) for tap in self.weight.unbind(2)
        )
        present[:, :, 1:] += past[:, :, :-1]
        present[:, :, :-1] += future[:, :, 1:]
        return present

    def _spatial(self, images: Tensor, tap: Tensor) -> Tensor:
        return F.conv2d(images, tap, None, stride=self.stride[1:], padding=1, groups=self.groups)
