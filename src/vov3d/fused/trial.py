"""Whether the fused kernels give on a device what plain modules give: asked before a training relies on them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from vov3d.fused import unavailable
from vov3d.fused.replay import distance
from vov3d.fused.units import fits, residual_block
from vov3d.layers import Bottleneck, Operator, Residual, SqueezeExcitation, projection_shortcut
from vov3d.models import ClipClassifier
from vov3d.models.vov3d import TOSA

TOLERANCES = {torch.float64: 1e-9, torch.float32: 1e-3}
HALF_FACTOR = 4.0  # in 16-bit types the kernels may be this many times as far off as plain modules are


def refusal(model: ClipClassifier, device: torch.device, dtype: torch.dtype) -> str | None:
    """Return why the kernels are not to be relied on for a network, in words; ``None`` if they are.

    Two small blocks are computed forward and backward, by the kernels in `dtype` and by plain modules in float32 or
    better. The first time this compiles the kernels, which takes some seconds.
    """
    reason = unavailable(device)
    if reason is not None:
        return reason
    units = [
        unit for block in model.blocks() if fits(block) for unit in block.modules() if isinstance(unit, Bottleneck)
    ]
    if not units:
        shared = any(isinstance(module, nn.SyncBatchNorm) for module in model.modules())
        return "its norms are those of several processes" if shared else "the fused kernels know none of its blocks"
    operator = type(units[0].operator)
    exact = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)  # or it is plain modules that are off
    with torch.random.fork_rng([device] if device.type == "cuda" else []), exact:
        torch.manual_seed(0)
        for block in _blocks(operator):
            try:
                apart, allowed = _distances(block.to(device), dtype)
            except Exception as error:  # noqa: BLE001  # a compiler, a driver: whatever it is, plain modules do the work
                return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
            if not apart <= allowed:
                return (
                    f"in {str(dtype).partition('.')[2]} the fused kernels are {apart:.1%} off ({allowed:.1%} allowed)"
                )
    return None


def _blocks(operator: Operator) -> Sequence[Residual]:
    """Return a T-OSA block that keeps its input, and one of X3D's that strides."""
    aggregation = TOSA(16, 24, 16, num_units=2, operator=operator, stride=1)
    bottleneck = Bottleneck(16, 24, 20, operator=operator, stride=2, gate=SqueezeExcitation)
    return Residual(aggregation, nn.Identity()), Residual(bottleneck, projection_shortcut(16, 20, 2))


def _distances(block: Residual, dtype: torch.dtype) -> tuple[float, float]:
    """Return how far the kernels' answers are from exact ones, in parts of their norm, and how far they may be."""
    device = next(block.parameters()).device
    half, exact = dtype in (torch.float16, torch.bfloat16), torch.float64 if dtype == torch.float64 else torch.float32
    block, clips = block.to(exact), torch.randn(2, 16, 2, 4, 6, device=device).to(dtype).to(exact)
    expected = _answers(block, clips, Residual.forward)
    with torch.autocast(device.type, dtype, enabled=half):
        apart = distance(_answers(block, clips, residual_block), expected)
        allowed = (
            HALF_FACTOR * distance(_answers(block, clips, Residual.forward), expected) if half else TOLERANCES[dtype]
        )
    return apart, allowed


def _answers(block: Residual, clips: Tensor, compute: Callable[[Residual, Tensor], Tensor]) -> dict[str, Tensor]:
    """Return the output and all gradients of its mean square, of a copy of the block."""
    block, clips = (
        copy.deepcopy(block),
        clips.contiguous(memory_format=torch.channels_last_3d).detach().requires_grad_(),
    )
    out = compute(block, clips)
    out.float().square().mean().backward()
    gradients = {name: parameter.grad for name, parameter in block.named_parameters() if parameter.grad is not None}
    assert clips.grad is not None
    return {**gradients, "out": out.detach(), "clips": clips.grad}
