"""The best back end that is there, checked against the plain network."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from itertools import chain

import torch
from torch import Tensor

from vov3d.errors import ArgumentError, OptimizeError, unknown_name
from vov3d.models import ClipClassifier
from vov3d.models.clip_classifier import check_clips
from vov3d.optimize import eager, gpu, inductor, native, onnx_runtime, openvino
from vov3d.optimize.backend import PRECISIONS, Backend, Job, Precision
from vov3d.optimize.folding import folded
from vov3d.optimize.network import Optimized, exact_float32

log = logging.getLogger("vov3d")

BACKENDS: Mapping[str, Backend] = {
    one.name: one
    for one in (
        *(native.BACKEND, openvino.BACKEND, eager.BACKEND, onnx_runtime.BACKEND, inductor.BACKEND),
        *(gpu.FUSED, gpu.GRAPH),
    )
}
"""Back ends by name, the quickest of a device first (docs/optimize.md)."""

NEVER_CHOSEN = ("compile",)
"""Those that compile for minutes."""

LARGEST_ERROR = 1e-4
"""How far off a float32 logit may be, over the largest."""

MOST_THREADS = 4096

LEAST_COSINE: Mapping[Precision, float] = {"fp32": 0.999999, "bf16": 0.99, "int8": 0.98}


def candidates(device: str) -> list[str]:
    """Return the names of the back ends that ``auto`` chooses from on a type of device, the quickest first."""
    return [name for name, one in BACKENDS.items() if one.device == device and name not in NEVER_CHOSEN]


def optimize(
    model: ClipClassifier,
    example: Tensor,
    precision: Precision = "fp32",
    backend: str = "auto",
    *,
    calibration: Tensor | Sequence[Tensor] | None = None,
    num_threads: int | None = None,
) -> Optimized:
    """Return a network that gives the same logits in less time, on a CPU or a CUDA GPU.

    >>> fast = vov3d.optimize(model.eval(), clips, precision="bf16")
    >>> fast(clips).argmax(1)

    Norms are folded into convolutions, a back end compiles what is left, and the logits of the example are compared
    with those of the plain network.

    Args:
        model: the network, in float32 and in evaluation mode; it is not changed.
        example: clips ``[N, 3, T, H, W]`` such as it will see, where the network is: any N later, but the same T, H
            and W.
        precision: of weights and activations: ``"fp32"``, ``"bf16"`` or ``"int8"``.
        backend: one of `BACKENDS`; ``"auto"`` takes the first that is there, takes this network, and passes the check.
        calibration: for int8, clips ``[M, 3, T, H, W]`` like those to come, from which ranges are taken, or a sequence
            of such batches or of clips ``[3, T, H, W]``; 32 clips do well.
        num_threads: threads of an operator; by default torch's.

    Raises:
        ArgumentError: the network or an argument cannot be used.
        OptimizeError: the back end is not there, cannot compute this network, or is too far off.
    """
    job = _job(model, example, precision, calibration, num_threads)
    allowed = ["auto", *BACKENDS]
    if backend not in allowed:
        raise ArgumentError(unknown_name("backend", backend, allowed))
    names = candidates(job.example.device.type) if backend == "auto" else [backend]
    with torch.no_grad(), exact_float32(job.example.device):
        expected = model(job.example)
    if not expected.isfinite().all():
        raise ArgumentError(
            "the plain network gives infinite or undefined logits for the example; look at its weights and at the clips"
        )
    passed_over: dict[str, str] = {}
    for name in names:
        reason = _elsewhere(BACKENDS[name], job) or BACKENDS[name].refuses(model, precision)
        if reason is None:
            found = _tried(BACKENDS[name], job, expected)
            if isinstance(found, Optimized):
                found.passed_over = passed_over
                return found
            reason = found
            if name != names[-1]:
                log.warning("back end %s is passed over: %s", name, reason)
        passed_over[name] = reason
    reasons = "; ".join(f"{name}: {reason}" for name, reason in passed_over.items())
    raise OptimizeError(f"no back end computes this {type(model).__name__} in {precision} here: {reasons}")


def _job(
    model: ClipClassifier,
    example: Tensor,
    precision: Precision,
    calibration: Tensor | Sequence[Tensor] | None,
    num_threads: int | None,
) -> Job:
    """The checked arguments."""
    if precision not in PRECISIONS:
        raise ArgumentError(unknown_name("precision", precision, PRECISIONS))
    device = _device_of(model)
    check_clips(example)
    if example.device != device:
        raise ArgumentError(f"the example is on {example.device}, and the network on {device}; they go together")
    if not len(example):
        raise ArgumentError("the example holds no clip; give 1 or more")
    if precision == "int8" and calibration is None:
        raise ArgumentError("int8 needs calibration clips, like those that the network will see: calibration")
    shown = None if calibration is None else _shown(calibration, example)
    threads = torch.get_num_threads() if num_threads is None else num_threads
    if type(threads) is not int or not 1 <= threads <= MOST_THREADS:
        raise ArgumentError(f"num_threads is {threads!r}; it must be a whole number from 1 to {MOST_THREADS}")
    return Job(model, folded(model), example.float(), precision, shown, threads)


def _device_of(model: ClipClassifier) -> torch.device:
    """Where a network is that can be optimised."""
    if not isinstance(model, ClipClassifier):
        raise ArgumentError(
            f"the network is of type {type(model).__name__}; give one that create_model or load_trained returns"
        )
    if any(module.training for module in model.modules()):
        raise ArgumentError("the network, or a part of it, is in training mode; call model.eval() first")
    device = next(model.parameters()).device
    for tensor in chain(model.parameters(), model.buffers()):
        fits = tensor.dtype == torch.float32 or not tensor.is_floating_point()
        if device.type not in ("cpu", "cuda") or tensor.device != device or not fits:
            raise ArgumentError(
                f"the network is {tensor.dtype} on {tensor.device}; only float32 on a CPU or a CUDA GPU can be "
                "optimised, all of it at one place"
            )
    return device


def _shown(calibration: Tensor | Sequence[Tensor], example: Tensor) -> Tensor:
    """Calibration clips as one batch."""
    if not isinstance(calibration, Tensor | list | tuple):
        raise ArgumentError(
            f"calibration is of type {type(calibration).__name__}; give clips [M, 3, T, H, W] or a list of clips"
        )
    batches = []
    for given in [calibration] if isinstance(calibration, Tensor) else calibration:
        single = isinstance(given, Tensor) and given.dim() == 4
        clips = given[None] if single else given
        check_clips(clips)
        if clips.shape[1:] != example.shape[1:]:
            raise ArgumentError(
                f"calibration clips have shape {list(given.shape)}, the example {list(example.shape)}; all but the "
                "number of clips must be the same"
            )
        if not clips.isfinite().all():
            raise ArgumentError("calibration clips hold infinite or undefined values, which have no range")
        batches.append(clips.to(example.device, torch.float32))
    if not sum(map(len, batches)):
        raise ArgumentError("calibration holds no clip; give 1 or more, 32 do well")
    return torch.cat(batches)


def _elsewhere(backend: Backend, job: Job) -> str | None:
    """Why a back end is of no use for clips that are where they are."""
    there, names = job.example.device.type, {"cpu": "the CPU", "cuda": "CUDA GPUs"}
    return None if backend.device == there else f"it is for {names[backend.device]}, and the network is on {there}"


def _tried(backend: Backend, job: Job, expected: Tensor) -> Optimized | str:
    """A network that passed the check, or why there is none."""
    before = torch.get_num_threads()
    torch.set_num_threads(job.num_threads)
    try:
        with torch.no_grad(), exact_float32(job.example.device):
            optimized = Optimized(backend, backend.compile(job), job)
            logits = optimized(job.example)
    except ArgumentError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001  other people's compilers raise what they like
        return f"it fails on this network: {type(error).__name__}: {_reason(error)}"
    finally:
        torch.set_num_threads(before)
    scale = expected.abs().max().clamp_min(torch.finfo(torch.float32).tiny)
    optimized.max_error = float((logits - expected).abs().max() / scale)
    cosines = torch.cosine_similarity(logits.double(), expected.double())
    optimized.cosine = float(cosines.masked_fill((logits == expected).all(1), 1).min())  # all zeros have no direction
    if job.precision == "fp32" and not optimized.max_error <= LARGEST_ERROR:
        return f"its logits are off by {optimized.max_error:.1e} of the largest; allowed is {LARGEST_ERROR:.0e}"
    if not optimized.cosine >= LEAST_COSINE[job.precision]:
        least = LEAST_COSINE[job.precision]
        return f"the cosine of its logits to the plain ones is {optimized.cosine:.4f}; allowed is {least} or more"
    return optimized


def _reason(error: Exception) -> str:
    """One line of what may be pages; OpenVINO's end in a summary."""
    return " ".join(str(error).rpartition("Summary:")[2].split())[:200]
