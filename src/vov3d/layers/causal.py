"""Layers that see a frame and those before it, never a later one (their memory: `vov3d.layers.stream`).

Axis legend: N clips, C channels, T frames, H rows, W columns.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vov3d.layers.convolution import (
    DenseConv3d,
    DepthwiseConv3d,
    Pad,
    SpatialConv3d,
    TemporalConv3d,
    frames_as_images,
    frames_as_rows,
    images_as_frames,
    pad_evenly,
)
from vov3d.layers.squeeze_excitation import squeezed_channels
from vov3d.layers.stream import MeanSoFar, Memory, OverlapAdd


class CausalTemporalConv3d(TemporalConv3d):
    """A convolution of kernel t x 1 x 1 over a frame and the t - 1 before it.

    Shape: ``[N, C_in, T, H, W] -> [N, C_out, T, H, W]``

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: t, in frames.
        groups: ``in_channels`` for a depthwise convolution.
        bias: whether to add a bias.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, *, groups: int = 1, bias: bool = False
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, groups=groups, bias=bias)
        self.overlap_add = OverlapAdd(kernel_size - 1)

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        if self.overlap_add.past is not None:
            summed: Tensor = self.overlap_add(self.taps(clips))
            return summed if self.bias is None else summed + self.bias.view(-1, 1, 1, 1)
        seen = F.pad(clips, (0, 0, 0, 0, self.kernel_size[0] - 1, 0))
        rows = F.conv2d(frames_as_rows(seen), self.weight.squeeze(4), self.bias, groups=self.groups)
        frames: Tensor = rows.unflatten(3, clips.shape[3:])
        return frames

    def taps(self, clips: Tensor) -> list[Tensor]:
        """Return what each of the t pointwise kernels gives on every frame, the earliest of the kernel first.

        Depthwise they are products, without the gradients that make products dear; so few frames in a convolution over
        time would take a hundred times as long.
        """
        if self.groups == self.in_channels == self.out_channels:
            return [clips * tap for tap in self.weight.movedim(2, 0).contiguous()]
        images = frames_as_images(clips)
        seen = (F.conv2d(images, tap, groups=self.groups) for tap in self.weight.unbind(2))
        return [images_as_frames(tap, clips.shape[2]) for tap in seen]


class CausalDepthwiseConv3d(DepthwiseConv3d):
    """A depthwise convolution of kernel t x k x k over a frame and the t - 1 before it.

    Shape: ``[N, C, T, H, W] -> [N, C, T, ceil(H/stride), ceil(W/stride)]``

    Args:
        channels: channels of the input and of the output.
        stride: spatial stride in pixels.
        kernel_size: t and k, in frames and pixels; k is odd.
        pad: where pixels are padded.
    """

    def __init__(
        self, channels: int, stride: int = 1, *, kernel_size: tuple[int, int] = (3, 3), pad: Pad = pad_evenly
    ) -> None:
        super().__init__(channels, stride, kernel_size=kernel_size, pad=pad)
        self.present = kernel_size[0] - 1
        self.overlap_add = OverlapAdd(kernel_size[0] - 1)

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        summed: Tensor = self.overlap_add(self.taps(clips))
        return summed


class CausalDenseConv3d(DenseConv3d):
    """A convolution of kernel t x k x k over a frame and the t - 1 before it.

    Shape: ``[N, C_in, T, H, W] -> [N, C_out, T, ceil(H/stride), ceil(W/stride)]``

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: t and k, in frames and pixels; k is odd.
        stride: spatial stride in pixels.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: tuple[int, int], *, stride: int = 1) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride=stride)
        self.overlap_add = OverlapAdd(kernel_size[0] - 1)

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        if self.overlap_add.past is not None:
            summed: Tensor = self.overlap_add(self.taps(clips))
            return summed if self.bias is None else summed + self.bias.view(-1, 1, 1, 1)
        seen = F.pad(clips, (0, 0, 0, 0, self.kernel_size[0] - 1, 0))
        convolved: Tensor = F.conv3d(seen, self.weight, self.bias, self.stride, (0, *self.padding[1:]))
        return convolved

    def taps(self, clips: Tensor) -> list[Tensor]:
        """Return what each of the t spatial kernels gives on every frame, the earliest of the kernel first."""
        images, stride, padding = frames_as_images(clips), self.stride[1:], self.padding[1:]
        seen = (F.conv2d(images, tap, None, stride, padding) for tap in self.weight.unbind(2))
        return [images_as_frames(tap, clips.shape[2]) for tap in seen]


class PositionalEncoding(Memory):
    """Add sines and cosines of the frame's number, weighted by one learned scalar that starts at 0.

    Shape: ``[N, C, T, H, W] -> [N, C, T, H, W]``; C is even.

    Args:
        channels: channels of the input; the first half is given sines, the second cosines.

    Source: Vaswani et al., arXiv 1706.03762, Section 3.5; the weight as in MoViNet's published code.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.frequencies = [math.pow(10_000, -2 * index / channels) for index in range(channels // 2)]

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        frequencies = clips.new_tensor(self.frequencies).view(-1, 1, 1, 1)
        angles = (self.numbers(clips) - 1) * frequencies
        waves = torch.cat([angles.sin(), angles.cos()], dim=1)  # [N,C,T,1,1]
        return clips + self.weight * waves


class CausalSqueezeExcitation(nn.Module):
    """Scale each channel of each frame by a gate computed from the channels' means over the frames so far.

    Shape: ``[N, C, T, H, W] -> [N, C, T, H, W]``

    Args:
        channels: channels of the input and of the output.
        ratio: hidden width for one channel that is squeezed.
        activation: of the hidden layer.
        gate: of the output, with values from 0 to 1.
        present: whether the means over each frame alone are seen too.
        positions: whether the frame's number is added to what is seen.

    Source: MoViNet (Kondratyuk et al., arXiv 2103.11511), Section 3.2: CausalSE.
    """

    def __init__(
        self,
        channels: int,
        *,
        ratio: float = 1 / 16,
        activation: Callable[[], nn.Module] = nn.ReLU,
        gate: Callable[[], nn.Module] = nn.Sigmoid,
        present: bool = False,
        positions: bool = False,
    ) -> None:
        super().__init__()
        seen = 2 * channels if present else channels
        hidden = squeezed_channels(seen, ratio)
        self.present = present
        self.so_far = MeanSoFar()
        self.positions = PositionalEncoding(seen) if positions else nn.Identity()
        self.fc1 = SpatialConv3d(seen, hidden, bias=True)
        self.activation = activation()
        self.fc2 = SpatialConv3d(hidden, channels, bias=True)
        self.gate = gate()

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        present = clips.mean(dim=(3, 4), keepdim=True)  # [N,C,T,1,1]
        means = self.so_far(present)
        seen = self.positions(torch.cat([means, present], dim=1) if self.present else means)
        gates: Tensor = self.gate(self.fc2(self.activation(self.fc1(seen))))
        return clips * gates
