"""Back end ``compile``: the folded network through torch.compile, its weights constants; minutes the first time."""

from __future__ import annotations

import copy
import shutil
import sys

import torch
from torch import Tensor

from vov3d.models import ClipClassifier
from vov3d.optimize.backend import Backend, Compiled, Job, Precision, Trunk


def refuses(_model: ClipClassifier, precision: Precision) -> str | None:
    """Say what it cannot do, or what it needs."""
    if precision == "int8":
        return "it has no int8 convolutions of videos"
    if sys.platform == "win32" or not any(map(shutil.which, ("g++", "c++", "clang++"))):
        return "it needs a C++ compiler, and finds none"
    return None


def compile_trunk(job: Job) -> Compiled:
    """Compile for the example; another number of clips is compiled when it comes."""
    from torch._inductor import config

    dtype = torch.bfloat16 if job.precision == "bf16" else torch.float32
    trunk = torch.compile(Trunk(copy.deepcopy(job.folded)).to(dtype), dynamic=False)

    def run(clips: Tensor) -> Tensor:
        with config.patch(freezing=True):  # as an option of torch.compile it does not reach the weights
            maps: Tensor = trunk(clips.to(dtype))
        return maps.float()

    run(job.example)
    return run


BACKEND = Backend("compile", refuses, compile_trunk, threads_of_torch=True)
