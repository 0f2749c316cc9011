"""``vov3d bench``."""

from __future__ import annotations

import logging
from argparse import Namespace
from typing import TYPE_CHECKING

from vov3d.cli.arguments import whole
from vov3d.cli.output import table
from vov3d.cli.parser import Parser
from vov3d.cli.verb import Answer, Verb

if TYPE_CHECKING:
    from vov3d.compare.engines import Bench

log = logging.getLogger("vov3d")


def add_arguments(parser: Parser) -> None:
    """What to time, at which input, by which engines."""
    parser.add_argument("model", metavar="MODEL_OR_CKPT", help="a name of `vov3d models`, or a checkpoint")
    parser.add_argument("--frames", type=whole(1, 10_000), default=16, metavar="T", help="frames of each clip [16]")
    parser.add_argument(
        "--crop", type=whole(32, 10_000), default=224, metavar="PIXELS", help="side of each clip, in pixels [224]"
    )
    parser.add_argument("--batch", type=whole(1, 1000), default=1, metavar="N", help="clips at a time [1]")
    parser.add_argument("--threads", type=whole(1, 4096), metavar="N", help="threads of an operator [torch's choice]")
    parser.add_argument(
        "--precision",
        nargs="+",
        default=["fp32", "bf16"],
        metavar="NAME",
        help="precisions of the back ends: fp32, bf16, int8 [fp32 bf16]",
    )
    parser.add_argument(
        "--backend",
        nargs="+",
        metavar="NAME",
        help="native, openvino, torch, onnxruntime, compile, which takes minutes [all but compile]",
    )
    parser.add_argument(
        "--rounds", type=whole(1, 1000), default=7, metavar="N", help="timed runs of each, in turns [7]"
    )


def run(args: Namespace) -> Answer:
    """Time."""
    from vov3d.compare.engines import EAGER, PLAIN, bench
    from vov3d.progress import task_progress

    with task_progress("runs") as on_progress:
        found = bench(
            args.model,
            frames=args.frames,
            crop=args.crop,
            batch=args.batch,
            threads=args.threads,
            precisions=args.precision,
            backends=args.backend,
            rounds=args.rounds,
            on_progress=on_progress,
        )
    engines = [one for one in found.engines if one.backend not in (PLAIN, EAGER)]
    nothing_ran = all(one.latency_ms is None for one in engines)
    if nothing_ran:
        log.error("vov3d: no back end ran, first %s: %s", engines[0].backend, engines[0].failure)
    return Answer(found, _text(found), code=2 if nothing_ran else 0)


def _text(found: Bench) -> str:
    of = found.setting
    rows = [
        (
            one.backend,
            one.precision,
            f"{one.latency_ms:.1f}",
            f"{one.fastest_ms:.1f}-{one.slowest_ms:.1f}",
            "-" if one.ratio is None else f"{one.ratio:.2f}",
            "-" if one.max_error is None else f"{one.max_error:.1e}",
            "-" if one.cosine is None else f"{one.cosine:.5f}",
        )
        for one in found.engines
        if one.latency_ms is not None
    ]
    failures = [f"{one.backend} {one.precision}: {one.failure}" for one in found.engines if one.failure]
    columns = ("back end", "precision", "ms>", "from-to>", "x plain>", "error>", "cosine>")
    clips = f"{of.batch} clip{'s' if of.batch > 1 else ''} of {of.frames}x{of.crop}x{of.crop}"
    threads = f"{of.threads} thread{'s' if of.threads > 1 else ''}"
    about = (
        f"Medians of {found.rounds} runs in turns; x plain: how many times as fast as torch's own 3D convolutions; "
        "error: largest difference of a logit, over the largest."
    )
    parts = [
        f"{of.model}, {clips}, {threads} of {found.machine}",
        table(columns, rows, gap=2),
        "\n".join(failures),
        about,
    ]
    return "\n\n".join(part for part in parts if part)


VERB = Verb(
    name="bench",
    help="time a network by every back end of this machine",
    usage="vov3d bench MODEL_OR_CKPT [--frames T] [--crop PIXELS] [--threads N] [options]",
    description=(
        "Time one network on the CPU: as plain torch computes it, as it stands, and by every back end of "
        "vov3d.optimize that is installed and takes it; each in a process of its own, in turns. A name of the "
        "catalogue is timed with weights that are drawn."
    ),
    examples=(
        ("what there is to gain", "vov3d bench vov3d_m --threads 1"),
        ("your network, at its clips", "vov3d bench runs/first/last.safetensors --frames 8 --crop 128"),
        ("one engine, all precisions", "vov3d bench x3d_m --backend openvino --precision fp32 bf16 int8"),
    ),
    add_arguments=add_arguments,
    run=run,
)
