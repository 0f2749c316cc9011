"""Back end ``onnxruntime``: the plain 3D graph as ONNX."""

from __future__ import annotations

import logging
import warnings

import torch
from torch import Tensor

from vov3d.models import ClipClassifier
from vov3d.optimize.backend import Backend, Compiled, Job, Precision, missing
from vov3d.optimize.plain import exported


def refuses(_model: ClipClassifier, precision: Precision) -> str | None:
    """Say what is not installed, or what it computes too slowly or too far off."""
    if precision == "bf16":
        return "it has no bf16 convolutions on a CPU"
    if precision == "int8":
        return "its int8 is not built here"
    return missing("onnxruntime", "onnx", "onnxscript")


def compile_trunk(job: Job) -> Compiled:
    """Convert, and open a session."""
    import onnxruntime

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(exported(job.folded, job.example), dynamo=True, verbose=False)
    assert program is not None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job.num_threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        program.model_proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (given,) = (one.name for one in session.get_inputs())

    def run(clips: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {given: clips.contiguous().numpy()})[0])

    return run


BACKEND = Backend("onnxruntime", refuses, compile_trunk)
