"""Back ends ``fused`` and ``graph``, for CUDA GPUs: the folded network, replayed as a CUDA graph.

``fused`` lets the Triton kernels of `vov3d.fused` compute the blocks that they know; in ``graph`` all of it is torch,
on channels-last memory. Either is recorded for each number of clips, because launching kernels one by one takes longer
than a small batch does.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from vov3d.fused import unavailable
from vov3d.fused.replay import Recorder, ReplayedForShape, record_cuda_graph
from vov3d.models import ClipClassifier
from vov3d.optimize.backend import Backend, Compiled, Job, Precision, Trunk


def refuses(_model: ClipClassifier, precision: Precision) -> str | None:
    """Say what it cannot do."""
    return "it has no int8 convolutions of videos" if precision == "int8" else None


def refuses_fused(model: ClipClassifier, precision: Precision) -> str | None:
    """Say what the kernels lack here, or that they do not know the network."""
    reason = refuses(model, precision) or unavailable(next(model.parameters()).device)
    if reason is not None:
        return reason
    from vov3d.fused.units import fits

    return None if any(map(fits, model.blocks())) else "it has no blocks that the fused kernels know"


def compile_graph(job: Job, record: Recorder = record_cuda_graph) -> Compiled:
    """Record the folded trunk, in bf16 if so wanted."""
    return _recorded(_trunk(job), record)


def compile_fused(job: Job, record: Recorder = record_cuda_graph) -> Compiled:
    """Record it with its blocks fused."""
    from vov3d.fused.inference import fuse_folded

    trunk = _trunk(job)
    fuse_folded(trunk.network)
    return _recorded(trunk, record)


def _trunk(job: Job) -> Trunk:
    dtype = torch.bfloat16 if job.precision == "bf16" else torch.float32
    trunk = Trunk(copy.deepcopy(job.folded)).to(dtype)
    for parameter in trunk.parameters():
        if parameter.dim() == 5:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last_3d)
    return trunk


def _recorded(trunk: Trunk, record: Recorder) -> Compiled:
    def run(clips: Tensor) -> Tensor:
        maps: Tensor = trunk(clips.to(trunk.network.dtype))
        return maps.float()

    return ReplayedForShape(run, record)


FUSED = Backend("fused", refuses_fused, compile_fused, "cuda")
GRAPH = Backend("graph", refuses, compile_graph, "cuda")
