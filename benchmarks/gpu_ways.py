"""Ways to compute a network on a GPU, and what a training step and logits take in each."""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from gpu_device import DEVICE, ON_GPU
from gpu_profile import profiled
from gpu_timing import Setting, copy_rate, median_ms, peak_mib, tried
from gpu_traffic import gigabytes, step_traffic
from harness import Row
from networks import as_plain
from torch import Tensor
from torch.nn import functional as F

import vov3d
from vov3d.fused import Gradient, Replayed, fuse
from vov3d.fused.operators import Activation, Affine, Size, depthwise
from vov3d.layers import D2Plus1D, DepthwiseConv3d
from vov3d.models import ClipClassifier, VoV3D, create_model
from vov3d.optimize import Precision

CLASSES = 174
MORE_THAN_CACHED = 2**28  # bytes; an H200 caches 50 MiB
Call = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Shape:
    """What a network is shown: N, T, and H and W in pixels."""

    batch: int
    frames: int = 16
    crop: int = 224

    def __str__(self) -> str:
        return f"{self.frames}x{self.crop}x{self.crop}"

    def drawn(self) -> Tensor:
        """Clips of no content."""
        return torch.randn(self.batch, 3, self.frames, self.crop, self.crop, device=DEVICE)


@dataclass(frozen=True)
class Way:
    """One way to compute a network.

    Attributes:
        name: of it.
        precision: ``"fp32"`` or ``"bf16"``.
        prepare: what is done to the network; returns what is called.
        channels_last: whether the clips' memory is.
        replays: whether the gradient is replayed as a graph.
    """

    name: str
    precision: str
    prepare: Callable[[ClipClassifier], Call]
    channels_last: bool = True
    replays: bool = False

    def autocast(self) -> torch.autocast:
        """The context in which it computes."""
        return torch.autocast(DEVICE.type, torch.bfloat16, enabled=self.precision == "bf16")


def _fused(model: ClipClassifier) -> Call:
    fuse(model)
    return model


FLOAT32 = Way("plain float32", "fp32", as_plain, channels_last=False)
AMP = Way("plain AMP", "bf16", as_plain, channels_last=False)
CHANNELS_LAST = Way("channels-last AMP", "bf16", lambda model: model)
FUSED = Way("fused", "bf16", _fused)
REPLAYED = Way("fused, replayed", "bf16", _fused, replays=True)
WAYS = [REPLAYED, FUSED, AMP, CHANNELS_LAST, FLOAT32]
"""The slowest last: what the time leaves out, if anything."""

BACKENDS: list[tuple[str, Precision]] = [("graph", "fp32"), ("graph", "bf16"), ("fused", "bf16")]
"""Of `vov3d.optimize`, and the precision of each."""


def _compiled_with_graphs(model: ClipClassifier) -> Call:
    compiled = torch.compile(model, dynamic=False, mode="reduce-overhead")

    def call(clips: Tensor) -> Tensor:
        torch.compiler.cudagraph_mark_step_begin()  # a forward pass without its backward would be recorded anew
        logits: Tensor = compiled(clips)
        return logits

    return call


COMPILED = [
    Way("torch.compile AMP", "bf16", lambda model: torch.compile(model, dynamic=False)),
    Way("torch.compile AMP, graphs", "bf16", _compiled_with_graphs),
]


def shapes(setting: Setting, *batches: int) -> list[Shape]:
    """Clips of the paper's size; small ones where it is only to be seen that it works."""
    if setting.quick:
        return [Shape(2, 4, 64) if ON_GPU else Shape(1, 1, 32)]
    return [Shape(batch) for batch in batches]


def network(name: str) -> ClipClassifier:
    """A network of the catalogue; without a GPU a tiny one of its kind."""
    torch.manual_seed(0)
    if ON_GPU:
        return create_model(name, num_classes=CLASSES).to(DEVICE)
    operator = DepthwiseConv3d if name.startswith("x3d") else D2Plus1D
    return VoV3D(8, (1,), num_units=1, operator=operator, num_classes=CLASSES)


# ---- training --------------------------------------------------------------------------------------------------------


def training(name: str, ways: list[Way], setting: Setting) -> Iterator[Row]:
    """Time a step in every way: forward alone, with backward, and with SGD."""
    rate = copy_rate()
    for shape in shapes(setting, 8, 32):
        traffic = gigabytes(step_traffic(name, shape.batch, shape.frames, shape.crop)) if ON_GPU else None
        for way in ways:
            row: Row = {"model": name, "batch": shape.batch, "clip": str(shape), "way": way.name}
            found = tried(functools.partial(_step, name, shape, way))
            yield {**row, **found, **_beside_floor(found, shape, way, rate, traffic)}
            _tidy()


def _tidy() -> None:
    torch.compiler.reset()
    gc.collect()
    torch.cuda.empty_cache()


def gradient_of(call: Call, way: Way) -> Gradient:
    """Return what a training computes in a step."""

    def gradient(clips: Tensor, targets: Tensor, share: float) -> tuple[Tensor, Tensor]:
        with way.autocast():
            logits = call(clips)
        loss = F.cross_entropy(logits.float(), targets, reduction="sum")
        (loss * share).backward()
        return loss.detach(), logits.detach()

    return gradient


def _beside_floor(found: Row, shape: Shape, way: Way, rate: float, traffic: tuple[float, float] | None) -> Row:
    """Return how a step compares with the bytes that it must move, and those that our kernels move."""
    taken = found.get("step_ms")
    if not isinstance(taken, float):
        return {}
    seconds = taken / 1e3
    row: Row = {"clips_per_second": shape.batch / seconds, "copy_gb_per_second": rate}
    if traffic is None:  # it is another network
        return row
    floor, moved = traffic
    row |= {"floor_gb": floor, "times_floor": seconds / (floor / rate)}
    return {**row, "kernels_gb": moved, "of_copy_rate": moved / seconds / rate} if way.prepare is _fused else row


class Training:
    """A network in training, on clips of no content."""

    def __init__(self, name: str, shape: Shape, way: Way) -> None:
        self.way, self.share = way, 1 / shape.batch
        clips, self.targets = shape.drawn(), torch.arange(shape.batch, device=DEVICE) % CLASSES
        self.clips = clips.contiguous(memory_format=torch.channels_last_3d) if way.channels_last else clips
        model = network(name).train()
        self.call = way.prepare(model)
        gradient = gradient_of(self.call, way)
        self.replayed = Replayed(gradient, model) if way.replays else None
        self.gradient = self.replayed or gradient
        self.optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, fused=ON_GPU)

    def forward(self) -> Tensor:
        """Compute logits."""
        with self.way.autocast():
            return self.call(self.clips)

    def both(self) -> None:
        """Compute the gradient."""
        self.optimizer.zero_grad()
        self.gradient(self.clips, self.targets, self.share)

    def step(self) -> None:
        """Take a step."""
        self.both()
        self.optimizer.step()


def _step(name: str, shape: Shape, way: Way) -> Row:
    if way.replays and not ON_GPU:
        return {"failure": "no GPU"}
    training = Training(name, shape, way)
    for _ in range(2 if ON_GPU else 0):  # a replayed gradient is recorded at the second
        training.step()
    if training.replayed is not None and not training.replayed.is_recorded:
        return {"failure": f"it is not replayed: {training.replayed.refused}"}
    step, both = median_ms(training.step), median_ms(training.both)
    found: Row = {"step_ms": step, "gradient_ms": both, "peak_mib": peak_mib(training.step)}
    if training.replayed is None:
        forward = median_ms(training.forward)
        found |= {"forward_ms": forward, "backward_ms": both - forward}
    return {**found, **tried(lambda: profiled(training.step))}


# ---- inference -------------------------------------------------------------------------------------------------------


def inference(name: str, setting: Setting) -> Iterator[Row]:
    """Time logits: as networks stand, and by the back ends of `vov3d.optimize`."""
    for shape in shapes(setting, 1, 32):
        for way in (AMP, CHANNELS_LAST, FLOAT32):
            row: Row = {"model": name, "batch": shape.batch, "clip": str(shape), "way": way.name}
            yield {**row, **tried(functools.partial(_logits, name, shape, way))}
            _tidy()
        for backend, precision in BACKENDS:
            row = {"model": name, "batch": shape.batch, "clip": str(shape), "way": f"{backend} {precision}"}
            found = tried(functools.partial(_optimized, name, shape, backend, precision))
            yield {**row, **found}
            _tidy()


def _logits(name: str, shape: Shape, way: Way) -> Row:
    clips, call = shape.drawn(), way.prepare(network(name).eval())
    clips = clips.contiguous(memory_format=torch.channels_last_3d) if way.channels_last else clips

    @torch.inference_mode()
    def logits() -> Tensor:
        with way.autocast():
            return call(clips)

    taken = median_ms(logits)
    return {"ms": taken, "clips_per_second": shape.batch / taken * 1e3, "peak_mib": peak_mib(logits)}


def _optimized(name: str, shape: Shape, backend: str, precision: Precision) -> Row:
    if not ON_GPU:
        return {"failure": "no GPU"}
    clips = shape.drawn()
    fast = vov3d.optimize(network(name).eval(), clips, precision, backend)
    taken = median_ms(lambda: fast(clips))
    row: Row = {"ms": taken, "clips_per_second": shape.batch / taken * 1e3, "peak_mib": peak_mib(lambda: fast(clips))}
    return {**row, "max_error": fast.max_error, "cosine": fast.cosine}


# ---- the depthwise pair ----------------------------------------------------------------------------------------------


def depthwise_pair(setting: Setting) -> Iterator[Row]:
    """Time the depthwise pair of each stage of VoV3D-M by itself, against a copy of what it reads and writes.

    Of so many clips that no cache holds the activation: its reads and writes are the memory's.
    """
    rate = copy_rate()
    sizes = [(8, 4, 2)] if setting.quick else [(40, 56, 16), (80, 28, 16), (160, 14, 16), (320, 7, 16)]
    for channels, side, frames in sizes:
        size = Size(frames, side, side)
        batch = -(-MORE_THAN_CACHED // (size.positions * channels * 2)) if ON_GPU else 1
        y = torch.randn(batch, size.positions, channels, device=DEVICE).to(torch.bfloat16).requires_grad_()
        one = torch.ones(batch, channels, device=DEVICE)
        kernels = tuple(torch.randn(channels, 1, *lengths, device=DEVICE) for lengths in ((1, 3, 3), (3, 1, 1)))
        affine = Affine(one, one, Activation.RELU)
        forward = functools.partial(depthwise, y, kernels, affine, size, 1)
        with torch.no_grad():
            forward_ms = median_ms(forward)
        out = forward()[0]
        g = torch.randn_like(out)
        backward_ms = median_ms(functools.partial(torch.autograd.grad, out, y, g, retain_graph=True))
        moved = y.numel() * 2 / 1e9
        row: Row = {"channels": channels, "side": side, "frames": frames, "batch": batch, "forward_ms": forward_ms}
        row |= {"forward_of_copy_rate": 2 * moved / forward_ms * 1e3 / rate, "backward_ms": backward_ms}
        yield {**row, "backward_of_copy_rate": 4 * moved / backward_ms * 1e3 / rate, "copy_gb_per_second": rate}
