"""Back end ``native``: the fused kernel of `vov3d.native`, an optional extension."""

from __future__ import annotations

import importlib
import importlib.util

from vov3d.models import ClipClassifier
from vov3d.optimize.backend import Backend, Compiled, Job, Precision


def refuses(model: ClipClassifier, _precision: Precision) -> str | None:
    """Say what the kernel lacks here, or that it does not know the network."""
    if importlib.util.find_spec("vov3d.native") is None:
        return "this installation has no vov3d.native"
    native = importlib.import_module("vov3d.native")
    reason: str | None = native.unavailable() or native.supports(model)
    return reason


def compile_trunk(job: Job) -> Compiled:
    """Hand the network to the kernel."""
    native = importlib.import_module("vov3d.native")
    run: Compiled = native.compile_network(
        job.model, job.example, job.precision, calibration=job.calibration, num_threads=job.num_threads
    )
    return run


BACKEND = Backend("native", refuses, compile_trunk)
