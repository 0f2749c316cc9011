"""Back end ``openvino``: the plain 3D graph, which OpenVINO's CPU plugin fuses well; int8 by NNCF."""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import threading
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vov3d.models import ClipClassifier
from vov3d.optimize.backend import Backend, Compiled, Job, Precision, missing
from vov3d.optimize.plain import exported, plain_trunk

if TYPE_CHECKING:
    from openvino import CompiledModel, Model

SIZES_KEPT = 4
"""For how many numbers of clips a compiled graph is kept: one of a fixed size is a fifth to a quarter quicker."""


def refuses(_model: ClipClassifier, precision: Precision) -> str | None:
    """Say what is not installed."""
    return missing("openvino", "nncf", extra="int8") if precision == "int8" else missing("openvino")


def compile_trunk(job: Job) -> Compiled:
    """Convert, quantise if so wanted, and compile for the CPU."""
    import openvino

    graph = converted(job)
    if job.precision == "int8":
        graph = quantised(graph, job)
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32" if job.precision == "fp32" else "bf16",
        "INFERENCE_NUM_THREADS": job.num_threads,
        "ENABLE_CPU_PINNING": False,  # two networks at once would share the first cores
    }
    core, size = openvino.Core(), job.example.shape[1:]

    @functools.lru_cache(maxsize=SIZES_KEPT)
    def of_size(num_clips: int) -> CompiledModel:
        fixed = graph.clone()
        fixed.reshape([num_clips, *size])
        return core.compile_model(fixed, "CPU", settings)

    lock = threading.Lock()  # its one request takes one call at a time

    def run(clips: Tensor) -> Tensor:
        with lock:
            return torch.from_numpy(of_size(len(clips))(clips.contiguous().numpy())[0])

    run(job.example)
    return run


def converted(job: Job) -> Model:
    """Return the graph for any number of clips; traced, or, where the reader of traces knows too little, exported."""
    import openvino

    size = [-1, *job.example.shape[1:]]
    with warnings.catch_warnings(), root_logger_as_it_was(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            trace = torch.jit.trace(plain_trunk(job.folded), job.example[:1], check_trace=False)  # it would trace twice
            graph = openvino.convert_model(trace, input=[size])
        except Exception:  # noqa: BLE001  it raises what it likes
            graph = openvino.convert_model(exported(job.folded, job.example))
    graph.reshape(size)
    return graph


@contextlib.contextmanager
def root_logger_as_it_was() -> Iterator[None]:
    """Undo what OpenVINO does to the level of the program's own logger."""
    root = logging.getLogger()
    before = root.level
    try:
        yield
    finally:
        root.setLevel(before)


def quantised(graph: Model, job: Job) -> Model:
    """Return the graph in int8, ranges taken from the calibration clips."""
    assert job.calibration is not None
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):  # it draws progress bars
        warnings.simplefilter("ignore")
        import nncf

        logging.getLogger("nncf").setLevel(logging.ERROR)
        clips = [one[None].contiguous().numpy() for one in job.calibration]
        smaller: Model = nncf.quantize(graph, nncf.Dataset(clips), subset_size=len(clips))
    return smaller


BACKEND = Backend("openvino", refuses, compile_trunk)
