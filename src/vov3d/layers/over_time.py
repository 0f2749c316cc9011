"""The layers that see more than one frame: around each frame, or up to it."""

from __future__ import annotations

from dataclasses import dataclass

from vov3d.layers.bottleneck import Gate
from vov3d.layers.causal import CausalSqueezeExcitation, CausalTemporalConv3d
from vov3d.layers.convolution import TemporalConv3d
from vov3d.layers.operators import Operator, causal_operator
from vov3d.layers.squeeze_excitation import SqueezeExcitation


@dataclass(frozen=True)
class OverTime:
    """What a network of bottlenecks is made of where frames meet; the head's mean over the clip is the same for both.

    Attributes:
        operator: the 3D operator of a bottleneck.
        gate: its squeeze-and-excitation.
        temporal: the convolution of the stem.
    """

    operator: Operator
    gate: Gate = SqueezeExcitation
    temporal: type[TemporalConv3d] = TemporalConv3d


def over_time(operator: Operator, *, causal: bool) -> OverTime:
    """Return layers that see frames around each frame or, with the same parameters, up to it.

    Args:
        operator: the 3D operator, in the form that sees frames on both sides.
        causal: whether no frame sees a later one.

    Raises:
        ArgumentError: the operator has no causal form.
    """
    if not causal:
        return OverTime(operator)
    return OverTime(causal_operator(operator), CausalSqueezeExcitation, CausalTemporalConv3d)
