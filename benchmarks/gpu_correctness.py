"""Whether the fused kernels are right on this GPU: odd shapes, one frame, strides, memory full of NaN."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from gpu_device import DEVICE, ON_GPU
from gpu_timing import Setting, in_processes, tried
from harness import Row
from torch import Tensor, nn

from vov3d.fused.inference import FoldedBlock
from vov3d.fused.trial import HALF_FACTOR
from vov3d.fused.units import residual_block
from vov3d.layers import (
    Bottleneck,
    D2Plus1D,
    DepthwiseConv3d,
    PoolHead,
    Residual,
    SqueezeExcitation,
    Stem,
    projection_shortcut,
)
from vov3d.models import ClipClassifier, create_model
from vov3d.models.vov3d import TOSA
from vov3d.optimize.folding import folded

FLOAT32_TOLERANCE = 1e-3
PUBLISHED = ("vov3d_m", "vov3d_l", "x3d_m")


@dataclass(frozen=True)
class Check:
    """A block, and clips that it is shown.

    Attributes:
        name: of the block.
        block: the block.
        shape: of the clips.
        channels_last: whether their memory is; otherwise they are every other frame of contiguous clips.
    """

    name: str
    block: Residual
    shape: tuple[int, ...]
    channels_last: bool = True

    def clips(self, dtype: torch.dtype) -> Tensor:
        """Clips of no content, the same each time, rounded to a type."""
        generator = torch.Generator().manual_seed(1)
        return torch.randn(self.shape, generator=generator).to(DEVICE, dtype).double()

    def laid_out(self, clips: Tensor) -> Tensor:
        """The clips in memory as they are to lie."""
        if self.channels_last:
            return clips.contiguous(memory_format=torch.channels_last_3d)
        return clips.repeat_interleave(2, dim=2)[:, :, ::2]


def correctness(_setting: Setting) -> Iterator[Row]:
    """How far the fused kernels are from plain modules in float64, and how far plain modules are in the same type."""
    yield from in_processes(_checked, jobs())


Job = tuple[torch.dtype, bool, int]
"""Type, whether the block is one of a published network, and its place; tensors that travel are an open file each."""


def jobs() -> list[Job]:
    """All that is checked."""
    found = [(torch.bfloat16, True, place) for place in range(len(list(published())))]
    places = range(len(list(blocks())))
    return found + [(dtype, False, place) for dtype in (torch.float32, torch.bfloat16) for place in places]


def _checked(job: Job) -> Row:
    dtype, is_published, place = job
    torch.manual_seed(0)
    check = list(published() if is_published else blocks())[place]
    row: Row = {"block": check.name, "clips": "x".join(map(str, check.shape)), "dtype": str(dtype).partition(".")[2]}
    return {**row, "right": "NO", **tried(lambda: _distances(check, dtype))}


def _distances(check: Check, dtype: torch.dtype) -> Row:
    torch.backends.cudnn.allow_tf32 = False
    block, narrow = alive(check)
    clips, row, right = check.clips(dtype), Row(), True
    for kind, one, compute in (("training", block, _trained), ("inference", narrow, _inferred)):
        expected = compute(copy.deepcopy(one).double(), check.laid_out(clips), torch.float64, fused=False)
        with poisoned():
            fused, plain = (
                off(compute(copy.deepcopy(one).float(), check.laid_out(clips.float()), dtype, fused=is_fused), expected)
                for is_fused in (True, False)
            )
        right &= fused <= (FLOAT32_TOLERANCE if dtype == torch.float32 else HALF_FACTOR * plain)
        row |= {f"{kind}_off": fused, f"plain_{kind}_off": plain}
    return {**row, "right": "yes" if right else "NO"}


def alive(check: Check) -> tuple[Residual, Residual]:
    """The block with norms that do something, and as it is in inference, with these in its weights."""
    torch.manual_seed(1)
    stem, head = Stem(3, check.shape[1]), PoolHead(check.shape[1], 0, dropout=0.0)
    network = ClipClassifier(stem, nn.Sequential(nn.Sequential(copy.deepcopy(check.block))), head)
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm3d):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, 0, 0.3)
    network = network.to(DEVICE, torch.float64)
    block, narrow = next(network.blocks()), next(folded(network.eval()).blocks())
    assert isinstance(block, Residual)
    assert isinstance(narrow, Residual)
    return block.train(), narrow


def _trained(block: Residual, clips: Tensor, dtype: torch.dtype, *, fused: bool) -> Tensor:
    with torch.autocast(DEVICE.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
        return answers(block, clips, residual_block if fused else Residual.forward)


@torch.no_grad()
def _inferred(block: Residual, clips: Tensor, dtype: torch.dtype, *, fused: bool) -> Tensor:
    block = block.to(dtype)
    return (FoldedBlock(block) if fused else block)(clips.to(dtype)).double().flatten()


def blocks() -> Iterator[Check]:
    """Blocks with odd shapes."""
    identity = nn.Identity()
    tosa = TOSA(12, 20, 12, num_units=2, operator=D2Plus1D, stride=1)
    yield Check("T-OSA", Residual(tosa, identity), (2, 12, 3, 5, 7))
    yield Check("T-OSA, one frame", Residual(tosa, identity), (3, 12, 1, 5, 5))
    yield Check("T-OSA, memory with gaps", Residual(tosa, identity), (2, 12, 2, 5, 3), channels_last=False)
    strided = TOSA(12, 20, 10, num_units=2, operator=D2Plus1D, stride=2)
    yield Check("T-OSA, stride 2", Residual(strided, projection_shortcut(12, 10, 2)), (2, 12, 3, 9, 7))
    unit = Bottleneck(12, 27, 12, operator=DepthwiseConv3d, stride=1, gate=SqueezeExcitation)
    yield Check("X3D's block", Residual(unit, identity), (2, 12, 4, 7, 5))
    unit = Bottleneck(12, 27, 14, operator=DepthwiseConv3d, stride=2, gate=None)
    yield Check("X3D's block, stride 2", Residual(unit, projection_shortcut(12, 14, 2)), (2, 12, 2, 6, 7))


def published(names: tuple[str, ...] = PUBLISHED if ON_GPU else ()) -> Iterator[Check]:
    """The widest blocks of the networks, which have several tiles of channels."""
    for name in names:
        block = list(create_model(name).blocks())[-1]
        assert isinstance(block, Residual)
        channels = next(module.in_channels for module in block.modules() if isinstance(module, nn.Conv3d))
        yield Check(f"the last of {name}", block, (2, channels, 4, 7, 7))


@contextmanager
def poisoned() -> Iterator[None]:
    """Let fresh memory be full of NaN."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


def answers(block: Residual, clips: Tensor, compute: Callable[[Residual, Tensor], Tensor]) -> Tensor:
    """Return the output, and all gradients of its sum with random weights, each in parts of its norm, in one row."""
    clips = clips.detach().requires_grad_()
    out = compute(block, clips)
    drawn = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(out)
    gradients = torch.autograd.grad(out, [clips, *block.parameters()], drawn)
    return torch.cat([one.double().flatten() / one.double().norm() for one in (out.detach(), *gradients)])


def off(found: Tensor, expected: Tensor) -> float:
    """Return the distance in parts of the norm; NaN is as far as can be."""
    return float(torch.nan_to_num((found - expected).norm() / expected.norm(), nan=float("inf")))
