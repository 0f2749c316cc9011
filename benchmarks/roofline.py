"""What this machine can do at best, and how long a clip takes then.

    python benchmarks/roofline.py [--threads 1 2]

Writes two files: peaks, which are the fastest dense products of each precision and copies of memory that were seen; and
floors, which are counted: each fused layer takes as long as its arithmetic or its memory traffic does, whichever is
longer. A fused layer reads its input and its weights and writes its output once; what squeeze-and-excitation gates is
written and read once more, since the gate depends on all of it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from harness import Row, Variant, in_shares, interleave, parser, remaining, write_results
from torch import Tensor, nn
from torch.nn import functional as F

from vov3d.compare.workers import Ready
from vov3d.layers import Bottleneck, Residual, SqueezeExcitation
from vov3d.models import ClipClassifier, create_model
from vov3d.models.vov3d import TOSA

COPY_BYTES = 2**28
SIZE = 2048
"""Rows and columns of the matrices that are multiplied: their 50 MB are read from memory once."""

PRECISIONS = {"fp32": 4, "bf16": 2, "int8": 1}
"""Name -> bytes of an element."""


# ---- peaks -----------------------------------------------------------------------------------------------------------


def product(dtype: torch.dtype, kind: str) -> Ready:
    """A product of square matrices by one of torch's ways to it; of int8 the sums are int32."""
    left, right = (_drawn(dtype) for _ in range(2))
    packed = (left.to_mkldnn(), right.to_mkldnn()) if kind == "oneDNN" else ()
    runs: dict[str, Callable[[], Tensor]] = {
        "matmul": lambda: left @ right,
        "int_mm": lambda: torch._int_mm(left, right),
        "oneDNN": lambda: torch._C._nn.mkldnn_linear(*packed),
        "convolution": lambda: F.conv2d(left.view(1, SIZE // 32, 32, SIZE).movedim(3, 1), right[:, :, None, None]),
    }
    run = torch.inference_mode()(runs[kind])
    run()
    return Ready(run, {"operations": float(2 * SIZE**3)})


def _drawn(dtype: torch.dtype) -> Tensor:
    if dtype is torch.int8:
        return torch.randint(-8, 8, (SIZE, SIZE), dtype=dtype)
    return torch.randn(SIZE, SIZE).to(dtype)


def copy(kind: str, threads: int) -> Ready:
    """A copy of memory: every byte is read and written."""
    source, target = torch.zeros(COPY_BYTES, dtype=torch.uint8), torch.ones(COPY_BYTES, dtype=torch.uint8)
    if kind == "torch":
        run: Callable[[], object] = functools.partial(target.copy_, source)
    else:
        assert threads == 1, "numpy copies on one thread"
        run = functools.partial(np.copyto, target.numpy(), source.numpy())
    run()
    return Ready(run, {"bytes": float(2 * COPY_BYTES)})


def peaks(threads: int, seconds: float) -> list[Row]:
    """Measure, and add what was reached in 1e9 operations or bytes a second, by the fastest run."""
    fp32, bf16 = torch.float32, torch.bfloat16
    products = [("fp32", fp32, "matmul"), ("fp32", fp32, "oneDNN"), ("fp32", fp32, "convolution")]
    products += [("bf16", bf16, "matmul"), ("bf16", bf16, "convolution"), ("int8", torch.int8, "int_mm")]
    variants = [
        Variant({"precision": name, "by": kind}, functools.partial(product, dtype, kind), threads)
        for name, dtype, kind in products
    ]
    for kind in ("torch", "numpy") if threads == 1 else ("torch",):
        variants.append(Variant({"precision": "copy", "by": kind}, functools.partial(copy, kind, threads), threads))
    rows = interleave(variants, seconds)
    for row in rows:
        done, fastest = row.pop("operations", None) or row.pop("bytes", None), row["min_ms"]
        row.pop("bytes", None)
        row.pop("speedup")
        if isinstance(done, float) and isinstance(fastest, float):
            row["giga_per_second"] = round(done / fastest / 1e6, 1)
    return rows


def best(rows: list[Row], precision: str) -> float | None:
    """The most that any way of doing it reached, in 1e9 a second."""
    found = [row["giga_per_second"] for row in rows if row["precision"] == precision and "giga_per_second" in row]
    return max((float(one) for one in found if one is not None), default=None)


# ---- floors ----------------------------------------------------------------------------------------------------------


@dataclass
class FusedLayer:
    """What one layer must do at least.

    Attributes:
        macs: multiply-adds.
        elements: read and written, weights included.
    """

    macs: int = 0
    elements: int = 0


def fused_layers(name: str, frames: int, crop: int) -> dict[str, FusedLayer]:
    """Count VoV3D or X3D layer by layer, for one clip; nothing is computed."""
    with torch.device("meta"):
        model = create_model(name, num_classes=400).eval()
        clips = torch.empty(1, 3, frames, crop, crop)
    layers = {path: FusedLayer() for path, _, _ in _groups(model)}
    for path, module, moves in _groups(model):
        module.register_forward_hook(functools.partial(_count_moves, layers[path], moves))
    for path, module in model.named_modules():
        if isinstance(module, nn.Conv3d | nn.Linear):
            owner = max((one for one in layers if path.startswith(one)), key=len)
            module.register_forward_hook(functools.partial(_count_macs, layers[owner]))
        elif isinstance(module, SqueezeExcitation):
            owner = max((one for one in layers if path.startswith(one)), key=len)
            module.register_forward_hook(functools.partial(_count_moves, layers[owner], "again"))
    with torch.no_grad():
        model(clips)
    return layers


def _groups(model: ClipClassifier) -> Iterator[tuple[str, nn.Module, str]]:
    """Path, module, and what of it moves through memory."""
    yield "stem", model.stem, "both"
    yield "head", model.head, "both"
    for path, module in model.named_modules():
        if isinstance(module, Residual) and isinstance(module.branch, Bottleneck):
            yield path, module, "both"
        elif isinstance(module, Residual) and module.shortcut is not None:
            yield f"{path}.shortcut", module.shortcut, "input"  # added while the aggregation's sums are written
        elif isinstance(module, TOSA):
            yield f"{path}.aggregate", module.aggregate, "both"


def _count_moves(layer: FusedLayer, moves: str, _module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    counted = {"both": inputs[0].numel() + output.numel(), "input": inputs[0].numel(), "again": 2 * output.numel()}
    layer.elements += counted[moves]


def _count_macs(layer: FusedLayer, module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
    assert isinstance(module, nn.Conv3d | nn.Linear)
    layer.macs += output.numel() * module.weight[0].numel()
    layer.elements += module.weight.numel()


def floor(name: str, crop: int, precision: str, *, peak: float, copied: float) -> Row:
    """How long a clip of 16 frames takes at least: the sum over fused layers of what limits each.

    Args:
        name: of VoV3D or X3D.
        crop: in pixels.
        precision: of all elements.
        peak: 1e9 operations a second.
        copied: 1e9 bytes a second, read plus written.
    """
    layers = fused_layers(name, 16, crop).values()
    size = PRECISIONS[precision]
    seconds = sum(max(2 * one.macs / peak, size * one.elements / copied) for one in layers) / 1e9
    return {
        **{"model": name, "frames": 16, "crop": crop, "precision": precision},
        "gmacs": round(sum(one.macs for one in layers) / 1e9, 3),
        "megabytes": round(size * sum(one.elements for one in layers) / 1e6, 1),
        "floor_ms": round(1e3 * seconds, 2),
    }


def main() -> None:
    """Measure the peaks, count the floors, write both."""
    args = parser(__doc__, 20, (1, 2)).parse_args()
    found, floors = [], []
    for threads, seconds in in_shares(dict.fromkeys(args.threads, 1.0), remaining(args.seconds)):
        rows = peaks(threads, seconds)
        found += rows
        copied = best(rows, "copy")
        for name, crop in (
            ("vov3d_m", 224),
            ("vov3d_m", 256),
            ("vov3d_l", 224),
            ("vov3d_l", 256),
            ("x3d_m", 224),
            ("x3d_m", 256),
        ):
            for precision in PRECISIONS:
                peak = best(rows, precision)
                if peak and copied:
                    found_floor = floor(name, crop, precision, peak=peak, copied=copied)
                    floors.append({**found_floor, "threads": threads})
    write_results("peaks", found, args.out)
    write_results("floors", floors, args.out)


if __name__ == "__main__":
    main()
