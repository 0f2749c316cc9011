"""Compile the kernels of the networks in many processes: one would take minutes, and Triton keeps them on disk."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import torch
from gpu_timing import DEVICE, Setting, in_processes
from harness import Row

from vov3d.fused.inference import FoldedBlock
from vov3d.fused.units import residual_block
from vov3d.layers import Bottleneck
from vov3d.models import create_model
from vov3d.models.vov3d import TOSA
from vov3d.optimize.folding import folded

Job = tuple[str, int, int]
"""Network, stage, block of the stage; those after the third are like it."""


def compiled_kernels(names: Sequence[str], _setting: Setting) -> Iterator[Row]:
    """Compute every kind of block of the networks once, small, forward, backward and folded."""
    jobs = [
        (name, number, place)
        for name in names
        for number, stage in enumerate(create_model(name).stages)
        for place in range(min(len(stage), 3))
    ]
    yield from in_processes(_compile, jobs)


def _compile(job: Job) -> Row:
    begun = time.perf_counter()
    name, stage, place = job
    model = create_model(name)
    block, narrow = model.stages[stage][place].to(DEVICE), folded(model.eval()).stages[stage][place]
    branch = block.branch
    first = branch.units[0].branch if isinstance(branch, TOSA) else branch
    assert isinstance(first, Bottleneck)
    channels = first.expand.conv.in_channels
    clips = torch.randn(2, channels, 2, 8, 8, device=DEVICE, dtype=torch.bfloat16)
    clips = clips.contiguous(memory_format=torch.channels_last_3d).requires_grad_()
    with torch.autocast(DEVICE.type, torch.bfloat16):
        residual_block(block.train(), clips).float().square().mean().backward()
    with torch.no_grad():
        FoldedBlock(narrow.to(DEVICE, torch.bfloat16))(clips)
    return {"model": name, "stage": stage, "block": place, "seconds": time.perf_counter() - begun}
