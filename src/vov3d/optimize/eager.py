"""Back end ``torch``: the folded network as it stands, on channels-last memory; oneDNN does the work."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from vov3d.models import ClipClassifier
from vov3d.optimize.backend import Backend, Compiled, Job, Precision, Trunk


def refuses(_model: ClipClassifier, precision: Precision) -> str | None:
    """Say what it cannot do."""
    return "it has no int8 convolutions of videos" if precision == "int8" else None


def compile_trunk(job: Job) -> Compiled:
    """Return the folded trunk, in bf16 if so wanted."""
    dtype = torch.bfloat16 if job.precision == "bf16" else torch.float32
    trunk = Trunk(copy.deepcopy(job.folded)).to(dtype)

    def run(clips: Tensor) -> Tensor:
        maps: Tensor = trunk(clips.to(dtype))
        return maps.float()

    return run


BACKEND = Backend("torch", refuses, compile_trunk)
