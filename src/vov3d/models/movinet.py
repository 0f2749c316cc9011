"""MoViNet: mobile video networks found by architecture search. Their causal form is in `movinet_stream`.

Kondratyuk, Yuan, Li, Zhang, Tan, Brown, Gong: "MoViNets: Mobile Video Networks for Efficient Video Recognition",
arXiv 2103.11511.

::

    x ──┬── expand 1x1x1 ── operator t x k x k, depthwise ── gate ── project 1x1x1 ── scale ──(+)──>
        └── identity, or average pool 1x3x3 /2, project 1x1x1 ─────────────────────────────────┘

Axis legend: N clips, C channels, T frames, H rows, W columns, K classes.

Deviations: these are the networks that the authors released (TensorFlow Model Garden), with the same outputs.

1. The paper prints 3.1M, 4.6M and 4.8M parameters and 2.71, 6.02 and 10.3 GFLOPs for A0, A1 and A2 with 600 classes.
   The released networks have 3.11M, 4.69M, 5.25M and 2.63, 5.87, 11.56. With the 40 channels that the paper's table has
   in the first block of A0, where 24 were released, A0 has 3.11M and 2.73 (tested).
2. Strided convolutions and pools pad as TensorFlow's "same" does.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vov3d.layers import (
    BatchNorm,
    ConvNorm,
    DepthwiseConv3d,
    Head,
    SpatialAveragePool,
    SpatialConv3d,
    SqueezeExcitation,
    StochasticDepth,
    depth_probabilities,
    pad_as_tensorflow,
)
from vov3d.models.clip_classifier import ClipClassifier

Activation = Callable[[], nn.Module]
MovinetOperator = Callable[[int, tuple[int, int], int], nn.Module]
Gate = Callable[[int], nn.Module]

SWISH = partial(nn.SiLU, inplace=True)
SQUEEZE_RATIO = 1 / 4
HEAD_FEATURES = 2048


class Stage(NamedTuple):
    """What a stage is made of.

    Attributes:
        channels: of each block's output.
        blocks: for each block the channels of its operator and the operator's kernel, frames and pixels.
        stride: spatial stride of the first block.
    """

    channels: int
    blocks: tuple[tuple[int, tuple[int, int]], ...]
    stride: int = 2


class Rezero(nn.Module):
    """Multiply by one learned scalar that starts at 0, so that each block starts as its shortcut.

    Source: Bachlechner et al., arXiv 2003.04887.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, branch: Tensor) -> Tensor:  # noqa: D102
        return branch * self.weight


def normalised(convolution: nn.Conv3d, activation: Activation) -> nn.Sequential:
    """Return a convolution, norm and activation."""
    norm = BatchNorm(convolution.out_channels)
    return nn.Sequential(OrderedDict(conv=convolution, norm=norm, activation=activation()))


def depthwise_3d(channels: int, kernel_size: tuple[int, int], stride: int) -> nn.Module:
    """Return the operator of the base: t x k x k around each frame."""
    return normalised(DepthwiseConv3d(channels, stride, kernel_size=kernel_size, pad=pad_as_tensorflow), SWISH)


def clip_gate(channels: int) -> nn.Module:
    """Return the gate of the base."""
    return SqueezeExcitation(channels, ratio=SQUEEZE_RATIO, activation=SWISH)


class InvertedBottleneck(nn.Module):
    """Pointwise, depthwise operator, gate, pointwise; added to the shortcut with a learned weight.

    Shape: ``[N, C_in, T, H, W] -> [N, C_out, T, ceil(H/stride), ceil(W/stride)]``

    Args:
        in_channels: channels of the input.
        mid_channels: channels that the operator works on.
        out_channels: channels of the output.
        operator: what stands in the middle, with its norms and activations.
        gate: the squeeze-and-excitation.
        activation: after the first convolution.
        stride: spatial stride in pixels, of the operator.
        stochastic_depth: probability of leaving out the branch in training.

    Source: Section 3.1.
    """

    def __init__(
        self,
        in_channels: int,
        mid_channels: int,
        out_channels: int,
        *,
        operator: nn.Module,
        gate: nn.Module,
        activation: Activation,
        stride: int,
        stochastic_depth: float,
    ) -> None:
        super().__init__()
        self.expand = normalised(SpatialConv3d(in_channels, mid_channels), activation)
        self.operator = operator
        self.gate = gate
        self.project = ConvNorm(mid_channels, out_channels)
        self.scale = Rezero()
        self.depth = StochasticDepth(stochastic_depth)
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.shortcut.add_module("pool", SpatialAveragePool())
        if stride > 1 or in_channels != out_channels:
            self.shortcut.add_module("project", ConvNorm(in_channels, out_channels))

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        branch = self.project(self.gate(self.operator(self.expand(clips))))
        summed: Tensor = self.depth(self.scale(branch)) + self.shortcut(clips)
        return summed


class MoViNetHead(Head):
    """Pointwise convolution, mean, hidden layer, dropout, classifier.

    Args:
        in_channels: channels of the last stage.
        mid_channels: channels that are averaged.
        num_classes: K; 0 gives the hidden features in place of logits.
        dropout: probability of dropping a hidden feature in training.
        activation: of the convolution; the hidden layer's is a smooth swish in the causal form too, as released.
    """

    def __init__(
        self, in_channels: int, mid_channels: int, num_classes: int, *, dropout: float, activation: Activation
    ) -> None:
        super().__init__()
        self.project = normalised(SpatialConv3d(in_channels, mid_channels), activation)
        self.hidden = SpatialConv3d(mid_channels, HEAD_FEATURES, bias=True)
        self.swish = SWISH()
        self.add_classifier(HEAD_FEATURES, num_classes, dropout)

    def before_pool(self, features: Tensor) -> Tensor:  # noqa: D102
        projected: Tensor = self.project(features)
        return projected

    def after_pool(self, pooled: Tensor) -> Tensor:  # noqa: D102
        hidden: Tensor = self.swish(self.hidden(pooled))
        return hidden


class MoViNet(ClipClassifier):
    """The base network.

    Shape: ``[N, 3, T, H, W] -> [N, K]`` for any T >= 1 and any H, W >= 32.

    Args:
        stem_channels: channels of the first convolution.
        stages: what each stage is made of.
        head_channels: channels that the head averages.
        operator: makes the depthwise operator of a block from its channels, kernel and stride.
        gate: makes the squeeze-and-excitation of a block from its channels.
        activation: of the pointwise convolutions.
        num_classes: K; 0 for features in place of logits.
        dropout: probability of dropping a feature before the classifier.
        stochastic_depth: probability of leaving out the branch of the last block in training; 0 in the first, evenly
            between.

    Source: Section 3.1 and the architecture tables of the appendix, as released.
    """

    def __init__(
        self,
        stem_channels: int,
        stages: Sequence[Stage],
        head_channels: int,
        *,
        operator: MovinetOperator = depthwise_3d,
        gate: Gate = clip_gate,
        activation: Activation = SWISH,
        num_classes: int = 400,
        dropout: float = 0.5,
        stochastic_depth: float = 0.0,
    ) -> None:
        left_out = iter(depth_probabilities(stochastic_depth, sum(len(stage.blocks) for stage in stages)))
        channels, trunk = stem_channels, nn.Sequential()
        for stage in stages:
            blocks, stride = nn.Sequential(), stage.stride
            for mid_channels, kernel_size in stage.blocks:
                block = InvertedBottleneck(
                    *(channels, mid_channels, stage.channels),
                    operator=operator(mid_channels, kernel_size, stride),
                    gate=gate(mid_channels),
                    activation=activation,
                    stride=stride,
                    stochastic_depth=next(left_out),
                )
                blocks.append(block)
                channels, stride = stage.channels, 1
            trunk.append(blocks)
        stem = normalised(SpatialConv3d(3, stem_channels, 3, stride=2, pad=pad_as_tensorflow), activation)
        head = MoViNetHead(channels, head_channels, num_classes, dropout=dropout, activation=activation)
        super().__init__(stem, trunk, head)
        self.apply(_as_released)


def _as_released(module: nn.Module) -> None:
    """Give norms the published constants and start convolutions with variance 2 / fan_in."""
    if isinstance(module, BatchNorm):
        module.eps, module.momentum = 1e-3, 0.01
    elif isinstance(module, nn.Conv3d) and not module.weight.is_meta:
        nn.init.kaiming_normal_(module.weight)


K13, K15, K33, K53 = (1, 3), (1, 5), (3, 3), (5, 3)

A0 = (
    8,
    (
        Stage(8, ((24, K15),)),
        Stage(32, ((80, K33), (80, K33), (80, K33))),
        Stage(56, ((184, K53), (112, K33), (184, K33))),
        Stage(56, ((184, K53), (184, K33), (184, K33), (184, K33)), stride=1),
        Stage(104, ((384, K53), (280, K15), (280, K15), (344, K15))),
    ),
    480,
)
A1 = (
    16,
    (
        Stage(16, ((40, K15), (40, K33))),
        Stage(40, ((96, K33), (120, K33), (96, K33), (96, K33))),
        Stage(64, ((216, K53), (128, K33), (216, K33), (168, K33), (216, K33))),
        Stage(64, ((216, K53), (216, K33), (216, K33), (128, K33), (128, K15), (216, K33)), stride=1),
        Stage(136, ((456, K53), (360, K15), (360, K15), (360, K15), (456, K15), (456, K33), (544, K13))),
    ),
    600,
)
A2 = (
    16,
    (
        Stage(16, ((40, K15), (40, K33), (64, K33))),
        Stage(40, ((96, K33), (120, K33), (96, K33), (96, K33), (120, K33))),
        Stage(72, ((240, K53), (160, K33), (240, K33), (192, K33), (240, K33))),
        Stage(72, ((240, K53), (240, K33), (240, K33), (240, K33), (144, K15), (240, K33)), stride=1),
        Stage(144, ((480, K53), (384, K15), (384, K15), (480, K15), (480, K15), (480, K33), (576, K13))),
    ),
    640,
)


def movinet_a0(num_classes: int = 400, dropout: float = 0.5, stochastic_depth: float = 0.0) -> MoViNet:
    """MoViNet-A0: 3,111,799 parameters at 600 classes, 2.631 GMACs at 50x172x172 (paper: 3.1M, 2.71)."""
    return MoViNet(*A0, num_classes=num_classes, dropout=dropout, stochastic_depth=stochastic_depth)


def movinet_a1(num_classes: int = 400, dropout: float = 0.5, stochastic_depth: float = 0.0) -> MoViNet:
    """MoViNet-A1: 4,690,296 parameters at 600 classes, 5.866 GMACs at 50x172x172 (paper: 4.6M, 6.02)."""
    return MoViNet(*A1, num_classes=num_classes, dropout=dropout, stochastic_depth=stochastic_depth)


def movinet_a2(num_classes: int = 400, dropout: float = 0.5, stochastic_depth: float = 0.0) -> MoViNet:
    """MoViNet-A2: 5,249,562 parameters at 600 classes, 11.558 GMACs at 50x224x224 (paper: 4.8M, 10.3)."""
    return MoViNet(*A2, num_classes=num_classes, dropout=dropout, stochastic_depth=stochastic_depth)
