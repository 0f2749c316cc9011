"""The training step and the inference of VoV3D and X3D on one GPU: whether they are right, then how fast.

    python benchmarks/gpu.py                   # under 8 minutes on one GPU; writes into benchmarks/results
    python benchmarks/gpu.py --data FOLDER     # trains on these videos too
    python benchmarks/gpu.py --quick           # small networks; without a GPU in Triton's interpreter
    python benchmarks/gpu.py --only curves --steps 200 --width 8 --size 32 --batch 4 --frames 4

First the fused kernels are held to float64 (odd shapes, one frame, strides, memory full of NaN), and what is timed
later is compiled, by many processes at a time. Then every way to compute a step and logits is timed and profiled: plain
modules in float32 and with autocast, channels-last, the fused kernels, alone and replayed as a graph, and, last,
torch.compile. A network is trained on the motion set twice, plain and fused.

Each part runs in a process of its own and has a share of the time; one that fails, crashes or takes longer ends alone,
keeps the rows that it has, and says in the table why. So does one that Ctrl+C ends, which leaves out those that follow.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import logging
import math
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
from gpu_curves import loss_curves, loss_curves_of_videos
from gpu_device import DEVICE, ON_GPU
from gpu_kernels import compiled_kernels
from gpu_timing import Setting, gpu_name
from gpu_ways import COMPILED, WAYS, depthwise_pair, inference, training
from harness import Flags, Row, in_shares, remaining, write_json, write_results

from vov3d.fused import tiles, unavailable

NETWORKS = ("vov3d_m", "vov3d_l", "x3d_m")
SECONDS = 450.0
INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Part:
    """What runs in a process.

    Attributes:
        results: which file its rows go to.
        weight: its share of the time.
        rows: measures; every row is kept as soon as it is there.
    """

    results: str
    weight: float
    rows: Callable[[Setting], Iterator[Row]]


def parts(setting: Setting) -> Mapping[str, Part]:
    """All parts by name, in the order in which they run."""
    names = NETWORKS[:1] if setting.quick else NETWORKS
    found = {"correctness": Part("gpu-correctness", 55, correctness)}
    if ON_GPU:
        found["kernels"] = Part("gpu-kernels", 100, functools.partial(compiled_kernels, names))
    found["depthwise"] = Part("gpu-depthwise", 10, depthwise_pair)
    for name in names:
        found[f"training {name}"] = Part("gpu-training", 40, functools.partial(training, name, WAYS))
    for name in names:
        found[f"inference {name}"] = Part("gpu-inference", 18, functools.partial(inference, name))
    found["curves"] = Part("gpu-loss-curves", 20, loss_curves)
    if setting.data is not None:
        found["curves of videos"] = Part("gpu-video-curves", 20, loss_curves_of_videos)
    for name in names if ON_GPU else ():
        found[f"compile {name}"] = Part("gpu-training", 30, functools.partial(training, name, COMPILED))
    return found


# ---- one part, in its process ----------------------------------------------------------------------------------------


def measure(part: Part, setting: Setting, file: Path) -> None:
    """Write the rows of a part as they come, and why it ended where it failed."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("vov3d").setLevel(logging.INFO)
    if not ON_GPU:
        fill_programs()
    with file.open("a", encoding="utf-8") as lines:
        try:
            for row in part.rows(setting):
                print("  ".join(f"{key} {_short(value)}" for key, value in row.items()), flush=True)
                lines.write(json.dumps(row) + "\n")
                lines.flush()
        except Exception as error:  # noqa: BLE001  it is reported, and the other parts go on
            traceback.print_exc()
            lines.write(json.dumps({"failure": f"{type(error).__name__}: {error}"[:200]}) + "\n")


def fill_programs() -> None:
    """Let a program compute as much as a small clip has: the interpreter takes as long for a few values as for many."""
    for block in (tiles.POINTWISE, tiles.POINTWISE_GRADIENT, tiles.RESIDUAL):
        block["ROWS"] = 1024
    tiles.DEPTHWISE.update(HEIGHT=16, WIDTH=16)


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
        except KeyboardInterrupt:
            failure = INTERRUPTED
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
    setting = Setting(args.quick, args.steps, args.size, args.width, args.batch, args.frames, args.data)
    found = parts(setting)
    if args.part:
        measure(found[args.part], setting, args.rows)
        return
    chosen = {name: part for name, part in found.items() if not args.only or name.startswith(tuple(args.only))}
    if refused := _refused(args, found, chosen):
        print(refused, file=sys.stderr)
        sys.exit(2)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl+C does
    sys.exit(_run(chosen, args.seconds, args.out, [*sys.argv[1:], "--out", str(args.out)]))


def _refused(args: argparse.Namespace, found: Mapping[str, Part], chosen: Mapping[str, Part]) -> str:
    """Return why nothing is measured, in words; empty if all is well."""
    if reason := unavailable(DEVICE):
        return f"the fused kernels do not run here: {reason}"
    if not (ON_GPU or args.quick or args.only):
        return "no GPU here, so there is nothing to measure; --quick tries all of it in Triton's interpreter"
    if not chosen:
        return f"no part begins with {' or '.join(args.only)}; there are: {', '.join(found)}"
    if args.data is not None and not args.data.exists():
        return f"--data {args.data} does not exist"
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=args.out):
            return ""
    except OSError as error:
        return f"cannot write to --out {args.out}: {error.strerror or error}"


def _run(chosen: Mapping[str, Part], seconds: float, out: Path, words: list[str]) -> int:
    """Measure part by part and write what there is after each; return the exit code."""
    facts = {"gpu": gpu_name()}
    machine = facts["gpu"] if ON_GPU else ""
    results: dict[str, list[Row]] = {}
    missing = dict(chosen)
    try:
        for name, share in in_shares({name: part.weight for name, part in chosen.items()}, remaining(seconds)):
            print(f"---- {name}: up to {share:.0f} s", flush=True)
            part = missing.pop(name)
            rows = results.setdefault(part.results, [])
            rows += measured(name, words, share)
            write_results(part.results, rows, out, machine=machine, **facts)
            if rows and rows[-1].get("failure") == INTERRUPTED:
                raise KeyboardInterrupt
        return 0
    except KeyboardInterrupt:
        print(f"{INTERRUPTED}; what was measured is kept", file=sys.stderr)
        return 130
    finally:
        for name, part in missing.items():
            results.setdefault(part.results, []).append({"part": name, "failure": "left out"})
            write_results(part.results, results[part.results], out, machine=machine, **facts)
        write_json("gpu", results, out, machine=machine, **facts)


def _arguments(words: list[str]) -> argparse.Namespace:
    flags = Flags(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--seconds", type=_seconds, default=SECONDS, help="for all of it")
    flags.add_argument("--quick", action="store_true", help="small clips and few steps: whether it works")
    flags.add_argument("--only", nargs="+", metavar="PART", help="parts whose names begin so")
    flags.add_argument("--data", type=Path, help="a folder of videos that the curves also learn from")
    flags.add_argument("--out", type=Path, help="folder for the results [results; a temporary one with --quick]")
    flags.add_argument("--steps", type=_count, help="of the loss curves [200; 3 with --quick]")
    flags.add_argument("--size", type=_count, help="side of their clips in pixels [64; 32 with --quick]")
    flags.add_argument("--width", type=_count, help="of their network, one stage [VoV3D-M; 8 with --quick]")
    flags.add_argument("--batch", type=_count, help="of their clips [28; 2 with --quick]")
    flags.add_argument("--frames", type=_count, help="of each of their clips [8; 2 with --quick]")
    flags.add_argument("--part", help=argparse.SUPPRESS)
    flags.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    args = flags.parse_args(words)
    small = args.quick or not ON_GPU
    usual = {"steps": (200, 3), "size": (64, 32), "width": (0, 8), "batch": (28, 2), "frames": (8, 2)}
    for name, sizes in usual.items():
        setattr(args, name, sizes[small] if getattr(args, name) is None else getattr(args, name))
    return args


def _count(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{value}; at least 1")
    return value


def _seconds(text: str) -> float:
    if not 0 < (value := float(text)) < math.inf:
        raise argparse.ArgumentTypeError(f"{text}; more than 0")
    return value


if __name__ == "__main__":
    main()
