"""Triton kernels of the fused networks; `vov3d.fused.operators` gives them gradients.

::

    y ──> act(y * scale + shift) ──> convolution ──> out, sums of out
          └── prologue: what stands between two convolutions, never written to memory

Activations are rows ``[N, S, C]`` in channels-last memory, S positions (frames, rows, columns) of each clip. Norm,
squeeze-and-excitation, Swish, ReLU and stochastic depth together are one scale and shift for each clip and channel,
followed by an activation: ``ACT`` 0 none, 1 ReLU, 2 Swish. Every kernel also leaves the sums over positions that the
next norm, or the gradient of this one, needs; each program writes its own, so results do not depend on their order.

The gradient of a convolution's output arrives as ``g + alpha + beta * out``: g from its reader, the rest, for each clip
and channel, from the norm over it. One kernel reads it once and writes the gradients of input and weight, the latter as
a sum for each part of the tiles.

Axis legend: N clips, S positions, T frames, H rows, W columns, K input channels, C output channels; ``ACC`` is the type
of sums. An offset within a clip fits in 32 bits, one of a clip need not.
"""

from vov3d.fused.kernels.depthwise import depthwise_forward, depthwise_gradient
from vov3d.fused.kernels.gate import gate_forward
from vov3d.fused.kernels.pointwise import pointwise_forward, pointwise_gradient
from vov3d.fused.kernels.residual import residual_forward, residual_gradient

__all__ = [
    "depthwise_forward",
    "depthwise_gradient",
    "gate_forward",
    "pointwise_forward",
    "pointwise_gradient",
    "residual_forward",
    "residual_gradient",
]
