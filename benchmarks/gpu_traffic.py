"""Bytes that a training step moves, counted layer by layer: what a fused step must, and what the fused kernels do.

    python benchmarks/gpu_traffic.py [--batch 8 32] [--gigabytes-per-second 4300]

A pass over a tensor is one read or one write of it in bfloat16. The floor reads and writes every tensor once for each
convolution and direction: forward input and output; backward the gradient of the output, the output and the input, of
which the gradients of input and weight come. The kernels do the same, and programs that share the gradient of a weight
write one sum each, in float32, which is read once.
"""

from __future__ import annotations

import argparse
import functools
import math
from dataclasses import dataclass

import torch
from harness import RESULTS, Row, write_results
from torch import Tensor, nn

from vov3d.fused import tiles
from vov3d.layers import Bottleneck, DepthwiseConv3d, Residual
from vov3d.models import create_model
from vov3d.models.vov3d import TOSA

ELEMENT_BYTES = 2
SUM_ELEMENTS = 2 * 4 // ELEMENT_BYTES
"""A sum in float32 that is written and read."""


@dataclass
class Traffic:
    """Elements that one layer moves, for the whole batch.

    Attributes:
        floor: if each tensor is read and written once in each direction.
        kernels: as the fused kernels do it; the parts that stay plain torch are counted as at their floor.
    """

    floor: int = 0
    kernels: int = 0


def step_traffic(name: str, batch: int, frames: int = 16, crop: int = 224) -> dict[str, Traffic]:
    """Count a network's training step; nothing is computed."""
    with torch.device("meta"):
        model = create_model(name, num_classes=400)
        clips = torch.empty(batch, 3, frames, crop, crop)
    layers: dict[str, Traffic] = {}
    for path, module in model.named_modules():
        if isinstance(module, Bottleneck):
            module.operator.register_forward_hook(functools.partial(_depthwise, layers, path))
            module.expand.register_forward_hook(functools.partial(_pointwise, layers, f"{path}.expand"))
            module.project.register_forward_hook(functools.partial(_pointwise, layers, f"{path}.project"))
        elif isinstance(module, TOSA):
            module.aggregate.register_forward_hook(functools.partial(_pointwise, layers, f"{path}.aggregate"))
        elif isinstance(module, Residual):
            module.register_forward_hook(functools.partial(_sum, layers, path))
            if module.shortcut is not None and not isinstance(module.shortcut, nn.Identity):
                module.shortcut.register_forward_hook(functools.partial(_convolution, layers, f"{path}.shortcut"))
    model.stem.register_forward_hook(functools.partial(_convolution, layers, "stem"))
    with torch.no_grad():
        model(clips)
    return layers


def _convolution(
    layers: dict[str, Traffic], path: str, _module: nn.Module, inputs: tuple[Tensor], out: Tensor, sums: int = 0
) -> None:
    """Forward: y, out. Backward: g, out, y, gradient of y."""
    floor = 3 * (inputs[0].numel() + out.numel())
    layers[path] = Traffic(floor, floor + SUM_ELEMENTS * sums)


def _pointwise(layers: dict[str, Traffic], path: str, module: nn.Module, inputs: tuple[Tensor], out: Tensor) -> None:
    """A product, and its programs' sums of the weight's gradient."""
    (clips, inner, *size), channels = inputs[0].shape, out.shape[1]
    block = tiles.pointwise_gradient(inner, channels)
    columns = tiles.parts_of(inner, block["COLUMNS"])
    num_tiles = clips * tiles.parts_of(math.prod(size), block["ROWS"])
    _convolution(layers, path, module, inputs, out, tiles.shares(num_tiles, columns) * inner * channels)


def _depthwise(layers: dict[str, Traffic], path: str, module: nn.Module, inputs: tuple[Tensor], out: Tensor) -> None:
    """A depthwise convolution: each frame is read once, neighbours come from the cache."""
    clips, channels, _, height, width = inputs[0].shape
    separable = not isinstance(module, DepthwiseConv3d)
    block = tiles.depthwise_gradient(channels, separable=separable)
    parts = tiles.shares(clips * tiles.rectangles(height, width, block), tiles.parts_of(channels, block["CHANNELS"]))
    _convolution(layers, path, module, inputs, out, parts * channels * (12 if separable else 27))


def _sum(layers: dict[str, Traffic], path: str, module: nn.Module, _inputs: tuple[Tensor], out: Tensor) -> None:
    """Forward: y, shortcut, out. Backward: g, out, y, gradients of y and of the shortcut."""
    assert isinstance(module, Residual)
    shortcuts = 0 if module.shortcut is None else 1
    passes = (2 + shortcuts) + (4 + shortcuts)
    layers[f"{path}.sum"] = Traffic(passes * out.numel(), passes * out.numel())


def gigabytes(layers: dict[str, Traffic]) -> tuple[float, float]:
    """What a step moves at least, and in the kernels, in 1e9 bytes."""
    floor, kernels = (sum(getattr(one, kind) for one in layers.values()) for kind in ("floor", "kernels"))
    return floor * ELEMENT_BYTES / 1e9, kernels * ELEMENT_BYTES / 1e9


def main() -> None:
    """Count and write."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--batch", type=int, nargs="+", default=[8, 32], metavar="N")
    flags.add_argument("--gigabytes-per-second", type=float, default=4300.0, help="what the memory reads and writes")
    args = flags.parse_args()
    rows: list[Row] = []
    for name in ("vov3d_m", "vov3d_l", "x3d_m"):
        for batch in args.batch:
            floor, kernels = gigabytes(step_traffic(name, batch))
            rate = args.gigabytes_per_second
            row: Row = {"model": name, "batch": batch, "floor_gb": round(floor, 2), "kernels_gb": round(kernels, 2)}
            rows.append({**row, "floor_ms": round(floor / rate * 1e3, 2), "kernels_ms": round(kernels / rate * 1e3, 2)})
            print("  ".join(f"{key} {value}" for key, value in rows[-1].items()))
    write_results("gpu-traffic", rows, RESULTS, gigabytes_per_second=args.gigabytes_per_second)


if __name__ == "__main__":
    main()
