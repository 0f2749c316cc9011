"""MoViNet-Stream: MoViNet that never looks ahead, and so follows cameras frame by frame.

Kondratyuk et al., arXiv 2103.11511, Section 3.2.

::

    x ──┬── expand 1x1x1 ── 1 x k x k ── t x 1 x 1 over the past ── gate ── project 1x1x1 ── scale ──(+)──>
        └── identity, or average pool 1x3x3 /2, project 1x1x1 ──────────────────────────────────┘

Axis legend: N clips, C channels, T frames, H rows, W columns, K classes.

Deviations: these are the causal networks that the authors released in July 2021 in place of the paper's.

1. The paper's have the kernels t x k x k of the base over the past, and gates that see each channel's mean over the
   frames so far and the frame's number: 3.1M parameters and 2.73 GFLOPs are printed for A0. In the released ones a norm
   and an activation stand between 1 x k x k and t x 1 x 1, gates see the mean over the frames so far and that over this
   frame, and swish and sigmoid are hard: 3.75M and 2.43. `MoViNetStream` builds both (tested).
2. The hard sigmoid rises by 0.2, as when the released weights were trained; under the same name the Model Garden of
   today computes one that rises by 0.16667 and gives other outputs than its own published models (its issue 13559).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn

from vov3d.layers import (
    CausalDepthwiseConv3d,
    CausalSqueezeExcitation,
    CausalTemporalConv3d,
    SpatialConv3d,
    pad_as_tensorflow,
)
from vov3d.models.movinet import (
    A0,
    A1,
    A2,
    SQUEEZE_RATIO,
    SWISH,
    Activation,
    Gate,
    MoViNet,
    MovinetOperator,
    Stage,
    normalised,
)

HARD_SWISH = partial(nn.Hardswish, inplace=True)


class HardSigmoid(nn.Module):
    """0.2 x + 0.5, at least 0 and at most 1."""

    def forward(self, gates: Tensor) -> Tensor:  # noqa: D102
        return (0.2 * gates + 0.5).clamp(0, 1)


def causal_3d(channels: int, kernel_size: tuple[int, int], stride: int) -> nn.Module:
    """Return the operator of the paper's causal form: t x k x k up to each frame."""
    return normalised(CausalDepthwiseConv3d(channels, stride, kernel_size=kernel_size, pad=pad_as_tensorflow), SWISH)


def causal_2plus1d(channels: int, kernel_size: tuple[int, int], stride: int) -> nn.Module:
    """Return the operator of the released causal form: 1 x k x k, then t x 1 x 1 up to each frame if t is not 1."""
    frames, pixels = kernel_size
    spatial = SpatialConv3d(channels, channels, pixels, stride=stride, groups=channels, pad=pad_as_tensorflow)
    factors: OrderedDict[str, nn.Module] = OrderedDict(spatial=normalised(spatial, HARD_SWISH))
    if frames > 1:
        temporal = CausalTemporalConv3d(channels, channels, frames, groups=channels)
        factors["temporal"] = normalised(temporal, HARD_SWISH)
    return nn.Sequential(factors)


def paper_causal_gate(channels: int) -> nn.Module:
    """Return the gate of the paper's causal form: it sees means over the frames so far, and the frame's number."""
    return CausalSqueezeExcitation(channels, ratio=SQUEEZE_RATIO, activation=SWISH, positions=True)


def causal_gate(channels: int) -> nn.Module:
    """Return the gate of the released causal form: it sees means over the frames so far, and over this one."""
    return CausalSqueezeExcitation(channels, ratio=SQUEEZE_RATIO, activation=HARD_SWISH, gate=HardSigmoid, present=True)


class MoViNetStream(MoViNet):
    """The causal network: its logits for a clip are those that `stream` gives after the clip's last frame.

    Args and shape: of `MoViNet`.

    Source: Section 3.2, as released.
    """

    causal = True

    def __init__(
        self,
        stem_channels: int,
        stages: Sequence[Stage],
        head_channels: int,
        *,
        operator: MovinetOperator = causal_2plus1d,
        gate: Gate = causal_gate,
        activation: Activation = HARD_SWISH,
        num_classes: int = 400,
        dropout: float = 0.5,
        stochastic_depth: float = 0.0,
    ) -> None:
        super().__init__(
            *(stem_channels, stages, head_channels),
            operator=operator,
            gate=gate,
            activation=activation,
            num_classes=num_classes,
            dropout=dropout,
            stochastic_depth=stochastic_depth,
        )


def movinet_a0_stream(num_classes: int = 400, dropout: float = 0.5, stochastic_depth: float = 0.0) -> MoViNetStream:
    """MoViNet-A0-Stream: 3,748,031 parameters at 600 classes, 2.426 GMACs at 50x172x172 (paper: 3.1M, 2.73)."""
    return MoViNetStream(*A0, num_classes=num_classes, dropout=dropout, stochastic_depth=stochastic_depth)


def movinet_a1_stream(num_classes: int = 400, dropout: float = 0.5, stochastic_depth: float = 0.0) -> MoViNetStream:
    """MoViNet-A1-Stream: 6,447,352 parameters at 600 classes, 5.540 GMACs at 50x172x172 (paper: 4.6M, 6.06)."""
    return MoViNetStream(*A1, num_classes=num_classes, dropout=dropout, stochastic_depth=stochastic_depth)


def movinet_a2_stream(num_classes: int = 400, dropout: float = 0.5, stochastic_depth: float = 0.0) -> MoViNetStream:
    """MoViNet-A2-Stream: 7,326,962 parameters at 600 classes, 10.700 GMACs at 50x224x224 (paper: 4.8M, 10.4)."""
    return MoViNetStream(*A2, num_classes=num_classes, dropout=dropout, stochastic_depth=stochastic_depth)
