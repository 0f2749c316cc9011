"""VoV3D and X3D on a CPU in a kernel of their own.

The C++ source is part of the package and compiled on first use, in seconds, by the system's compiler. `unavailable` and
`unsupported` say beforehand whether all that will work; `compile_network` gives a function from clips to the map
that the head pools.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from vov3d.errors import ArgumentError
from vov3d.models import X3D, VoV3D
from vov3d.native.library import unavailable
from vov3d.native.lowering import unsupported
from vov3d.native.network import NativeNetwork, Precision

__all__ = ["NativeNetwork", "Precision", "compile_network", "unavailable", "unsupported"]


def compile_network(
    model: nn.Module,
    example: Tensor,
    precision: Precision,
    *,
    calibration: Iterable[Tensor] | None = None,
    num_threads: int | None = None,
) -> NativeNetwork:
    """Return a network in inference, up to what its head pools, as a function of clips.

    Args:
        model: a `VoV3D` or `X3D` with depthwise operators, in evaluation.
        example: clips to run it on once, so that the first call is as quick as the next.
        precision: of products: "fp32", "bf16" or "int8".
        calibration: clips that show what values to expect, for "int8"; the example by default.
        num_threads: threads for a call; torch's number by default.

    Raises:
        ArgumentError: it cannot run here, or the network cannot be lowered.
    """
    reason = unavailable(precision) or unsupported(model)
    if reason is not None:
        raise ArgumentError(reason)
    assert isinstance(model, VoV3D | X3D)
    threads = torch.get_num_threads() if num_threads is None else num_threads
    if threads < 1:
        raise ArgumentError(f"num_threads is {threads}; it must be 1 or more")
    shown = [example] if calibration is None else list(calibration)
    network = NativeNetwork(model, precision, threads, shown)
    network(example)
    return network
