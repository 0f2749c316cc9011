"""``vov3d info``."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from vov3d.cli.arguments import whole
from vov3d.cli.output import facts
from vov3d.cli.parser import Parser
from vov3d.cli.verb import Answer, Verb

if TYPE_CHECKING:
    from vov3d.info import ModelInfo


def add_arguments(parser: Parser) -> None:
    """The network and the input to measure it with."""
    parser.add_argument(
        "model", metavar="MODEL", help="a name from `vov3d models`, a checkpoint, or motion, the weights in the package"
    )
    parser.add_argument("--frames", type=whole(1, 10_000), default=16, metavar="T", help="frames of the clip [16]")
    parser.add_argument("--crop", type=whole(32, 10_000), default=224, metavar="PIXELS", help="side of the clip [224]")
    parser.add_argument("--num-classes", type=whole(1), metavar="K", help="classes [the checkpoint's; a model's 400]")
    parser.add_argument("--no-measure", action="store_true", help="count only, do not run the network for its latency")


def run(args: Namespace) -> Answer:
    """Count and measure."""
    from vov3d.info import info

    result = info(
        args.model, frames=args.frames, crop=args.crop, num_classes=args.num_classes, measure=not args.no_measure
    )
    return Answer(result, _text(result))


def _text(result: ModelInfo) -> str:
    clip = f"at {result.num_frames}x{result.crop}x{result.crop}"
    return facts(
        {
            "model": f"{result.name}{', causal' if result.causal else ''}, {result.num_classes} classes",
            "parameters": f"{result.parameters:,} ({result.parameters / 1e6:.2f} million)",
            "multiply-adds": f"{result.gmacs:.3f} GMACs {clip}, one view (the papers' GFLOPs)",
            "activations": f"{result.activations / 1e6:.1f} million elements {clip}",
            "latency": _latency(result, clip),
            "weights": result.weights,
        }
    )


def _latency(result: ModelInfo, clip: str) -> str | None:
    if result.latency_ms is None or result.latency_ms_spread is None:
        return None
    fastest, slowest = result.latency_ms_spread
    return (
        f"{result.latency_ms:.0f} ms {clip}, one clip, {fastest:.0f} to {slowest:.0f} ms; "
        f"{result.device}, {result.threads} threads"
    )


VERB = Verb(
    name="info",
    help="count and measure a network",
    usage="vov3d info MODEL [options]",
    description=(
        "Count a network's parameters, multiply-adds and activations, and measure the time of one clip. "
        "Multiply-adds are those of convolutions and linear layers, which is what the papers call FLOPs."
    ),
    examples=(
        ("one row of Table 6", "vov3d info vov3d_m --crop 256 --num-classes 174"),
        ("your network", "vov3d info runs/first/last.safetensors --frames 8 --crop 112"),
        ("only the numbers, for a program", "vov3d info x3d_l --no-measure --json"),
    ),
    add_arguments=add_arguments,
    run=run,
)
