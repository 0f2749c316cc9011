"""X3D, the paper's baseline.

Feichtenhofer: "X3D: Expanding Architectures for Efficient Video Recognition", arXiv 2004.04730.

Axis legend: N clips, C channels, T frames, H rows, W columns, K classes. XS, S and M are one network that differs only
in the clips it was trained on (4x160, 13x160 and 16x224 frames x pixels).
"""

from __future__ import annotations

import math

from torch import nn

from vov3d.layers import (
    Bottleneck,
    ClipHead,
    DepthwiseConv3d,
    Operator,
    Residual,
    Stem,
    depth_probabilities,
    over_time,
    projection_shortcut,
)
from vov3d.models.clip_classifier import ClipClassifier

STAGE_CHANNELS = (24, 48, 96, 192)
STAGE_DEPTHS = (1, 2, 5, 3)
EXPANSION = 2.25


class X3D(ClipClassifier):
    """The X3D network.

    Shape: ``[N, 3, T, H, W] -> [N, K]`` for any T >= 1 and any H, W >= 32.

    Args:
        depth_factor: multiplies the blocks of the four stages (1, 2, 5, 3), rounded up.
        operator: the 3D operator of every block; `D2Plus1D` gives "X3D w/ D(2+1)D" of Tables 3 and 4.
        num_classes: K; 0 for features in place of logits.
        dropout: probability of dropping a feature before the classifier.
        stochastic_depth: probability of leaving out the branch of the last block in training; 0 in the first, evenly
            between.
        causal: whether no frame sees a later one, so that the network can `stream`; with the same parameters.

    Source: X3D paper, Table 3; squeeze-and-excitation in every second block, as published.
    """

    def __init__(
        self,
        depth_factor: float = 2.2,
        *,
        operator: Operator = DepthwiseConv3d,
        num_classes: int = 400,
        dropout: float = 0.5,
        stochastic_depth: float = 0.0,
        causal: bool = False,
    ) -> None:
        channels, layers = STAGE_CHANNELS[0], over_time(operator, causal=causal)
        depths = [math.ceil(depth * depth_factor) for depth in STAGE_DEPTHS]
        left_out = iter(depth_probabilities(stochastic_depth, sum(depths)))
        stem = Stem(3, channels, temporal=layers.temporal)
        stages = nn.Sequential()
        for out_channels, depth in zip(STAGE_CHANNELS, depths, strict=True):
            stage = nn.Sequential()
            for block in range(depth):
                stride = 2 if block == 0 else 1
                branch = Bottleneck(
                    channels,
                    int(EXPANSION * out_channels),
                    out_channels,
                    operator=layers.operator,
                    stride=stride,
                    gate=layers.gate if block % 2 == 0 else None,
                )
                shortcut = projection_shortcut(channels, out_channels, stride)
                stage.append(Residual(branch, shortcut, stochastic_depth=next(left_out)))
                channels = out_channels
            stages.append(stage)
        head = ClipHead(channels, int(EXPANSION * channels), 2048, num_classes, dropout=dropout)
        super().__init__(stem, stages, head)
        self.causal = causal
        for module in self.modules():
            if isinstance(module, Bottleneck):
                nn.init.zeros_(module.project.norm.weight)  # each block begins as its shortcut


def x3d_xs(
    num_classes: int = 400,
    dropout: float = 0.5,
    operator: Operator = DepthwiseConv3d,
    stochastic_depth: float = 0.0,
    causal: bool = False,
) -> X3D:
    """X3D-XS: the network of X3D-M, meant for 4 frames of 160x160."""
    return X3D(
        2.2,
        operator=operator,
        num_classes=num_classes,
        dropout=dropout,
        stochastic_depth=stochastic_depth,
        causal=causal,
    )


def x3d_s(
    num_classes: int = 400,
    dropout: float = 0.5,
    operator: Operator = DepthwiseConv3d,
    stochastic_depth: float = 0.0,
    causal: bool = False,
) -> X3D:
    """X3D-S: the network of X3D-M, meant for 13 frames of 160x160."""
    return X3D(
        2.2,
        operator=operator,
        num_classes=num_classes,
        dropout=dropout,
        stochastic_depth=stochastic_depth,
        causal=causal,
    )


def x3d_m(
    num_classes: int = 400,
    dropout: float = 0.5,
    operator: Operator = DepthwiseConv3d,
    stochastic_depth: float = 0.0,
    causal: bool = False,
) -> X3D:
    """X3D-M: 3,331,248 parameters at 174 classes; 6.184 GMACs at 16x256x256 (Table 6: 3.3M, 6.1)."""
    return X3D(
        2.2,
        operator=operator,
        num_classes=num_classes,
        dropout=dropout,
        stochastic_depth=stochastic_depth,
        causal=causal,
    )


def x3d_l(
    num_classes: int = 400,
    dropout: float = 0.5,
    operator: Operator = DepthwiseConv3d,
    stochastic_depth: float = 0.0,
    causal: bool = False,
) -> X3D:
    """X3D-L: 5,690,358 parameters at 174 classes; 11.970 GMACs at 16x256x256 (Table 6: 5.6M, 12.0)."""
    return X3D(
        5.0,
        operator=operator,
        num_classes=num_classes,
        dropout=dropout,
        stochastic_depth=stochastic_depth,
        causal=causal,
    )
