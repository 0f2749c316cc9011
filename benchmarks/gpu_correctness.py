"""Whether the fused kernels are right on this GPU: odd shapes, one frame, strides, memory full of NaN."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from gpu_timing import DEVICE, Setting, in_processes
from harness import Row
from torch import Tensor, nn

from vov3d.fused.trial import HALF_FACTOR
from vov3d.fused.units import residual_block
from vov3d.layers import Bottleneck, D2Plus1D, DepthwiseConv3d, Residual, SqueezeExcitation, projection_shortcut
from vov3d.models.vov3d import TOSA

FLOAT32_TOLERANCE = 1e-3


def correctness(_setting: Setting) -> Iterator[Row]:
    """How far the fused kernels are from plain modules in float64, and how far plain modules are in the same type."""
    torch.manual_seed(0)
    jobs = [(dtype, *one) for dtype in (torch.float32, torch.bfloat16) for one in blocks()]
    yield from in_processes(_checked, jobs)


def _checked(job: tuple[torch.dtype, str, Residual, tuple[int, ...]]) -> Row:
    dtype, name, block, shape = job
    torch.manual_seed(1)
    torch.backends.cudnn.allow_tf32 = False
    block, clips = block.to(DEVICE), torch.randn(shape, device=DEVICE).to(dtype).double()
    exact = answers(copy.deepcopy(block).double(), clips, Residual.forward)
    with torch.autocast(DEVICE.type, dtype, enabled=dtype == torch.bfloat16):
        with poisoned():
            fused = off(answers(copy.deepcopy(block), clips.float(), residual_block), exact)
        plain = off(answers(copy.deepcopy(block), clips.float(), Residual.forward), exact)
    allowed = FLOAT32_TOLERANCE if dtype == torch.float32 else HALF_FACTOR * plain
    row: Row = {"block": name, "clips": "x".join(map(str, shape)), "dtype": str(dtype).partition(".")[2]}
    return {**row, "fused_off": fused, "plain_off": plain, "right": "yes" if fused <= allowed else "NO"}


def blocks() -> Iterator[tuple[str, Residual, tuple[int, ...]]]:
    """Blocks with odd shapes: name, block, clips."""
    identity = nn.Identity()
    tosa = TOSA(12, 20, 12, num_units=2, operator=D2Plus1D, stride=1)
    yield "T-OSA", Residual(tosa, identity), (2, 12, 3, 5, 7)
    yield "T-OSA, one frame", Residual(copy.deepcopy(tosa), identity), (3, 12, 1, 5, 5)
    strided = TOSA(12, 20, 10, num_units=2, operator=D2Plus1D, stride=2)
    yield "T-OSA, stride 2", Residual(strided, projection_shortcut(12, 10, 2)), (2, 12, 3, 9, 7)
    unit = Bottleneck(12, 27, 12, operator=DepthwiseConv3d, stride=1, gate=SqueezeExcitation)
    yield "X3D's block", Residual(unit, identity), (2, 12, 4, 7, 5)
    unit = Bottleneck(12, 27, 14, operator=DepthwiseConv3d, stride=2, gate=None)
    yield "X3D's block, stride 2", Residual(unit, projection_shortcut(12, 14, 2)), (2, 12, 2, 6, 7)


@contextmanager
def poisoned() -> Iterator[None]:
    """Let fresh memory be full of NaN."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


def answers(block: Residual, clips: Tensor, compute: Callable[[Residual, Tensor], Tensor]) -> Tensor:
    """Return the output, and all gradients of its sum with random weights, each in parts of its norm, in one row."""
    clips = clips.contiguous(memory_format=torch.channels_last_3d).requires_grad_()
    out = compute(block, clips)
    drawn = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(out)
    gradients = torch.autograd.grad(out, [clips, *block.parameters()], drawn)
    return torch.cat([one.double().flatten() / one.double().norm() for one in (out.detach(), *gradients)])


def off(found: Tensor, expected: Tensor) -> float:
    """Return the distance in parts of the norm; NaN is as far as can be."""
    return float(torch.nan_to_num((found - expected).norm() / expected.norm(), nan=float("inf")))
