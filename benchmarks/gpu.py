"""The training step and the inference of VoV3D and X3D on one GPU: whether it is right, then how fast.

    python benchmarks/gpu.py            # under 8 minutes on one GPU; writes CSV files into benchmarks/results
    python benchmarks/gpu.py --quick    # small networks; on a machine without a GPU in Triton's interpreter

First the fused kernels are held to float64 (odd shapes, one frame, strides, memory full of NaN). Then each way to
compute a step is timed: plain modules in float32 and with autocast, channels-last, torch.compile, and the fused
kernels, alone and replayed as a graph. Last a network is trained on the motion set twice, plain and fused, to set the
loss curves side by side. Parts that the time does not allow say so in their row.
"""

from __future__ import annotations

import argparse
import copy
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

from gpu_traffic import gigabytes, step_traffic
from harness import RESULTS, Row, write_results
from networks import as_plain
from torch import Tensor, nn
from torch.nn import functional as F

from vov3d.data.motion import MOTION_CLASSES, MotionBatches
from vov3d.fused import Gradient, Replayed, fuse
from vov3d.fused.operators import Activation, Affine, Size, depthwise
from vov3d.fused.trial import refusal
from vov3d.fused.units import residual_block
from vov3d.layers import Bottleneck, D2Plus1D, DepthwiseConv3d, Residual, SqueezeExcitation, projection_shortcut
from vov3d.models import ClipClassifier, VoV3D, create_model
from vov3d.models.vov3d import TOSA

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
ON_GPU = DEVICE.type == "cuda"
CLASSES = 174
Shape = tuple[int, int, int]
"""Clips, frames, pixels."""
ROUNDS = 20 if ON_GPU else 1


# ---- time ------------------------------------------------------------------------------------------------------------


class Budget:
    """The time that is left.

    Args:
        seconds: for all.
    """

    def __init__(self, seconds: float) -> None:
        self.end = time.perf_counter() + seconds

    def allows(self, seconds: float) -> bool:
        """Whether so many are left."""
        return time.perf_counter() + seconds < self.end


def median_ms(run: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Return the median time of a run, after three to warm up."""
    for _ in range(3 if ON_GPU else 0):
        run()
    times = []
    for _ in range(rounds):
        if ON_GPU:
            begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begun.record()
            run()
            ended.record()
            torch.cuda.synchronize()
            times.append(begun.elapsed_time(ended))
        else:
            started = time.perf_counter()
            run()
            times.append((time.perf_counter() - started) * 1e3)
    return statistics.median(times)


def copy_rate() -> float:
    """Return what memory reads and writes, in 1e9 bytes a second."""
    source = torch.randn(2**28 if ON_GPU else 2**22, device=DEVICE)
    target = torch.empty_like(source)
    return 2 * source.numel() * 4 / median_ms(lambda: target.copy_(source)) / 1e6


def peak_mib(run: Callable[[], object]) -> float | None:
    """Return the most memory that a run needs beside what is there; ``None`` without a GPU."""
    if not ON_GPU:
        return None
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    run()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


# ---- right -----------------------------------------------------------------------------------------------------------


def blocks() -> Iterator[tuple[str, Residual, tuple[int, ...]]]:
    """Blocks with odd shapes: name, block, clips."""
    identity = nn.Identity()
    tosa = TOSA(12, 20, 12, num_units=3, operator=D2Plus1D, stride=1)
    yield "T-OSA", Residual(tosa, identity), (2, 12, 5, 7, 9)
    yield "T-OSA, one frame", Residual(copy.deepcopy(tosa), identity), (3, 12, 1, 5, 5)
    strided = TOSA(12, 20, 10, num_units=2, operator=D2Plus1D, stride=2)
    yield "T-OSA, stride 2", Residual(strided, projection_shortcut(12, 10, 2)), (2, 12, 3, 9, 7)
    unit = Bottleneck(12, 27, 12, operator=DepthwiseConv3d, stride=1, gate=SqueezeExcitation)
    yield "X3D's block", Residual(unit, identity), (2, 12, 4, 7, 5)
    unit = Bottleneck(12, 27, 14, operator=DepthwiseConv3d, stride=2, gate=None)
    yield "X3D's block, stride 2", Residual(unit, projection_shortcut(12, 14, 2)), (2, 12, 2, 6, 7)


@contextmanager
def poisoned() -> Iterator[None]:
    """Let fresh memory be full of NaN."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


def correctness(dtype: torch.dtype) -> list[Row]:
    """How far the fused kernels in a type, and plain modules in it, are from plain modules in float64."""
    rows: list[Row] = []
    for name, made, shape in blocks():
        block = made.to(DEVICE)
        clips = torch.randn(shape, device=DEVICE).to(dtype).double()
        exact = answers(copy.deepcopy(block).double(), clips, Residual.forward)
        with poisoned(), torch.autocast(DEVICE.type, dtype, enabled=dtype == torch.bfloat16):
            fused = answers(copy.deepcopy(block), clips.float(), residual_block)
        with torch.autocast(DEVICE.type, dtype, enabled=dtype == torch.bfloat16):
            plain = answers(copy.deepcopy(block), clips.float(), Residual.forward)
        row: Row = {"block": name, "clips": "x".join(map(str, shape)), "dtype": str(dtype).partition(".")[2]}
        rows.append({**row, "fused_off": off(fused, exact), "plain_off": off(plain, exact)})
        print("  ".join(f"{key} {value}" for key, value in rows[-1].items()))
    return rows


def answers(block: Residual, clips: Tensor, compute: Callable[[Residual, Tensor], Tensor]) -> Tensor:
    """Return the output and all gradients of its mean square, in one row."""
    clips = clips.contiguous(memory_format=torch.channels_last_3d).requires_grad_()
    out = compute(block, clips)
    gradients = torch.autograd.grad(out.to(clips.dtype).square().mean(), [clips, *block.parameters()])
    return torch.cat([out.detach().double().flatten(), *(one.double().flatten() / one.norm() for one in gradients)])


def off(found: Tensor, expected: Tensor) -> float:
    """Return the distance in parts of the norm; NaN is as far as can be."""
    return float(torch.nan_to_num((found - expected).norm() / expected.norm(), nan=float("inf")))


# ---- fast ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Way:
    """One way to compute a network.

    Attributes:
        name: of it.
        autocast: whether in bfloat16.
        prepare: what is done to the network; returns what is called.
        replays: whether the gradient is replayed as a graph.
        seconds: about how long it takes to begin.
    """

    name: str
    autocast: bool
    prepare: Callable[[ClipClassifier], Callable[[Tensor], Tensor]]
    replays: bool = False
    seconds: float = 5.0


def _fused(model: ClipClassifier) -> Callable[[Tensor], Tensor]:
    fuse(model)
    return model


def _plain(model: ClipClassifier) -> Callable[[Tensor], Tensor]:
    return as_plain(model)


WAYS = [
    Way("plain float32", False, _plain),
    Way("plain AMP", True, _plain),
    Way("channels-last AMP", True, lambda model: model),
    Way("torch.compile AMP", True, lambda model: torch.compile(model, dynamic=False), seconds=90.0),
    Way("fused", True, _fused, seconds=20.0),
    Way("fused, replayed", True, _fused, replays=True, seconds=20.0),
]


def network(name: str, clips: Tensor) -> ClipClassifier:
    """A network of the catalogue; without a GPU a tiny one of its kind."""
    torch.manual_seed(0)
    if ON_GPU:
        return create_model(name, num_classes=CLASSES).to(DEVICE)
    operator = DepthwiseConv3d if name.startswith("x3d") else D2Plus1D
    return VoV3D(8, (1,), num_units=2, operator=operator, num_classes=CLASSES).to(clips.device)


def gradient_of(call: Callable[[Tensor], Tensor], autocast: bool) -> Gradient:
    """Return what a training computes in a step."""

    def gradient(clips: Tensor, targets: Tensor, share: float) -> tuple[Tensor, Tensor]:
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=autocast):
            logits = call(clips)
        loss = F.cross_entropy(logits.float(), targets, reduction="sum")
        (loss * share).backward()
        return loss.detach(), logits.detach()

    return gradient


def training(name: str, shape: Shape, rate: float, budget: Budget) -> list[Row]:
    """Time a step in every way, forward alone, with backward, and with SGD."""
    batch, frames, crop = shape
    floor, moved = gigabytes(step_traffic(name, batch, frames, crop)) if ON_GPU else (0.0, 0.0)
    rows: list[Row] = []
    for way in WAYS:
        row: Row = {"model": name, "batch": batch, "clip": f"{frames}x{crop}x{crop}", "way": way.name}
        if not budget.allows(way.seconds) or (not ON_GPU and (way.replays or "compile" in way.name)):
            rows.append({**row, "failure": "no time left" if ON_GPU else "no GPU"})
            continue
        try:
            rows.append({**row, **_step(name, shape, way)})
        except Exception as error:  # noqa: BLE001  # the rest goes on
            rows.append({**row, "failure": f"{type(error).__name__}: {str(error).strip().splitlines()[0][:150]}"})
        step_ms = rows[-1].get("step_ms")
        if isinstance(step_ms, float) and ON_GPU:
            rows[-1] |= {
                "clips_per_second": batch / step_ms * 1e3,
                "floor_gb": floor,
                "kernels_gb": moved if way.name.startswith("fused") else None,
                "times_floor": step_ms / (floor / rate * 1e3),
                "of_copy_rate": moved / step_ms * 1e3 / rate if way.name.startswith("fused") else None,
            }
        print("  ".join(f"{key} {value}" for key, value in rows[-1].items()))
        torch.compiler.reset()
    return rows


def _step(name: str, shape: Shape, way: Way) -> Row:
    batch, frames, crop = shape
    clips = torch.randn(batch, 3, frames, crop, crop, device=DEVICE)
    if way.prepare is not _plain:
        clips = clips.contiguous(memory_format=torch.channels_last_3d)
    targets = torch.arange(batch, device=DEVICE) % CLASSES
    model = network(name, clips).train()
    gradient = gradient_of(way.prepare(model), way.autocast)
    gradient = Replayed(gradient, model) if way.replays else gradient
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, fused=ON_GPU)

    def both() -> None:
        optimizer.zero_grad()
        gradient(clips, targets, 1 / batch)

    def step() -> None:
        both()
        optimizer.step()

    def forward() -> Tensor:
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=way.autocast):
            return model(clips)

    step()
    step()  # a replayed gradient is recorded here
    if way.replays and gradient._recording is None:
        raise RuntimeError("it was not recorded (see the log)")
    timed = {"step_ms": median_ms(step), "gradient_ms": median_ms(both)}
    if not way.replays:
        timed["forward_ms"] = median_ms(forward)
        timed["backward_ms"] = timed["gradient_ms"] - timed["forward_ms"]
    return {**timed, "peak_mib": peak_mib(step)}


def inference(name: str, shape: Shape, budget: Budget) -> list[Row]:
    """Time logits: plain, channels-last, fused, and that replayed as a graph."""
    batch, frames, crop = shape
    rows: list[Row] = []
    for way in (one for one in WAYS if "compile" not in one.name):
        row: Row = {"model": name, "batch": batch, "clip": f"{frames}x{crop}x{crop}", "way": way.name}
        if not budget.allows(way.seconds) or (way.replays and not ON_GPU):
            rows.append({**row, "failure": "no time left" if ON_GPU else "no GPU"})
            continue
        clips = torch.randn(batch, 3, frames, crop, crop, device=DEVICE)
        model = network(name, clips).eval()
        call = way.prepare(model)

        @torch.inference_mode()
        def logits(call=call, clips=clips, way=way) -> Tensor:
            with torch.autocast(DEVICE.type, torch.bfloat16, enabled=way.autocast, cache_enabled=False):
                return call(clips)

        run: Callable[[], object] = _recorded(logits) if way.replays else logits
        took = median_ms(run)
        rows.append({**row, "ms": took, "clips_per_second": batch / took * 1e3})
        print("  ".join(f"{key} {value}" for key, value in rows[-1].items()))
    return rows


def _recorded(run: Callable[[], Tensor]) -> Callable[[], None]:
    from vov3d.fused.replay import record_cuda_graph

    return record_cuda_graph(lambda: (run(),))[1]


def depthwise_pair(rate: float) -> list[Row]:
    """Time the depthwise pair of each stage of VoV3D-M by itself, against a copy of what it reads and writes."""
    rows: list[Row] = []
    shapes = [(40, 56), (80, 28), (160, 14), (320, 7)] if ON_GPU else [(8, 4)]
    for channels, side in shapes:
        size, batch = Size(16 if ON_GPU else 2, side, side), 8 if ON_GPU else 1
        y = torch.randn(batch, size.positions, channels, device=DEVICE).to(torch.bfloat16).requires_grad_()
        one = torch.ones(batch, channels, device=DEVICE)
        kernels = (torch.randn(channels, 1, 1, 3, 3, device=DEVICE), torch.randn(channels, 1, 3, 1, 1, device=DEVICE))
        affine = Affine(one, one, Activation.RELU)
        with torch.no_grad():
            forward = median_ms(lambda y=y, k=kernels, a=affine, s=size: depthwise(y, k, a, s, 1))
        out, *_ = depthwise(y, kernels, affine, size, 1)
        g = torch.randn_like(out)
        backward = median_ms(lambda o=out, y=y, g=g: torch.autograd.grad(o, y, g, retain_graph=True))
        moved = y.numel() * 2 / 1e9
        rows.append(
            {
                "channels": channels,
                "side": side,
                "forward_ms": forward,
                "forward_of_copy_rate": 2 * moved / forward * 1e3 / rate,
                "backward_ms": backward,
                "backward_of_copy_rate": 7 * moved / backward * 1e3 / rate,
            }
        )
        print("  ".join(f"{key} {value}" for key, value in rows[-1].items()))
    return rows


# ---- the same training ---------------------------------------------------------------------------------------------


def loss_curves(steps: int, size: int, budget: Budget) -> list[Row]:
    """Train on drawn motion, plain with autocast and fused, from the same weights on the same clips."""
    motions = MotionBatches(16 if ON_GPU else 1, num_frames=8, size=size, device=DEVICE)
    drawn = [motions.batch(number) for number in range(min(steps, 40))]
    batches = [(clips.float() / 127.5 - 1, targets) for clips, targets in drawn]
    curves: dict[str, list[float]] = {}
    for way in (WAYS[2], WAYS[5] if ON_GPU else WAYS[4]):
        torch.manual_seed(0)
        model = (
            create_model("vov3d_s", num_classes=len(MOTION_CLASSES), dropout=0.0)
            if ON_GPU
            else VoV3D(8, (1,), num_units=1, num_classes=len(MOTION_CLASSES), dropout=0.0)
        ).to(DEVICE)
        gradient = gradient_of(way.prepare(model), way.autocast)
        gradient = Replayed(gradient, model) if way.replays else gradient
        optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
        curve = curves.setdefault(way.name, [])
        for step in range(steps):
            if not budget.allows(2):
                break
            clips, targets = batches[step % len(batches)]
            optimizer.zero_grad()
            loss, _ = gradient(clips, targets, 1 / len(clips))
            optimizer.step()
            curve.append(float(loss) / len(clips))
    return [
        {"step": step, **{name: curve[step] for name, curve in curves.items() if step < len(curve)}}
        for step in range(steps)
    ]


# ---- all -------------------------------------------------------------------------------------------------------------


def main() -> None:
    """Check, measure and write."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--seconds", type=float, default=440, help="for all of it")
    flags.add_argument("--quick", action="store_true", help="small clips and few steps: whether it works")
    flags.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    args = flags.parse_args()
    quick = args.quick or not ON_GPU
    budget, frames, crop = Budget(args.seconds), (2 if quick else 16), (224 if not quick else 64 if ON_GPU else 32)
    torch.backends.cudnn.benchmark = True
    facts = {"gpu": torch.cuda.get_device_name() if ON_GPU else "none: Triton's interpreter"}
    rate = copy_rate()
    print(f"{facts['gpu']}: copies {rate:.0f} GB/s")
    right = [row for dtype in (torch.float32, torch.bfloat16) for row in correctness(dtype)]
    write_results("gpu-correctness", right, args.out, **facts, copy_gb_per_second=rate)
    names = ("vov3d_m",) if quick else ("vov3d_m", "vov3d_l", "x3d_m")
    for name in names:
        print(name, "trial:", refusal(create_model(name), DEVICE, torch.bfloat16) or "passed")
    pair = depthwise_pair(rate)
    write_results("gpu-depthwise", pair, args.out, **facts, copy_gb_per_second=rate)
    steps = [
        row
        for batch in ((8, 32) if not quick else (2,) if ON_GPU else (1,))
        for name in names
        for row in training(name, (batch, frames, crop), rate, budget)
    ]
    write_results("gpu-training", steps, args.out, **facts, copy_gb_per_second=rate)
    tests = [
        row
        for batch in ((1,) if quick else (1, 32))
        for name in names
        for row in inference(name, (batch, frames, crop), budget)
    ]
    write_results("gpu-inference", tests, args.out, **facts)
    curves = loss_curves(2 if quick else 200, 32 if quick else 64, budget)
    write_results("gpu-loss-curves", curves, args.out, **facts)


if __name__ == "__main__":
    main()
