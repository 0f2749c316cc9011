"""Factorised 3D convolutions, computed as 2D ones on channels-last memory.

Axis legend: N clips, C channels, T frames, H rows, W columns.

A kernel that spans only space sees every frame as an image of its own; a kernel that spans only time sees every clip
as one image of T rows and H*W columns. In channels-last memory (N,T,H,W,C) both are views, so no element moves, and
the well-tuned 2D kernels do the work. Parameters keep the five-dimensional shape ``[C_out, C_in/groups, t, h, w]`` of
the published networks, and each class gives what ``nn.Conv3d`` with the same parameters gives (tested).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def frames_as_images(clips: Tensor) -> Tensor:
    """[N,C,T,H,W] -> [N*T,C,H,W], a view where memory is channels-last."""
    return clips.transpose(1, 2).flatten(0, 1)


def images_as_frames(images: Tensor, num_frames: int) -> Tensor:
    """[N*T,C,H,W] -> [N,C,T,H,W], the inverse of `frames_as_images`."""
    frames: Tensor = images.unflatten(0, (-1, num_frames))
    return frames.transpose(1, 2)


def every(clips: Tensor, step: int, first: int = 0) -> Tensor:
    """Return frames ``first``, ``first + step``, ... in channels-last memory, where they are images."""
    return clips[:, :, first::step].contiguous(memory_format=torch.channels_last_3d)


class SpatialConv3d(nn.Conv3d):
    """A convolution of kernel 1 x k x k: pointwise for k = 1, one 2D convolution over all frames.

    Shape: ``[N, C_in, T, H, W] -> [N, C_out, ceil(T/temporal_stride), ceil(H/stride), ceil(W/stride)]``

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: k in pixels; odd, as all kernels here, so that padding keeps sizes.
        stride: spatial stride in pixels.
        temporal_stride: frames from one that is seen to the next.
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
        temporal_stride: int = 1,
        groups: int = 1,
        bias: bool = False,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size=(1, kernel_size, kernel_size),
            stride=(temporal_stride, stride, stride),
            padding=(0, kernel_size // 2, kernel_size // 2),
            groups=groups,
            bias=bias,
        )

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        temporal_stride, stride, _ = self.stride
        clips = every(clips, temporal_stride) if temporal_stride > 1 else clips
        images, padding = frames_as_images(clips), self.kernel_size[1] // 2
        if padding and min(images.shape[2:]) <= 2:  # oneDNN's weight gradient is 10 times slower if it pads such images
            images, padding = F.pad(images, (padding,) * 4), 0
        if stride > 1 and self.kernel_size[1] == 1 and self.in_channels < 8:  # oneDNN's backward pass then corrupts
            images, stride = images[..., ::stride, ::stride], 1  # the heap (torch 2.13)
        images = F.conv2d(images, self.weight.squeeze(2), self.bias, stride, padding, groups=self.groups)
        return images_as_frames(images, clips.shape[2])


class TemporalConv3d(nn.Conv3d):
    """A convolution of kernel t x 1 x 1: one 2D convolution over an image of T rows.

    Shape: ``[N, C_in, T, H, W] -> [N, C_out, ceil(T/stride), H, W]``

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: t, odd, in frames.
        stride: temporal stride in frames; space is never strided.
        groups: ``in_channels`` for a depthwise convolution.
        bias: whether to add a bias.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        groups: int = 1,
        bias: bool = False,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size=(kernel_size, 1, 1),
            stride=(stride, 1, 1),
            padding=(kernel_size // 2, 0, 0),
            groups=groups,
            bias=bias,
        )

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        stride, padding = (self.stride[0], 1), (self.kernel_size[0] // 2, 0)
        rows = F.conv2d(clips.flatten(3), self.weight.squeeze(4), self.bias, stride, padding, groups=self.groups)
        frames: Tensor = rows.unflatten(3, clips.shape[3:])
        return frames


class DenseConv3d(nn.Conv3d):
    """A convolution of kernel t x k x k that keeps sizes but for its strides; as torch computes it.

    Shape: ``[N, C_in, T, H, W] -> [N, C_out, ceil(T/temporal_stride), ceil(H/stride), ceil(W/stride)]``

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: t and k, odd, in frames and pixels.
        stride: spatial stride in pixels.
        temporal_stride: temporal stride in frames.
        groups: number of channel groups.
        bias: whether to add a bias.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, int],
        *,
        stride: int = 1,
        temporal_stride: int = 1,
        groups: int = 1,
        bias: bool = False,
    ) -> None:
        frames, pixels = kernel_size
        super().__init__(
            in_channels,
            out_channels,
            kernel_size=(frames, pixels, pixels),
            stride=(temporal_stride, stride, stride),
            padding=(frames // 2, pixels // 2, pixels // 2),
            groups=groups,
            bias=bias,
        )


def conv3d(
    in_channels: int,
    out_channels: int,
    kernel_size: tuple[int, int],
    *,
    stride: int = 1,
    temporal_stride: int = 1,
    groups: int = 1,
    bias: bool = False,
) -> nn.Conv3d:
    """Return a convolution of kernel t x k x k in its cheapest form; arguments are those of `DenseConv3d`."""
    frames, pixels = kernel_size
    if frames == 1:
        return SpatialConv3d(
            *(in_channels, out_channels, pixels),
            stride=stride,
            temporal_stride=temporal_stride,
            groups=groups,
            bias=bias,
        )
    if pixels == stride == 1:
        return TemporalConv3d(in_channels, out_channels, frames, stride=temporal_stride, groups=groups, bias=bias)
    return DenseConv3d(
        *(in_channels, out_channels, kernel_size),
        stride=stride,
        temporal_stride=temporal_stride,
        groups=groups,
        bias=bias,
    )


class DepthwiseConv3d(nn.Conv3d):
    """A depthwise convolution of kernel 3 x 3 x 3: three spatial ones, shifted in time and summed.

    Shape: ``[N, C, T, H, W] -> [N, C, ceil(T/temporal_stride), ceil(H/stride), ceil(W/stride)]``

    Args:
        channels: channels of the input and of the output.
        stride: spatial stride in pixels.
        temporal_stride: temporal stride in frames.
    """

    def __init__(self, channels: int, stride: int = 1, *, temporal_stride: int = 1) -> None:
        super().__init__(
            channels,
            channels,
            kernel_size=3,
            stride=(temporal_stride, stride, stride),
            padding=1,
            groups=channels,
            bias=False,
        )

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        if self.stride[0] > 1:
            return self._strided(clips)
        past, present, future = (self._spatial(clips, tap) for tap in self.weight.unbind(2))
        present[:, :, 1:] += past[:, :, :-1]
        present[:, :, :-1] += future[:, :, 1:]
        return present

    def _strided(self, clips: Tensor) -> Tensor:
        """Give each tap only the frames that it sees: output t those at step * t - 1, step * t and step * t + 1."""
        step = self.stride[0]
        past, present, future = self.weight.unbind(2)
        summed = self._spatial(every(clips, step), present)
        before = every(clips[:, :, :-1], step, step - 1)
        after = every(clips, step, 1)
        if before.shape[2]:
            summed[:, :, 1:] += self._spatial(before, past)
        if after.shape[2]:
            summed[:, :, : after.shape[2]] += self._spatial(after, future)
        return summed

    def _spatial(self, clips: Tensor, tap: Tensor) -> Tensor:
        images = F.conv2d(frames_as_images(clips), tap, None, stride=self.stride[1:], padding=1, groups=self.groups)
        return images_as_frames(images, clips.shape[2])
