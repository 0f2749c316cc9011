"""Back end ``native``: the fused kernel of `vov3d.native`."""

from __future__ import annotations

from vov3d import native
from vov3d.models import ClipClassifier
from vov3d.optimize.backend import Backend, Compiled, Job, Precision

CLIPS_AT_A_TIME = 4  # of a calibration


def refuses(model: ClipClassifier, precision: Precision) -> str | None:
    """Say what the kernel lacks here, or that it does not know the network."""
    return native.unavailable(precision) or native.unsupported(model)


def compile_trunk(job: Job) -> Compiled:
    """Hand the network to the kernel."""
    shown = None if job.calibration is None else job.calibration.split(CLIPS_AT_A_TIME)
    return native.compile_network(job.model, job.example, job.precision, calibration=shown, num_threads=job.num_threads)


BACKEND = Backend("native", refuses, compile_trunk)
