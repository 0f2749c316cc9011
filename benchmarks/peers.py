"""How long other packages' networks take beside ours, each at the clip it was published with.

    python benchmarks/peers.py [--threads 2]

PyTorchVideo's X3D-M and SlowFast, torchvision's R(2+1)D-18 and a VideoMAE-base of Hugging Face's transformers come from
their own packages, without trained weights; MoViNet-A2, whose package is TensorFlow's, X3D-M and SlowFast from the
catalogue. Each takes turns with VoV3D-M (16x224) in the same way: in eager, and in the best engine that takes it in
fp32, which is what `vov3d.optimize` picks for ours and OpenVINO for the others.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
from collections.abc import Callable

import torch
from field import MANY_THREADS as WAYS
from field import beside, references
from harness import Row, Variant, in_shares, parser, remaining, write_results
from networks import Clips, optimised, ours
from other_packages import PEERS, import_torchvision, peer, peer_in_openvino
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from vov3d.models import create_model

OURS = {"x3d_m": Clips(), "slowfast_r50_8x8": Clips(32), "movinet_a2": Clips(50)}
CLIPS = {"slowfast_r50_8x8": Clips(32), "r2plus1d_18": Clips(16, 112)}


def gmacs(build: Callable[[], nn.Module], clips: Clips) -> float:
    """1e9 multiply-adds of one clip's layers with weights; the products of attention are not counted."""
    uncounted = {torch.ops.aten.bmm: lambda *_shapes, **_options: 0}
    with torch.device("meta"), FlopCounterMode(display=False, custom_mapping=uncounted) as counter, torch.no_grad():
        build().eval()(torch.empty(1, 3, clips.frames, clips.crop, clips.crop))
    return float(counter.get_total_flops()) / 2e9


def networks() -> dict[tuple[str, str], Clips]:
    """(Package, network) -> its clip; only of packages that are there."""
    found = {("vov3d", name): clips for name, clips in OURS.items()}
    for package, names in PEERS.items():
        if importlib.util.find_spec(package) is None:
            print(f"{package} is not installed; its networks are left out")
        else:
            found |= {(package, name): CLIPS.get(name, Clips()) for name in names}
    return found


def ways(package: str, name: str, clips: Clips, threads: int) -> dict[str, Variant]:
    """One network in each way that there is."""
    build = functools.partial(create_model, name) if package == "vov3d" else PEERS[package][name]
    if package == "vov3d":
        runs = {"eager fp32": functools.partial(ours, name, clips)}
        runs["best fp32"] = functools.partial(optimised, name, clips, "fp32")
    else:
        runs = {"eager fp32": functools.partial(peer, package, name, clips)}
        if importlib.util.find_spec("openvino") is not None:
            runs["best fp32"] = functools.partial(peer_in_openvino, package, name, clips, "fp32")
    row: Row = {"package": package, "model": name, "frames": clips.frames, "crop": clips.crop}
    row |= {"gmacs": round(gmacs(build, clips), 3)}
    return {way: Variant({**row, "way": way}, run, threads) for way, run in runs.items()}


def main() -> None:
    """Measure and write the results."""
    args = parser(__doc__, 70, (2,)).parse_args()
    import_torchvision()
    chosen = dict(list(networks().items())[: 1 if args.quick else None])
    rows: list[Row] = []
    cells = {(name, clips, threads): 1.0 for threads in args.threads for name, clips in chosen.items()}
    with contextlib.ExitStack() as stack:
        own = {threads: stack.enter_context(references(threads, WAYS, rows)) for threads in args.threads}
        for ((package, name), clips, threads), seconds in in_shares(cells, remaining(args.seconds)):
            rows += beside(own[threads], ways(package, name, clips, threads), seconds)
    write_results("peers", [{"package": "vov3d", **row} for row in rows], args.out)


if __name__ == "__main__":
    main()
