"""The 3D operators that may stand in the middle of a bottleneck: the five rows of the paper's Table 1.

An operator is any ``Callable[[channels, stride], nn.Module]`` whose module keeps channels and frames and divides height
and width by the stride. Deviation from the paper, as published: no norm and no activation stands between two factors,
so that D(2+1)D and D(1+2)D are the same function (docs/faithfulness.md #6).

========  ================  ==========================  ===========================================
row       operator          kernels                     multiply-adds per output position (C channels)
========  ================  ==========================  ===========================================
(a)       `Conv3x3x3`       dense 3x3x3                 27 C^2
(b)       `R2Plus1D`        dense 1x3x3, dense 3x1x1    12 C^2
(c)       `DepthwiseConv3d` depthwise 3x3x3             27 C
(d)       `D1Plus2D`        depthwise 3x1x1, 1x3x3      9 C + 3 C stride^2
(e)       `D2Plus1D`        depthwise 1x3x3, 3x1x1      12 C
========  ================  ==========================  ===========================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from torch import Tensor, nn

from vov3d.errors import ArgumentError
from vov3d.layers.causal import CausalDenseConv3d, CausalDepthwiseConv3d, CausalTemporalConv3d
from vov3d.layers.convolution import DenseConv3d, DepthwiseConv3d, SpatialConv3d, TemporalConv3d

Operator = Callable[[int, int], nn.Module]


class D2Plus1D(nn.Module):
    """Depthwise 1x3x3 with the stride, then depthwise 3x1x1.

    Shape: ``[N, C, T, H, W] -> [N, C, T, ceil(H/stride), ceil(W/stride)]``

    Args:
        channels: channels of the input and of the output.
        stride: spatial stride in pixels.
        temporal: the convolution over time.
        between: what stands between the two, from the channels, such as `BatchNorm`; ``None``, as published: nothing.

    Source: Section 3.2, Figure 3 (e).
    """

    def __init__(
        self,
        channels: int,
        stride: int,
        *,
        temporal: type[TemporalConv3d] = TemporalConv3d,
        between: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.spatial = SpatialConv3d(channels, channels, 3, stride=stride, groups=channels)
        self.between = nn.Identity() if between is None else between(channels)
        self.temporal = temporal(channels, channels, 3, groups=channels)

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        mixed: Tensor = self.temporal(self.between(self.spatial(clips)))
        return mixed

    @property
    def is_linear(self) -> bool:
        """Whether nothing stands between the two convolutions, so that they commute."""
        return isinstance(self.between, nn.Identity)


class D1Plus2D(nn.Module):
    """Depthwise 3x1x1 at full resolution, then depthwise 1x3x3 with the stride (Table 4, row d).

    Shape: ``[N, C, T, H, W] -> [N, C, T, ceil(H/stride), ceil(W/stride)]``

    Args:
        channels: channels of the input and of the output.
        stride: spatial stride in pixels.
        temporal: the convolution over time.
    """

    def __init__(self, channels: int, stride: int, *, temporal: type[TemporalConv3d] = TemporalConv3d) -> None:
        super().__init__()
        self.temporal = temporal(channels, channels, 3, groups=channels)
        self.spatial = SpatialConv3d(channels, channels, 3, stride=stride, groups=channels)

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        mixed: Tensor = self.spatial(self.temporal(clips))
        return mixed


class R2Plus1D(nn.Module):
    """Dense 1x3x3 with the stride, then dense 3x1x1, both C -> C (Table 4, row b).

    Shape: ``[N, C, T, H, W] -> [N, C, T, ceil(H/stride), ceil(W/stride)]``

    Args:
        channels: channels of the input and of the output.
        stride: spatial stride in pixels.
        temporal: the convolution over time.
    """

    def __init__(self, channels: int, stride: int, *, temporal: type[TemporalConv3d] = TemporalConv3d) -> None:
        super().__init__()
        self.spatial = SpatialConv3d(channels, channels, 3, stride=stride)
        self.temporal = temporal(channels, channels, 3)

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        mixed: Tensor = self.temporal(self.spatial(clips))
        return mixed


class Conv3x3x3(DenseConv3d):
    """Dense 3x3x3 (Table 4, row a).

    Shape: ``[N, C, T, H, W] -> [N, C, T, ceil(H/stride), ceil(W/stride)]``

    Args:
        channels: channels of the input and of the output.
        stride: spatial stride in pixels.
    """

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__(channels, channels, (3, 3), stride=stride)


class CausalConv3x3x3(CausalDenseConv3d):
    """Dense 3x3x3 up to each frame.

    Shape: ``[N, C, T, H, W] -> [N, C, T, ceil(H/stride), ceil(W/stride)]``

    Args:
        channels: channels of the input and of the output.
        stride: spatial stride in pixels.
    """

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__(channels, channels, (3, 3), stride=stride)


OPERATORS: Mapping[str, Operator] = {
    "bottleneck": Conv3x3x3,
    "r2plus1d": R2Plus1D,
    "dw_bottleneck": DepthwiseConv3d,
    "d1plus2d": D1Plus2D,
    "d2plus1d": D2Plus1D,
}
"""The operators by the names of Table 1, rows (a) to (e): what ``model.operator`` of a recipe chooses from."""

CAUSAL: Mapping[Operator, Operator] = {
    Conv3x3x3: CausalConv3x3x3,
    R2Plus1D: partial(R2Plus1D, temporal=CausalTemporalConv3d),
    DepthwiseConv3d: CausalDepthwiseConv3d,
    D1Plus2D: partial(D1Plus2D, temporal=CausalTemporalConv3d),
    D2Plus1D: partial(D2Plus1D, temporal=CausalTemporalConv3d),
}
"""The same operators up to each frame, with the same parameters."""


def causal_operator(operator: Operator) -> Operator:
    """Return the form of an operator that sees a frame and those before it.

    Raises:
        ArgumentError: it has none; the message says which have one.
    """
    if operator not in CAUSAL:
        names = ", ".join(known.__name__ for known in CAUSAL if isinstance(known, type))
        raise ArgumentError(f"the operator {operator!r} has no causal form; of these there is one: {names}")
    return CAUSAL[operator]
