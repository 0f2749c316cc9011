"""The training step and the inference of VoV3D and X3D on one GPU: whether they are right, then how fast.

    python benchmarks/gpu.py                   # under 8 minutes on one GPU; writes into benchmarks/results
    python benchmarks/gpu.py --quick           # small networks; without a GPU in Triton's interpreter
    python benchmarks/gpu.py --only curves --steps 200 --width 8 --size 32 --batch 4 --frames 4

First the fused kernels are held to float64 (odd shapes, one frame, strides, memory full of NaN), and those of the
networks are compiled, by many processes at a time. Then every way to
compute a step and logits is timed: plain modules in float32 and with autocast, channels-last, the fused kernels, alone
and replayed as a graph, and, last, torch.compile. A network is trained on the motion set twice, plain and fused.

Each part runs in a process of its own and has a share of the time; one that fails, crashes or takes longer ends alone,
keeps the rows that it has, and says in the table why.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from gpu_correctness import correctness
from gpu_curves import loss_curves
from gpu_kernels import compiled_kernels
from gpu_timing import ON_GPU, Setting, gpu_name
from gpu_ways import COMPILED, WAYS, depthwise_pair, inference, training
from harness import RESULTS, Row, in_shares, write_json, write_results

NETWORKS = ("vov3d_m", "vov3d_l", "x3d_m")


@dataclass(frozen=True)
class Part:
    """What runs in a process.

    Attributes:
        results: which file its rows go to.
        weight: its share of the time, in seconds of 460.
        rows: measures; every row is kept as soon as it is there.
    """

    results: str
    weight: float
    rows: Callable[[Setting], Iterator[Row]]


def parts(setting: Setting) -> Mapping[str, Part]:
    """All parts by name, in the order in which they run."""
    names = NETWORKS[:1] if setting.quick else NETWORKS
    found = {"correctness": Part("gpu-correctness", 50, correctness)}
    if ON_GPU:
        found["kernels"] = Part("gpu-kernels", 100, functools.partial(compiled_kernels, names))
    found["depthwise"] = Part("gpu-depthwise", 10, depthwise_pair)
    for name in names:
        found[f"training {name}"] = Part("gpu-training", 45, functools.partial(training, name, WAYS))
    for name in names:
        found[f"inference {name}"] = Part("gpu-inference", 20, functools.partial(inference, name))
    found["curves"] = Part("gpu-loss-curves", 30, loss_curves)
    for name in names if ON_GPU else ():
        found[f"compile {name}"] = Part("gpu-training", 25, functools.partial(training, name, COMPILED))
    return found


# ---- one part, in its process ----------------------------------------------------------------------------------------


def measure(part: Part, setting: Setting, file: Path) -> None:
    """Write the rows of a part as they come, and why it ended where it failed."""
    with file.open("a", encoding="utf-8") as lines:
        try:
            for row in part.rows(setting):
                print("  ".join(f"{key} {_short(value)}" for key, value in row.items()), flush=True)
                lines.write(json.dumps(row) + "\n")
                lines.flush()
        except Exception as error:  # noqa: BLE001  it is reported, and the other parts go on
            traceback.print_exc()
            lines.write(json.dumps({"failure": f"{type(error).__name__}: {error}"[:200]}) + "\n")


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


# ---- all parts -------------------------------------------------------------------------------------------------------


def measured(name: str, words: list[str], seconds: float) -> list[Row]:
    """Run a part in a process of its own that ends after so many seconds."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.jsonl"
        command = [sys.executable, __file__, *words, "--part", name, "--rows", str(file)]
        process = subprocess.Popen(command, start_new_session=True)
        failure = ""
        try:
            if process.wait(timeout=seconds):
                failure = f"the process ended with {process.returncode}"
        except subprocess.TimeoutExpired:
            failure = f"stopped after its {seconds:.0f} s"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with it what torch.compile has started
            process.wait()
        rows: list[Row] = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    rows += [{"failure": failure}] if failure else []
    return [{"part": name, **row} for row in rows]


def main() -> None:
    """Check, measure and write."""
    args = _arguments(sys.argv[1:])
    setting = Setting(args.quick, args.steps, args.size, args.width, args.batch, args.frames)
    found = parts(setting)
    if args.part:
        measure(found[args.part], setting, args.rows)
        return
    chosen = {name: part for name, part in found.items() if not args.only or name.startswith(tuple(args.only))}
    facts = {"gpu": gpu_name()}
    machine = facts["gpu"] if ON_GPU else ""
    results: dict[str, list[Row]] = {}
    for name, seconds in in_shares({name: part.weight for name, part in chosen.items()}, args.seconds):
        print(f"---- {name}: up to {seconds:.0f} s", flush=True)
        results.setdefault(chosen[name].results, []).extend(measured(name, sys.argv[1:], seconds))
        write_results(chosen[name].results, results[chosen[name].results], args.out, machine=machine, **facts)
    write_json("gpu", results, args.out, machine=machine, **facts)


def _arguments(words: list[str]) -> argparse.Namespace:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--seconds", type=float, default=460, help="for all of it")
    flags.add_argument("--quick", action="store_true", help="small clips and few steps: whether it works")
    flags.add_argument("--only", nargs="+", metavar="PART", help="parts whose names begin so")
    flags.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    flags.add_argument("--steps", type=int, help="of the loss curves [200; 3 with --quick]")
    flags.add_argument("--size", type=int, help="side of their clips in pixels [64; 32 with --quick]")
    flags.add_argument("--width", type=int, help="of their network, one stage [0: VoV3D-M; 8 with --quick]")
    flags.add_argument("--batch", type=int, help="of their clips [28; 2 with --quick]")
    flags.add_argument("--frames", type=int, help="of each of their clips [8; 2 with --quick]")
    flags.add_argument("--part", help=argparse.SUPPRESS)
    flags.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    args = flags.parse_args(words)
    args.quick = args.quick or not ON_GPU
    for name, usual in (
        ("steps", (200, 3)),
        ("size", (64, 32)),
        ("width", (0, 8)),
        ("batch", (28, 2)),
        ("frames", (8, 2)),
    ):
        setattr(args, name, usual[args.quick] if getattr(args, name) is None else getattr(args, name))
    return args


if __name__ == "__main__":
    main()
