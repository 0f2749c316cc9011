"""I3D: Inception-v1 with every kernel inflated to three dimensions.

Carreira, Zisserman: "Quo Vadis, Action Recognition? A New Model and the Kinetics Dataset", arXiv 1705.07750.

::

    Inception    x ──┬─ 1x1x1 ─────────────────┐
                     ├─ 1x1x1 ── 3x3x3 ────────┤
                     ├─ 1x1x1 ── 3x3x3 ────────┼── concatenate ──>
                     └─ max 3x3x3 ── 1x1x1 ────┘

    maps of a 64x224x224 clip    stem 32x56x56; stages 32x28x28, 16x14x14, 8x7x7

Axis legend: N clips, C channels, T frames, H rows, W columns, K classes.

Deviations:

1. Each norm has a learned scale, as in the ports to PyTorch; the authors' norms have none (7,280 parameters).
2. Dropout draws once for a clip and channel, not anew at each position in time; logits are averaged over time in both.

Table 7 of the VoV3D paper prints 12M parameters and 108 GFLOPs. The published network has 12.70M and 111.2; with 1x1x1
kernels in each third branch it would have 107.9, and 12.06M weights in its convolutions and classifier (tested).
"""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vov3d.layers import BatchNorm, PoolHead, conv3d, same_padding, window_means
from vov3d.models.clip_classifier import ClipClassifier

Triple: TypeAlias = "tuple[int, int, int]"
Widths: TypeAlias = "tuple[int, tuple[int, int], tuple[int, int], int]"

STAGE_WIDTHS: tuple[tuple[Widths, ...], ...] = (
    ((64, (96, 128), (16, 32), 32), (128, (128, 192), (32, 96), 64)),
    (
        (192, (96, 208), (16, 48), 64),
        (160, (112, 224), (24, 64), 64),
        (128, (128, 256), (24, 64), 64),
        (112, (144, 288), (32, 64), 64),
        (256, (160, 320), (32, 128), 128),
    ),
    ((256, (160, 320), (32, 128), 128), (384, (192, 384), (48, 128), 128)),
)
STAGE_POOLS: tuple[tuple[Triple, Triple], ...] = (
    ((1, 3, 3), (1, 2, 2)),
    ((3, 3, 3), (2, 2, 2)),
    ((2, 2, 2), (2, 2, 2)),
)


class SamePad(nn.Module):
    """Zeros around a map, so that a window gives ceil(cells / stride) along each axis; an odd zero comes last.

    Shape: ``[N, C, T, H, W] -> [N, C, T + p, H + q, W + r]``

    Args:
        kernel_size: frames, rows and columns of the window.
        stride: of the window, in frames, rows and columns.

    Source: the padding that the published weights were trained with; torch's own is symmetric.
    """

    def __init__(self, kernel_size: Triple, stride: Triple) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        axes = zip(clips.shape[2:], self.kernel_size, self.stride, strict=True)
        time, rows, columns = (same_padding(cells, size, step) for cells, size, step in axes)
        return F.pad(clips, (*columns, *rows, *time))

    def extra_repr(self) -> str:  # noqa: D102
        return f"kernel_size={self.kernel_size}, stride={self.stride}"


class Unit(nn.Module):
    """Convolution, norm, ReLU.

    Shape: ``[N, C_in, T, H, W] -> [N, C_out, ceil(T/stride), ceil(H/stride), ceil(W/stride)]``

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: in frames and pixels alike.
        stride: in frames and pixels alike.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 1, *, stride: int = 1) -> None:
        super().__init__()
        if stride == 1:
            self.pad: nn.Module = nn.Identity()
            self.conv = conv3d(in_channels, out_channels, (kernel_size, kernel_size))
        else:
            self.pad = SamePad((kernel_size,) * 3, (stride,) * 3)
            self.conv = nn.Conv3d(in_channels, out_channels, kernel_size, stride, bias=False)
        self.norm = BatchNorm(out_channels, eps=1e-3)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        activated: Tensor = self.relu(self.norm(self.conv(self.pad(clips))))
        return activated


def strided_pool(kernel_size: Triple, stride: Triple) -> nn.Sequential:
    """Return a max pool that gives ceil(cells / stride); after a ReLU, zeros around a map never win."""
    return nn.Sequential(SamePad(kernel_size, stride), nn.MaxPool3d(kernel_size, stride))


class Inception(nn.Module):
    """Four branches, concatenated.

    Shape: ``[N, C_in, T, H, W] -> [N, C_out, T, H, W]``

    Args:
        in_channels: channels of the input.
        widths: channels of the first branch's 1x1x1, the second's 1x1x1 and 3x3x3, the third's, and the fourth's 1x1x1.

    Attributes:
        out_channels: channels of the output.

    Source: Figure 3, "Inc."
    """

    def __init__(self, in_channels: int, widths: Widths) -> None:
        super().__init__()
        first, (second_mid, second), (third_mid, third), fourth = widths
        self.first = Unit(in_channels, first)
        self.second = nn.Sequential(Unit(in_channels, second_mid), Unit(second_mid, second, 3))
        self.third = nn.Sequential(Unit(in_channels, third_mid), Unit(third_mid, third, 3))
        self.fourth = nn.Sequential(nn.MaxPool3d(3, stride=1, padding=1), Unit(in_channels, fourth))
        self.out_channels = first + second + third + fourth

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        return torch.cat([self.first(clips), self.second(clips), self.third(clips), self.fourth(clips)], dim=1)


class PairHead(PoolHead):
    """Logits of every two frames in a row, averaged over time: all frames but the first and the last count twice.

    Shape: ``[N, C, T, H, W] -> [N, K]``

    Source: Figure 3, the 2x7x7 average pool; a map of one frame is pooled alone.
    """

    def before_pool(self, features: Tensor) -> Tensor:  # noqa: D102
        return window_means(features, (min(2, features.shape[2]), 1, 1))

    def classify_positions(self, features: Tensor, window: Triple) -> Tensor:  # noqa: D102
        frames, rows, columns = window
        return super().classify_positions(features, (max(frames - 1, 1), rows, columns))


class I3D(ClipClassifier):
    """The I3D network on RGB clips.

    Shape: ``[N, 3, T, H, W] -> [N, K]`` for any T >= 1 and any H, W >= 32.

    Args:
        num_classes: K; 0 for features in place of logits.
        dropout: probability of dropping a feature before the classifier.

    Source: Figure 3; the channels are those of Inception-v1 (Szegedy et al., arXiv 1409.4842, Table 1).
    """

    def __init__(self, *, num_classes: int = 400, dropout: float = 0.5) -> None:
        stem = nn.Sequential(
            Unit(3, 64, 7, stride=2),
            strided_pool((1, 3, 3), (1, 2, 2)),
            Unit(64, 64),
            Unit(64, 192, 3),
        )
        channels = 192
        stages = nn.Sequential()
        for pool, blocks in zip(STAGE_POOLS, STAGE_WIDTHS, strict=True):
            stage = nn.Sequential(strided_pool(*pool))
            for widths in blocks:
                block = Inception(channels, widths)
                stage.append(block)
                channels = block.out_channels
            stages.append(stage)
        super().__init__(stem, stages, PairHead(channels, num_classes, dropout=dropout))


def i3d(num_classes: int = 400, dropout: float = 0.5) -> I3D:
    """I3D: 12,697,264 parameters at 400 classes; 111.153 GMACs at 64x224x224 (Table 7: 12M, 108; see above)."""
    return I3D(num_classes=num_classes, dropout=dropout)
