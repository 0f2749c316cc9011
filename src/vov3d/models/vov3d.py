"""VoV3D: temporal one-shot aggregation of D(2+1)D modules.

Lee, Kim, Yun, Moon: "Diverse Temporal Aggregation and Depthwise Spatiotemporal Factorization for Efficient Video
Classification", arXiv 2012.00317.

::

    T-OSA    x ──┬─ D(2+1)D ─┬─ D(2+1)D ─┬─ ... ─┬─ D(2+1)D ─┐
                 └───────────┴───────────┴── concatenate ────┴── 1x1x1 ── norm ──>
    frames seen        3           5                    11

Axis legend: N clips, C channels, T frames, H rows, W columns, K classes.

Deviations from the text follow the published code and are numbered in docs/faithfulness.md: the widths and depths of M
(#1), the input left out of the concatenation where the block strides (#2), a residual sum inside each module (#3), the
5x1x1 stem (#4), squeeze-and-excitation in every second module (#5).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vov3d.layers import (
    Bottleneck,
    ClipHead,
    ConvNorm,
    D2Plus1D,
    Gate,
    Operator,
    Residual,
    SqueezeExcitation,
    Stem,
    depth_probabilities,
    over_time,
    projection_shortcut,
)
from vov3d.models.clip_classifier import ClipClassifier


class TOSA(nn.Module):
    """Temporal one-shot aggregation: modules in a row, their outputs concatenated once.

    Shape: ``[N, C_in, T, H, W] -> [N, C_out, T, ceil(H/stride), ceil(W/stride)]``

    Args:
        in_channels: channels of the input.
        mid_channels: channels that each module's 3D operator works on.
        out_channels: channels of each module's output and of the whole.
        num_units: modules in a row (n).
        operator: the 3D operator of every module.
        stride: spatial stride of the first module, in pixels.
        gate: the squeeze-and-excitation of every second module.
        strided_input: whether the input is concatenated where the block strides too, each stride x stride pixels
            averaged. As published it is not.

    Source: Section 3.1, Figure 2; the published n is 5.
    """

    def __init__(
        self,
        in_channels: int,
        mid_channels: int,
        out_channels: int,
        *,
        num_units: int,
        operator: Operator,
        stride: int,
        gate: Gate = SqueezeExcitation,
        strided_input: bool = False,
    ) -> None:
        super().__init__()
        self.keeps_input = stride == 1 or strided_input
        shrinks = strided_input and stride > 1
        self.shrink = nn.AvgPool3d((1, stride, stride), ceil_mode=True) if shrinks else nn.Identity()
        self.units = nn.ModuleList()
        channels = in_channels
        for index in range(num_units):
            unit_stride = stride if index == 0 else 1
            bottleneck = Bottleneck(
                channels,
                mid_channels,
                out_channels,
                operator=operator,
                stride=unit_stride,
                gate=gate if index % 2 == 0 else None,
            )
            keeps_shape = channels == out_channels and unit_stride == 1
            self.units.append(Residual(bottleneck, nn.Identity() if keeps_shape else None))
            channels = out_channels
        aggregated = num_units * out_channels + (in_channels if self.keeps_input else 0)
        self.aggregate = ConvNorm(aggregated, out_channels)

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        features = [self.shrink(clips)] if self.keeps_input else []
        for unit in self.units:
            clips = unit(clips)
            features.append(clips)
        aggregated: Tensor = self.aggregate(torch.cat(features, dim=1))
        return aggregated


class VoV3D(ClipClassifier):
    """The VoV3D network.

    Shape: ``[N, 3, T, H, W] -> [N, K]`` for any T >= 1 and any H, W >= 32.

    Args:
        width: channels of the operators in the first stage; they double with every stage. Half of it is the width of
            the stem and of each stage's output.
        depths: T-OSA blocks in each of the stages, of which the published networks have four.
        num_units: modules in each T-OSA block.
        operator: the 3D operator of every module (Table 4).
        num_classes: K; 0 for features in place of logits.
        dropout: probability of dropping a feature before the classifier.
        stochastic_depth: probability of leaving out the branch of the last block in training; 0 in the first, evenly
            between.
        causal: whether no frame sees a later one, so that the network can `stream`; with the same parameters.
        strided_input: whether blocks that stride concatenate their input too; as published they do not.

    Source: Table 2 and Section 3.3.
    """

    def __init__(
        self,
        width: int = 40,
        depths: tuple[int, ...] = (1, 2, 3, 2),
        *,
        num_units: int = 5,
        operator: Operator = D2Plus1D,
        num_classes: int = 400,
        dropout: float = 0.5,
        stochastic_depth: float = 0.0,
        causal: bool = False,
        strided_input: bool = False,
    ) -> None:
        channels, layers = width // 2, over_time(operator, causal=causal)
        left_out = iter(depth_probabilities(stochastic_depth, sum(depths)))
        stem = Stem(3, channels, temporal=layers.temporal)
        stages = nn.Sequential()
        for index, depth in enumerate(depths):
            mid_channels = width * 2**index
            stage = nn.Sequential()
            for block in range(depth):
                stride = 2 if block == 0 else 1
                tosa = TOSA(
                    channels,
                    mid_channels,
                    mid_channels // 2,
                    num_units=num_units,
                    operator=layers.operator,
                    stride=stride,
                    gate=layers.gate,
                    strided_input=strided_input,
                )
                shortcut = projection_shortcut(channels, mid_channels // 2, stride)
                stage.append(Residual(tosa, shortcut, stochastic_depth=next(left_out)))
                channels = mid_channels // 2
            stages.append(stage)
        super().__init__(stem, stages, ClipHead(channels, 2 * channels, 2048, num_classes, dropout=dropout))
        self.causal = causal
        for module in self.modules():
            if isinstance(module, TOSA):
                nn.init.zeros_(module.aggregate.norm.weight)  # each block begins as its shortcut


def vov3d_s(
    num_classes: int = 400,
    dropout: float = 0.5,
    operator: Operator = D2Plus1D,
    stochastic_depth: float = 0.0,
    causal: bool = False,
) -> VoV3D:
    """VoV3D-S: 793,982 parameters at 174 classes; 0.676 GMACs at 16x256x256. Not in the paper: ours, for CPUs."""
    return VoV3D(
        *(16, (1, 1, 1, 1)),
        operator=operator,
        num_classes=num_classes,
        dropout=dropout,
        stochastic_depth=stochastic_depth,
        causal=causal,
    )


def vov3d_m(
    num_classes: int = 400,
    dropout: float = 0.5,
    operator: Operator = D2Plus1D,
    stochastic_depth: float = 0.0,
    causal: bool = False,
) -> VoV3D:
    """VoV3D-M: 3,204,286 parameters at 174 classes; 6.424 GMACs at 16x256x256 (Table 6: 3.2M, 6.4)."""
    return VoV3D(
        *(40, (1, 2, 3, 2)),
        operator=operator,
        num_classes=num_classes,
        dropout=dropout,
        stochastic_depth=stochastic_depth,
        causal=causal,
    )


def vov3d_l(
    num_classes: int = 400,
    dropout: float = 0.5,
    operator: Operator = D2Plus1D,
    stochastic_depth: float = 0.0,
    causal: bool = False,
) -> VoV3D:
    """VoV3D-L: 5,834,094 parameters at 174 classes; 12.158 GMACs at 16x256x256 (Table 6: 5.8M, 12.1)."""
    return VoV3D(
        *(48, (1, 2, 5, 3)),
        operator=operator,
        num_classes=num_classes,
        dropout=dropout,
        stochastic_depth=stochastic_depth,
        causal=causal,
    )
