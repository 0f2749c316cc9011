"""Compile, for a GPU that need not be there, every kernel that the published networks launch.

The networks run on tensors without values, and their launches are noted: the constants, the types and the alignment
that the GPU would see. Prints registers, bytes spilled and bytes of shared memory of each.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import triton
from torch import Tensor
from torch._subclasses import FakeTensorMode
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from vov3d.fused import fuse, kernels, launches
from vov3d.fused.inference import fuse_folded
from vov3d.models import create_model
from vov3d.optimize.folding import folded

NETWORKS = ("vov3d_m", "vov3d_l", "x3d_m")
TYPES = {torch.bfloat16: "*bf16", torch.float32: "*fp32"}
Launch = tuple[str, tuple[tuple[str, object], ...], tuple[tuple[str, str, bool], ...], tuple[int, int]]
"""Kernel, its constants, name and type of its other arguments and whether they are aligned, warps and stages."""


class Noted:
    """A kernel that is not launched but noted."""

    def __init__(self, name: str, noted: dict[Launch, None]) -> None:
        self.kernel, self.name, self.noted = getattr(kernels, name), name, noted

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        assert 0 < grid[0] < 2**31
        assert all(0 < size < 2**16 for size in grid[1:])
        return self._note

    def _note(self, *arguments: object, num_warps: int = 4, num_stages: int = 3, **constants: object) -> None:
        given = {**dict(zip(self.kernel.arg_names, arguments, strict=False)), **constants}
        fixed = {one.name for one in self.kernel.params if one.is_constexpr}
        others = []
        for name, value in given.items():
            if isinstance(value, Tensor):
                offset = value.storage_offset() * value.element_size()
                others.append((name, TYPES[value.dtype], offset % 16 == 0))
            elif name not in fixed and value is not None:
                assert isinstance(value, int)
                assert value < 2**31
                others.append((name, "i32", False))
        known = tuple((name, value) for name, value in given.items() if name in fixed or value is None)
        self.noted[self.name, known, tuple(others), (num_warps, num_stages)] = None


@contextlib.contextmanager
def noting() -> Iterator[dict[Launch, None]]:
    """Note what is launched."""
    noted: dict[Launch, None] = {}
    before = {name: getattr(kernels, name) for name in kernels.__all__}
    for name in before:
        setattr(kernels, name, Noted(name, noted))
    try:
        yield noted
    finally:
        for name, kernel in before.items():
            setattr(kernels, name, kernel)


def launches_of(name: str, batch: int, dtype: torch.dtype, *, crop: int = 224) -> dict[Launch, None]:
    """What a training step launches, and what inference does."""
    inference = folded(create_model(name).eval()).to(dtype)
    with noting() as noted, FakeTensorMode(allow_non_fake_inputs=True):
        model = create_model(name).train()
        assert fuse(model) == fuse_folded(inference) > 0
        clips = torch.empty(batch, 3, 16, crop, crop).contiguous(memory_format=torch.channels_last_3d)
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            logits = model(clips)
        logits.sum().backward()
        with torch.no_grad():
            inference.stages(inference.stem(clips.to(dtype)))
    return noted


def compiled(launch: Launch, capability: int = 90) -> dict[str, int]:
    """Compile for a compute capability; return registers and bytes of stack of a thread, and shared memory."""
    name, constants, others, (num_warps, num_stages) = launch
    kernel = getattr(kernels, name)
    names, fixed = kernel.arg_names, dict(constants)
    types = {other: kind for other, kind, _ in others}
    signature = {argument: "constexpr" if argument in fixed else types[argument] for argument in names}
    attributes = {(names.index(other),): [["tt.divisibility", 16]] for other, _, aligned in others if aligned}
    source = ASTSource(kernel, signature=signature, constexprs=fixed, attrs=attributes)
    options = {"num_warps": num_warps, "num_stages": num_stages}
    found = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    dump = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(found.asm["cubin"])
        file.flush()
        text = subprocess.run([dump, "--dump-resource-usage", file.name], capture_output=True, text=True, check=True)
    counted = dict(part.split(":") for part in text.stdout.split() if part.startswith(("REG:", "STACK:")))
    return {**{key: int(value) for key, value in counted.items()}, "SHARED": found.metadata.shared}


def main() -> None:
    """Note, compile, print."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--networks", nargs="+", default=NETWORKS)
    flags.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    flags.add_argument("--crop", type=int, default=224)
    flags.add_argument("--capability", type=int, default=90, help="compute capability, times ten")
    args = flags.parse_args()
    launches.capability = lambda _device: divmod(args.capability, 10)
    noted: dict[Launch, None] = {}
    for name, batch in ((name, batch) for name in args.networks for batch in (8, 32)):
        noted |= launches_of(name, batch, getattr(torch, args.dtype), crop=args.crop)
    for launch in noted:
        found = compiled(launch, args.capability)
        shown = " ".join(f"{key}={getattr(value, 'name', value)}" for key, value in launch[1])
        registers, stack, shared = found["REG"], found["STACK"], found["SHARED"]
        print(f"{launch[0]}: {registers} registers, {stack} bytes spilled, {shared} bytes shared: {shown}", flush=True)


if __name__ == "__main__":
    main()
