"""Compile in many processes what is timed later: one would take minutes, and Triton and torch keep it on disk."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator, Sequence

import torch
from gpu_device import DEVICE
from gpu_timing import Setting, in_processes, num_processes, tried
from gpu_ways import COMPILED, Training, shapes
from harness import Row

from vov3d.fused.inference import FoldedBlock
from vov3d.fused.units import residual_block
from vov3d.layers import Bottleneck, Residual
from vov3d.models import create_model
from vov3d.models.vov3d import TOSA
from vov3d.optimize.folding import folded

COMPILE_PROCESSES = 4
"""That torch.compile may start for each network."""

Job = tuple[str, str, int, int]
"""Kind, network, and stage and block of the stage, or the place of a way and nothing."""


def compiled_kernels(names: Sequence[str], setting: Setting) -> Iterator[Row]:
    """Compute every kind of block of the networks once, small, and steps of what `torch.compile` makes of them.

    Blocks after the third of a stage are like it. The steps take longest, and begin first where processes are left.
    """
    slow = [("torch.compile", name, way, 0) for way in range(len(COMPILED)) for name in names]
    blocks = [
        ("kernels", name, number, place)
        for name in names
        for number, stage in enumerate(create_model(name).stages)
        for place in range(min(len(list(stage.children())), 3))
    ]
    jobs = [*slow, *blocks] if num_processes() >= 2 * len(slow) else [*blocks, *slow]
    yield from in_processes(functools.partial(_compile, setting), jobs)


def _compile(setting: Setting, job: Job) -> Row:
    begun = time.perf_counter()
    kind, name, first, second = job

    def work() -> Row:
        if kind == "kernels":
            compute_block(name, first, second)
        else:
            _compute_compiled(name, first, setting)
        return {}

    failure = tried(work)
    taken = time.perf_counter() - begun
    return {"model": name, "kind": kind, "place": f"{first}/{second}", "seconds": taken, **failure}


def _compute_compiled(name: str, way: int, setting: Setting) -> None:
    import torch._inductor.config

    torch._inductor.config.compile_threads = COMPILE_PROCESSES
    training = Training(name, shapes(setting, 8)[0], COMPILED[way])
    for _ in range(2):
        training.step()


def compute_block(name: str, stage: int, place: int) -> None:
    """Compute a block forward and backward, and with its norms folded."""
    model, path = create_model(name), f"stages.{stage}.{place}"
    narrow, block = folded(model.eval()).get_submodule(path), model.get_submodule(path).to(DEVICE)
    assert isinstance(block, Residual)
    assert isinstance(narrow, Residual)
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
