"""How the parameters of a network start."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn


def initialise(module: nn.Module) -> None:
    """Start one module as published; use it with ``network.apply(initialise)``.

    Convolutions are normal with variance 2 / fan_out, where fan_out counts all output channels even if the convolution
    is depthwise; linear layers are normal with standard deviation 0.01; biases are zero.

    Source: published code (docs/faithfulness.md #7). Two depthwise convolutions in a row then give variances below the
    norm's eps of 1e-5 in the last stage, which is why that eps must stay as it is.
    """
    if not isinstance(module, nn.Conv3d | nn.Linear) or module.weight.is_meta:  # nothing there, and seconds to find out
        return
    if isinstance(module, nn.Conv3d):
        fan_out = module.out_channels * math.prod(module.kernel_size)
        nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
    else:
        nn.init.normal_(module.weight, std=0.01)
    if module.bias is not None:
        nn.init.zeros_(module.bias)


@torch.no_grad()
def start_as_shift(convolution: nn.Conv3d, offsets: Sequence[int]) -> None:
    """Let a depthwise 3x1x1 convolution start as a shift in time.

    Args:
        convolution: its channels fall into as many equal parts as there are offsets.
        offsets: for each part the frame that it passes on: -1 the one before, 0 this one, 1 the next.
    """
    nn.init.zeros_(convolution.weight)
    for part, offset in zip(convolution.weight.tensor_split(len(offsets)), offsets, strict=True):
        part[:, :, 1 + offset] = 1
