"""Back end ``native``: the fused kernel of `vov3d.native`."""

from __future__ import annotations

from vov3d import native
from vov3d.models import ClipClassifier
from vov3d.optimize.backend import Backend, Compiled, Job, Precision


def refuses(model: ClipClassifier, precision: Precision) -> str | None:
    """Say what the kernel lacks here, or that it does not know the network."""
    if model.causal:
        return "the native kernel has no causal layers"
    return native.unavailable(precision) or native.supports(model)


def compile_trunk(job: Job) -> Compiled:
    """Hand the network to the kernel."""
    network = native.compile_network(
        job.model, job.example, job.precision, calibration=job.calibration, num_threads=job.num_threads
    )
    return network.features


BACKEND = Backend("native", refuses, compile_trunk)
