"""Factorised 3D convolutions, computed as 2D ones on channels-last memory.

Axis legend: N clips, C channels, T frames, H rows, W columns.

A kernel that spans only space sees every frame as an image of its own; a kernel that spans only time sees every clip
as one image of T rows and H*W columns. In channels-last memory (N,T,H,W,C) both are views, so no element moves, and
the well-tuned 2D kernels do the work. Parameters keep the five-dimensional shape ``[C_out, C_in/groups, t, h, w]`` of
the published networks, and each class gives what ``nn.Conv3d`` with the same parameters gives (tested).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vov3d.layers.shifted_sum import shifted_sum

Pad = Callable[[Tensor, int, int], tuple[Tensor, tuple[int, int]]]


def frames_as_images(clips: Tensor) -> Tensor:
    """[N,C,T,H,W] -> [N*T,C,H,W], a view where memory is channels-last."""
    return _told_by_strides(clips.transpose(1, 2).flatten(0, 1))


def frames_as_rows(clips: Tensor) -> Tensor:
    """[N,C,T,H,W] -> [N,C,T,H*W], a view where memory is channels-last."""
    return _told_by_strides(clips.flatten(3))


def _told_by_strides(images: Tensor) -> Tensor:
    """Give a single image the stride to a next one, as if there were one.

    By it torch tells whether memory is channels-last. If it does not fit, an image is laid out anew, and all that
    follows is computed on plain memory, at half the speed.
    """
    if torch.compiler.is_compiling() or len(images) != 1:  # a graph may be for any number
        return images
    return images.as_strided(images.shape, (images.numel(), *images.stride()[1:]))


def images_as_frames(images: Tensor, num_frames: int) -> Tensor:
    """[N*T,C,H,W] -> [N,C,T,H,W], the inverse of `frames_as_images`."""
    frames: Tensor = images.unflatten(0, (-1, num_frames))
    return frames.transpose(1, 2)


def every(clips: Tensor, step: int, first: int = 0) -> Tensor:
    """Return frames ``first``, ``first + step``, ... in channels-last memory, where they are images."""
    return clips[:, :, first::step].contiguous(memory_format=torch.channels_last_3d)


def pad_evenly(images: Tensor, kernel_size: int, _stride: int) -> tuple[Tensor, tuple[int, int]]:
    """Return the images and what a 2D convolution is to pad on either side of rows and columns: k // 2, as torch does.

    A kernel of 1 sees no padding. oneDNN's weight gradient is 10 times slower if it pads images of 2 pixels, so these
    are padded here.
    """
    padding = kernel_size // 2
    if padding and min(images.shape[2:]) <= 2:
        return F.pad(images, (padding,) * 4), (0, 0)
    return images, (padding, padding)


def same_padding(cells: int, kernel_size: int, stride: int) -> tuple[int, int]:
    """Return the zeros before and behind a row of cells in TensorFlow's "same" arithmetic.

    They are just what the last of ceil(cells / stride) windows lacks; an odd zero comes last.
    """
    zeros = max(kernel_size - (cells - 1) % stride - 1, 0)
    return zeros // 2, zeros - zeros // 2


def pad_as_tensorflow(images: Tensor, kernel_size: int, stride: int) -> tuple[Tensor, tuple[int, int]]:
    """Return what `pad_evenly` does, in TensorFlow's arithmetic; that differs in a strided convolution."""
    rows, columns = (same_padding(size, kernel_size, stride) for size in images.shape[2:])
    if stride == 1 or (rows[0] == rows[1] and columns[0] == columns[1]):
        return images, (rows[0], columns[0])
    return F.pad(images, (*columns, *rows)), (0, 0)


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
        pad: where pixels are padded.
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
        pad: Pad = pad_evenly,
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
        self.pad = pad

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        temporal_stride, stride, _ = self.stride
        clips = every(clips, temporal_stride) if temporal_stride > 1 else clips
        images, padding = self.pad(frames_as_images(clips), self.kernel_size[1], stride)
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
        rows = F.conv2d(frames_as_rows(clips), self.weight.squeeze(4), self.bias, stride, padding, groups=self.groups)
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
    """A depthwise convolution of kernel t x k x k: t spatial ones, shifted in time and summed.

    Shape: ``[N, C, T, H, W] -> [N, C, ceil(T/temporal_stride), ceil(H/stride), ceil(W/stride)]``

    Args:
        channels: channels of the input and of the output.
        stride: spatial stride in pixels.
        kernel_size: t and k, odd, in frames and pixels.
        temporal_stride: temporal stride in frames.
        pad: where pixels are padded.

    Attributes:
        present: which of the t kernels sees the frame itself; a bias counts there.
    """

    def __init__(
        self,
        channels: int,
        stride: int = 1,
        *,
        kernel_size: tuple[int, int] = (3, 3),
        temporal_stride: int = 1,
        pad: Pad = pad_evenly,
    ) -> None:
        frames, pixels = kernel_size
        super().__init__(
            channels,
            channels,
            kernel_size=(frames, pixels, pixels),
            stride=(temporal_stride, stride, stride),
            padding=(frames // 2, pixels // 2, pixels // 2),
            groups=channels,
            bias=False,
        )
        self.pad = pad
        self.present = frames // 2

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        if self.stride[0] > 1:
            return self._strided(clips)
        return shifted_sum(self.taps(clips), self.present)

    def taps(self, clips: Tensor) -> list[Tensor]:
        """Return what each of the t spatial kernels gives on every frame, the earliest of the kernel first."""
        return self._spatial(clips, range(self.kernel_size[0]))

    def _strided(self, clips: Tensor) -> Tensor:
        """Give each tap only the frames that it sees: output t of step s those at s * t + its offset."""
        step, now = self.stride[0], self.present
        (summed,) = self._spatial(every(clips, step), [now])
        for offset in (index - now for index in range(self.kernel_size[0]) if index != now):
            first = max(-(offset // step), 0)  # output that sees a frame of the clip, not padding
            seen = every(clips[:, :, : max(clips.shape[2] + min(offset, 0), 0)], step, step * first + offset)
            if seen.shape[2]:
                summed[:, :, first : first + seen.shape[2]] += self._spatial(seen, [now + offset])[0]
        return summed

    def _spatial(self, clips: Tensor, taps: Sequence[int]) -> list[Tensor]:
        images, padding = self.pad(frames_as_images(clips), self.kernel_size[1], self.stride[1])
        found = []
        for tap in taps:
            bias = self.bias if tap == self.present else None
            seen = F.conv2d(images, self.weight[:, :, tap], bias, self.stride[1:], padding, groups=self.groups)
            found.append(images_as_frames(seen, clips.shape[2]))
        return found
