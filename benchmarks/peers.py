"""How long other packages' networks take beside ours, each at the clip it was published with.

    python benchmarks/peers.py [--threads 1]

PyTorchVideo's X3D-M and SlowFast, torchvision's R(2+1)D-18 and a VideoMAE-base of Hugging Face's transformers come from
their own packages, without trained weights; VoV3D-M, and MoViNet-A2 whose package is TensorFlow's, from the catalogue.
Each runs in eager and in the best engine that takes it: `vov3d.optimize` for ours, OpenVINO in fp32 for the others.
"""

from __future__ import annotations

import functools
import importlib.util

import torch
from harness import Row, Variant, in_shares, interleave, parser, write_results
from networks import Clips, optimised, ours
from other_packages import PEERS, import_torchvision, peer, peer_in_openvino
from torch.utils.flop_counter import FlopCounterMode

from vov3d.models import create_model

OURS = {"vov3d_m": Clips(), "x3d_m": Clips(), "slowfast_r50_8x8": Clips(32), "movinet_a2": Clips(50)}
CLIPS = {"slowfast_r50_8x8": Clips(32), "r2plus1d_18": Clips(16, 112)}


def gmacs(build: object, clips: Clips) -> float:
    """1e9 multiply-adds of one clip's layers with weights; the products of attention are not counted."""
    uncounted = {torch.ops.aten.bmm: lambda *_shapes, **_options: 0}
    with torch.device("meta"), FlopCounterMode(display=False, custom_mapping=uncounted) as counter, torch.no_grad():
        build().eval()(torch.empty(1, 3, clips.frames, clips.crop, clips.crop))  # type: ignore[operator]
    return float(counter.get_total_flops()) / 2e9


def variants(threads: int) -> dict[str, list[Variant]]:
    """Network -> its ways; only of packages that are there."""
    found: dict[str, list[Variant]] = {}
    for name, clips in OURS.items():
        row = {"package": "vov3d", "model": name, "frames": clips.frames, "crop": clips.crop}
        row |= {"gmacs": gmacs(functools.partial(create_model, name), clips)}
        ways = {"eager fp32": functools.partial(ours, name, clips)}
        ways |= {f"best {one}": functools.partial(optimised, name, clips, one) for one in ("fp32", "bf16")}
        found[f"vov3d {name}"] = [Variant({**row, "way": way}, build, threads) for way, build in ways.items()]
    for package, networks in PEERS.items():
        if importlib.util.find_spec(package) is None:
            print(f"{package} is not installed; its networks are left out")
            continue
        for name, build in networks.items():
            clips = CLIPS.get(name, Clips())
            row = {"package": package, "model": name, "frames": clips.frames, "crop": clips.crop}
            row |= {"gmacs": gmacs(build, clips)}
            ways = {"eager fp32": functools.partial(peer, package, name, clips)}
            if importlib.util.find_spec("openvino") is not None:
                ways["best fp32"] = functools.partial(peer_in_openvino, package, name, clips, "fp32")
            found[f"{package} {name}"] = [Variant({**row, "way": way}, one, threads) for way, one in ways.items()]
    return found


def main() -> None:
    """Measure and write the results."""
    args = parser(__doc__, 70).parse_args()
    import_torchvision()
    rows: list[Row] = []
    for threads, seconds in in_shares(dict.fromkeys(args.threads, 1.0), args.seconds):
        everyone = [one for ways in variants(threads).values() for one in ways]
        rows += interleave(everyone, seconds, min_rounds=2)
    write_results("peers", rows, args.out)


if __name__ == "__main__":
    main()
