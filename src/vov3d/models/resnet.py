"""ResNet on clips: the trunk that most of the compared systems grew from, with its convolutions as arguments.

He, Zhang, Ren, Sun: "Deep Residual Learning for Image Recognition", arXiv 1512.03385; inflated over time as in
Carreira, Zisserman, arXiv 1705.07750.

::

    clips ── 1x7x7 /2, norm, ReLU ── max pool /2 ── stage 1 ── stage 2 /2 ── stage 3 /2 ── stage 4 /2 ── pool ── fc
    block    x ──┬── reduce 1x1 ── middle 3x3 ── project 1x1 ──(+)── ReLU
                 └────────────── shortcut ─────────────────────┘        norm after each, ReLU between

Axis legend: N clips, C channels, T frames, H rows, W columns, K classes.

Deviation from the text: a bottleneck strides in its middle convolution, not in its first, as in torchvision and timm
("v1.5").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from vov3d.layers import BatchNorm, ConvNorm, PoolHead, Residual, SpatialMaxPool, conv3d, projection_shortcut
from vov3d.models.clip_classifier import ClipClassifier

R50, R101, R152 = (3, 4, 6, 3), (3, 4, 23, 3), (3, 8, 36, 3)
"""Blocks in each of the four stages; 34 layers are `R50` of `BasicBranch`."""


@dataclass(frozen=True)
class Place:
    """Where a block stands, and what it must make of its input.

    Attributes:
        stage: 0 to 3.
        block: 0 up, within its stage.
        in_channels: channels of the input.
        mid_channels: channels in the middle of the branch.
        out_channels: channels of the output.
        stride: spatial stride in pixels.
        temporal_stride: temporal stride in frames.
    """

    stage: int
    block: int
    in_channels: int
    mid_channels: int
    out_channels: int
    stride: int
    temporal_stride: int


Branch = Callable[[Place], nn.Module]
"""Makes the residual branch of a block, without the sum."""


class BottleneckBranch(nn.Module):
    """``project(relu(middle(relu(reduce(before(x))))))``; each part ends in a norm.

    Shape: ``[N, C_in, T, H, W] -> [N, C_out, T', H', W']``

    Args:
        place: where the block stands.
        before: what the input passes first, such as a shift in time; by default nothing.
        frames: t of the first convolution, t x 1 x 1.
        middle: ``[N,C,T,H,W] -> [N,C,T',H',W']`` with both strides; by default a 1x3x3 convolution and a norm.
    """

    def __init__(
        self, place: Place, *, before: nn.Module | None = None, frames: int = 1, middle: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.before = before or nn.Identity()
        self.reduce = ConvNorm(place.in_channels, place.mid_channels, (frames, 1))
        self.middle = middle or middle_convolution(place)
        self.project = ConvNorm(place.mid_channels, place.out_channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        mixed = self.relu(self.middle(self.relu(self.reduce(self.before(clips)))))
        projected: Tensor = self.project(mixed)
        return projected


class BasicBranch(nn.Module):
    """``second(relu(first(x)))``; each part ends in a norm.

    Shape: ``[N, C_in, T, H, W] -> [N, C_out, T', H', W']``

    Args:
        first: ``[N,C_in,T,H,W] -> [N,C_out,T',H',W']``, with both strides.
        second: keeps the shape.
    """

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first = first
        self.relu = nn.ReLU(inplace=True)
        self.second = second

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        mixed: Tensor = self.second(self.relu(self.first(clips)))
        return mixed


def middle_convolution(place: Place, kernel_size: tuple[int, int] = (1, 3), *, groups: int = 1) -> ConvNorm:
    """Return the middle of a bottleneck: t x k x k with the block's strides, and a norm."""
    strides = {"stride": place.stride, "temporal_stride": place.temporal_stride}
    return ConvNorm(place.mid_channels, place.mid_channels, kernel_size, groups=groups, **strides)


class ResNetStem(nn.Module):
    """Dense t x 7 x 7 of spatial stride 2, norm, ReLU, max pool of spatial stride 2.

    Shape: ``[N, C_in, T, H, W] -> [N, C, ceil(T/temporal_stride), ceil(H/4), ceil(W/4)]``

    Args:
        channels: channels of the output.
        frames: t.
        temporal_stride: temporal stride of the convolution, in frames.
        in_channels: channels of the clip, 3 for RGB.
        pool: the last layer.
    """

    def __init__(
        self,
        channels: int = 64,
        *,
        frames: int = 1,
        temporal_stride: int = 1,
        in_channels: int = 3,
        pool: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.conv = conv3d(in_channels, channels, (frames, 7), stride=2, temporal_stride=temporal_stride)
        self.norm = BatchNorm(channels)
        self.relu = nn.ReLU(inplace=True)
        self.pool = pool or SpatialMaxPool()

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        features: Tensor = self.pool(self.relu(self.norm(self.conv(clips))))
        return features


def resnet_stage(
    stage: int,
    depth: int,
    branch: Branch,
    *,
    in_channels: int,
    mid_channels: int,
    expansion: int = 4,
    stride: int = 1,
    temporal_stride: int = 1,
) -> nn.Sequential:
    """Return the blocks of one stage; the first one strides and changes the channels.

    Args:
        stage: its number, 0 to 3.
        depth: how many blocks.
        branch: makes the branch of each.
        in_channels: channels of the input.
        mid_channels: channels in the middle of each branch.
        expansion: channels of the output for each of them: 4 for bottlenecks, 1 for basic blocks.
        stride: spatial stride in pixels.
        temporal_stride: temporal stride in frames.
    """
    blocks = nn.Sequential()
    for block in range(depth):
        strides = (stride, temporal_stride) if block == 0 else (1, 1)
        place = Place(stage, block, in_channels, mid_channels, expansion * mid_channels, *strides)
        shortcut = projection_shortcut(in_channels, place.out_channels, place.stride, place.temporal_stride)
        blocks.append(Residual(branch(place), shortcut))
        in_channels = place.out_channels
    return blocks


def resnet_stages(
    depths: Sequence[int],
    branch: Branch,
    *,
    width: int = 64,
    expansion: int = 4,
    temporal_strides: Sequence[int] = (1, 1, 1, 1),
) -> nn.Sequential:
    """Return the four stages; spatial strides are 1, 2, 2, 2.

    Args:
        depths: blocks in each stage.
        branch: makes the branch of each block.
        width: channels of the stem and of the middle of the first stage; they double with every stage.
        expansion: channels of a stage's output for each channel of its middle.
        temporal_strides: temporal stride of each stage, in frames.
    """
    stages, channels = nn.Sequential(), width
    for stage, (depth, temporal_stride) in enumerate(zip(depths, temporal_strides, strict=True)):
        mid_channels = width * 2**stage
        stages.append(
            resnet_stage(
                *(stage, depth, branch),
                in_channels=channels,
                mid_channels=mid_channels,
                expansion=expansion,
                stride=1 if stage == 0 else 2,
                temporal_stride=temporal_stride,
            )
        )
        channels = expansion * mid_channels
    return stages


class ResNet(ClipClassifier):
    """A ResNet of bottlenecks whose branches are an argument.

    Shape: ``[N, 3, T, H, W] -> [N, K]`` for any T >= 1 and any H, W >= 32.

    Args:
        depths: blocks in each stage, such as `R50`.
        branch: makes the branch of each block; by default every frame is an image of its own.
        stem: by default 1x7x7.
        temporal_strides: temporal stride of each stage, in frames.
        num_classes: K; 0 for features in place of logits.
        dropout: probability of dropping a feature before the classifier.
    """

    def __init__(
        self,
        depths: Sequence[int] = R50,
        branch: Branch = BottleneckBranch,
        *,
        stem: nn.Module | None = None,
        temporal_strides: Sequence[int] = (1, 1, 1, 1),
        num_classes: int = 400,
        dropout: float = 0.5,
    ) -> None:
        stages = resnet_stages(depths, branch, temporal_strides=temporal_strides)
        super().__init__(stem or ResNetStem(), stages, PoolHead(2048, num_classes, dropout=dropout))
