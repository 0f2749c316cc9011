"""``vov3d demo``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from vov3d.cli.arguments import add_machine, existing, new_folder
from vov3d.cli.parser import Parser
from vov3d.cli.verb import Answer, Verb


def add_arguments(parser: Parser) -> None:
    """Everything may be left out."""
    parser.add_argument(
        "--out", type=new_folder, default=Path("runs/demo"), metavar="DIR", help="the run's folder [runs/demo]"
    )
    parser.add_argument("--data", type=existing, metavar="PATH", help="your own videos, as for train [draws its own]")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    add_machine(parser)


def run(args: Namespace) -> Answer:
    """Run the demonstration."""
    from vov3d.demo import demo

    page = demo(args.out, data=args.data, device=args.device, workers=args.workers, quiet=args.quiet)
    return Answer({"out": args.out, "report": page}, f"see {page}")


VERB = Verb(
    name="demo",
    help="the whole way in minutes: draw videos, train, test, predict, report",
    usage="vov3d demo [options]",
    description=(
        "Go the whole way on videos that it draws itself, or on yours: train VoV3D-S, test it with its frames in "
        "order, shuffled and reversed, predict one video, and write a report."
    ),
    examples=(
        ("everything", "vov3d demo"),
        ("somewhere else", "vov3d demo --out /tmp/demo"),
        ("your own videos", "vov3d demo --data videos --out runs/mine"),
    ),
    add_arguments=add_arguments,
    run=run,
)
