"""Squeeze-and-excitation over space and time (Hu et al., arXiv 1709.01507)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from vov3d.layers.convolution import SpatialConv3d


def squeezed_channels(channels: int, ratio: float = 1 / 16, multiple: int = 8) -> int:
    """Return the hidden width: ``channels * ratio`` rounded to a multiple of 8, never more than a tenth below.

    Source: published code; 40 -> 8, 160 -> 16, 320 -> 24, 432 -> 32.
    """
    wanted = channels * ratio
    rounded = max(multiple, int(wanted + multiple / 2) // multiple * multiple)
    return rounded + multiple if rounded < 0.9 * wanted else rounded


class SqueezeExcitation(nn.Module):
    """Scale each channel by a gate in (0, 1) computed from the means of all channels over T, H and W.

    Shape: ``[N, C, T, H, W] -> [N, C, T, H, W]``

    Args:
        channels: channels of the input and of the output.
        ratio: hidden width for one channel.
        activation: of the hidden layer.
    """

    def __init__(self, channels: int, *, ratio: float = 1 / 16, activation: Callable[[], nn.Module] = nn.ReLU) -> None:
        super().__init__()
        hidden = squeezed_channels(channels, ratio)
        self.fc1 = SpatialConv3d(channels, hidden, bias=True)
        self.activation = activation()
        self.fc2 = SpatialConv3d(hidden, channels, bias=True)

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        return clips * self.gates(clips.mean(dim=(2, 3, 4), keepdim=True))

    def gates(self, means: Tensor) -> Tensor:
        """Return the gates that channels of these means have.

        Shape: ``[N, C, 1, 1, 1] -> [N, C, 1, 1, 1]``
        """
        gates: Tensor = self.fc2(self.activation(self.fc1(means))).sigmoid()
        return gates
