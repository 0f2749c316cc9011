"""The bottleneck that both VoV3D and X3D are made of, and the residual sum around it."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from vov3d.layers.norm import BatchNorm, ConvNorm
from vov3d.layers.operators import Operator
from vov3d.layers.stochastic_depth import StochasticDepth

Gate = Callable[[int], nn.Module]


class Bottleneck(nn.Module):
    """Pointwise, 3D operator, squeeze-and-excitation, Swish, pointwise; a norm after each, no final activation.

    With `D2Plus1D` it is the paper's D(2+1)D module, with `DepthwiseConv3d` X3D's block.

    Shape: ``[N, C_in, T, H, W] -> [N, C_out, T, ceil(H/stride), ceil(W/stride)]``

    Args:
        in_channels: channels of the input.
        mid_channels: channels that the operator works on.
        out_channels: channels of the output.
        operator: what stands in the middle.
        stride: spatial stride in pixels, of the operator.
        gate: the squeeze-and-excitation of the operator's output, from its channels; ``None`` for none. It comes
            before Swish.

    Source: Section 3.2, Figure 3; Swish and SE as in X3D (Feichtenhofer, arXiv 2004.04730).
    """

    def __init__(
        self,
        in_channels: int,
        mid_channels: int,
        out_channels: int,
        *,
        operator: Operator,
        stride: int,
        gate: Gate | None,
    ) -> None:
        super().__init__()
        self.expand = ConvNorm(in_channels, mid_channels)
        self.relu = nn.ReLU(inplace=True)
        self.operator = operator(mid_channels, stride)
        self.norm = BatchNorm(mid_channels)
        self.gate = nn.Identity() if gate is None else gate(mid_channels)
        self.swish = nn.SiLU(inplace=True)
        self.project = ConvNorm(mid_channels, out_channels)

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        wide = self.relu(self.expand(clips))
        mixed = self.swish(self.gate(self.norm(self.operator(wide))))
        projected: Tensor = self.project(mixed)
        return projected


class Residual(nn.Module):
    """``relu(shortcut(x) + branch(x))``; without a shortcut, ``relu(branch(x))``.

    Args:
        branch: any module.
        shortcut: `ConvNorm` where the shape changes, ``nn.Identity()`` where it stays, ``None`` for no sum.
        stochastic_depth: probability of leaving out the branch in training; of use only beside a shortcut.
    """

    def __init__(self, branch: nn.Module, shortcut: nn.Module | None, *, stochastic_depth: float = 0.0) -> None:
        super().__init__()
        self.shortcut = shortcut
        self.branch = branch
        self.depth = StochasticDepth(stochastic_depth)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        summed = self.depth(self.branch(clips))
        if self.shortcut is not None:
            summed += self.shortcut(clips)
        activated: Tensor = self.relu(summed)
        return activated


def projection_shortcut(in_channels: int, out_channels: int, stride: int, temporal_stride: int = 1) -> nn.Module:
    """Return the shortcut of a block: projected where channels or resolution change, identity elsewhere."""
    if in_channels == out_channels and stride == temporal_stride == 1:
        return nn.Identity()
    return ConvNorm(in_channels, out_channels, stride=stride, temporal_stride=temporal_stride)
