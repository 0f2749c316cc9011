"""Compile the kernels for a Hopper GPU, which needs none: prints, for each, its registers and the bytes it spills."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from vov3d.fused import kernels, launches

HALF = {"y", "out", "g", "weight", "through", "gradient", "shortcut", "shortcut_gradient"}
FULL = {"scale", "shift", "sums", "alpha", "beta"}


def variants() -> Iterator[tuple[object, dict[str, object], set[str]]]:
    """Kernels with the constants of VoV3D-M's and X3D-M's layers, and which pointers are float32 besides."""
    types = {"ACC": tl.float32, "DOT": tl.bfloat16}
    for inner, channels in ((40, 20), (160, 80), (432, 192)):
        both = {"K": inner, "C": channels, "pitch": inner, "AFFINE": True, "ACT": 2, **types}
        yield (
            kernels.pointwise_forward,
            both | launches._block(launches.POINTWISE, inner=inner, columns=channels),
            set(),
        )
        block = launches._block(launches.POINTWISE_GRADIENT, inner=channels, columns=inner)
        yield kernels.pointwise_input_gradient, both | block | {"through_pitch": inner, "THROUGH": True}, set()
        block = launches._block(launches.WEIGHT, inner=channels, columns=inner)
        yield kernels.pointwise_weight_gradient, both | block, {"gradient"}
    for channels, separable, stride in ((40, True, 1), (160, True, 2), (54, False, 1), (432, False, 2)):
        walk = {"C": channels, "SEPARABLE": separable, "STRIDE": stride, "ACT": 1, "ACC": tl.float32}
        block = launches.depthwise_block(channels)
        yield kernels.depthwise_forward, walk | block, {"weight"}
        yield kernels.depthwise_input_gradient, walk | block, {"weight"}
        yield (
            kernels.depthwise_weight_gradient,
            walk | launches._block(launches.TAPS, columns=channels),
            {"weight", "gradient"},
        )
    block = launches._block(launches.RESIDUAL, columns=40) | {
        "C": 40,
        "SHORTCUT": True,
        "ACC": tl.float32,
        "out_pitch": 200,
    }
    yield kernels.residual_forward, block | {"pitch": 40}, set()
    yield kernels.residual_gradient, block | {"THROUGH": True, "g_pitch": 40, "through_pitch": 200}, set()


def resources(kernel: object, constants: dict[str, object], full: set[str]) -> dict[str, int]:
    """Compile for compute capability 9.0; return registers and bytes of stack of a thread."""
    names = kernel.arg_names
    types = dict.fromkeys(HALF - full, "*bf16") | dict.fromkeys(FULL | full, "*fp32")
    signature = {name: "constexpr" if name in constants else types.get(name, "i32") for name in names}
    aligned = {(index,): [["tt.divisibility", 16]] for index, name in enumerate(names) if signature[name][0] == "*"}
    source = ASTSource(kernel, signature=signature, constexprs=constants, attrs=aligned)
    compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32))
    dump = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.asm["cubin"])
        file.flush()
        text = subprocess.run(
            [dump, "--dump-resource-usage", file.name], capture_output=True, text=True, check=True
        ).stdout
    counted = dict(part.split(":") for part in text.split() if part.startswith(("REG:", "STACK:")))
    return {name: int(value) for name, value in counted.items()}


if __name__ == "__main__":
    for one, constants, full in variants():
        found = resources(one, constants, full)
        channels = f"{constants.get('K', '')} -> {constants['C']}" if "K" in constants else constants["C"]
        print(f"{one.__name__} {channels}: {found['REG']} registers, {found['STACK']} bytes spilled")
