"""VoV3D's and X3D's training step in few kernels, written in Triton: `fuse` a network, and train it as before.

Plain modules write and read every activation for each norm, gate, activation and sum. Here a unit is four kernels,
each of which reads what the one before wrote and writes what the next one reads; what lies between is computed while it
is read, in the backward pass again, and only the convolutions' outputs are kept. Parameters, names and results are
those of the plain modules, up to rounding (tested).
"""

from __future__ import annotations

from types import MethodType
from typing import TYPE_CHECKING

from vov3d.fused.replay import Gradient, Replayed
from vov3d.layers import Residual

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from vov3d.models import ClipClassifier

__all__ = ["Gradient", "Replayed", "fuse", "unavailable"]

OLDEST_TRITON = (3, 4)


def unavailable(device: torch.device) -> str | None:
    """Return why the kernels do not run on a device, in words; ``None`` if they do."""
    import torch

    try:
        import triton
    except (ImportError, OSError) as error:
        return f"triton cannot be imported: {error}"
    if tuple(map(int, triton.__version__.split(".")[:2])) < OLDEST_TRITON:
        return f"triton {triton.__version__} is older than they need ({'.'.join(map(str, OLDEST_TRITON))})"
    if device.type != "cuda":
        return None if triton.knobs.runtime.interpret else f"they run on CUDA GPUs, not on {device.type}"
    if torch.cuda.get_device_capability(device) < (8, 0):
        return f"{torch.cuda.get_device_name(device)} is older than they need (compute capability 8.0)"
    return None


def fuse(model: ClipClassifier) -> int:
    """Let the blocks of a network that the kernels know be computed by them.

    Args:
        model: changed in place; parameters, buffers and their names stay. VoV3D and X3D have such blocks, with the
            operators `D2Plus1D`, `D1Plus2D` and `DepthwiseConv3d`.

    Returns:
        How many blocks it has of them; 0 leaves it as it was.
    """
    from vov3d.fused.units import fits

    blocks = [block for block in model.blocks() if fits(block)]
    for block in blocks:
        block.forward = MethodType(_forward, block)
    return len(blocks)


def _forward(block: Residual, clips: Tensor) -> Tensor:
    import torch

    from vov3d.fused.units import residual_block

    if len(clips) == 0:
        return Residual.forward(block, clips)
    with torch.cuda.device_of(clips):  # kernels are launched on the device that is current
        return residual_block(block, clips)
