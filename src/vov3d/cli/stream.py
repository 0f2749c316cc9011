"""``vov3d stream``."""

from __future__ import annotations

import sys
from argparse import Namespace

from vov3d.cli.arguments import checkpoint, existing, fraction, whole
from vov3d.cli.output import percent
from vov3d.cli.parser import Parser
from vov3d.cli.verb import Answer, Verb


def add_arguments(parser: Parser) -> None:
    """The network, the video, and how often to answer."""
    parser.add_argument(
        "checkpoint", type=checkpoint, metavar="CHECKPOINT", help="weights trained with --model.causal true"
    )
    parser.add_argument("source", type=existing, metavar="SOURCE", help="a video file, or a folder of frames")
    parser.add_argument(
        "--step", type=fraction(0.01, 10_000), metavar="X", help="video frames from one seen to the next [as trained]"
    )
    parser.add_argument("--every", type=whole(1), default=1, metavar="N", help="frames seen from answer to answer [1]")
    parser.add_argument("--top-k", type=whole(1), default=1, metavar="K", help="classes to name each time [1]")
    parser.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:1, mps [auto]")


def run(args: Namespace) -> Answer:
    """Answer while the video goes on."""
    from vov3d.stream import stream

    found = []
    moments = stream(
        args.checkpoint, args.source, step=args.step, every=args.every, top_k=args.top_k, device=args.device
    )
    for moment in moments:
        found.append(moment)
        if not args.json:
            named = ", ".join(f"{label} {percent(probability)} %" for label, probability in moment.top)
            sys.stdout.write(f"{moment.seconds:8.2f} s  frame {moment.frame:6d}  {named}\n")
            sys.stdout.flush()
    return Answer(found, f"{len(found)} answers")


VERB = Verb(
    name="stream",
    help="say what is to be seen while a video goes on",
    usage="vov3d stream CHECKPOINT SOURCE [options]",
    description=(
        "Show a video frame by frame to a network that never looks ahead, and name after each frame the most "
        "probable classes of all frames so far. The network is one that was trained with --model.causal true, "
        "or a MoViNet-Stream."
    ),
    examples=(
        ("a video, at the pace of the training", "vov3d stream runs/first/last.safetensors my.mp4"),
        (
            "every second frame, and few answers",
            "vov3d stream runs/first/last.safetensors my.mp4 --step 2 --every 10",
        ),
        ("for another program", "vov3d stream runs/first/last.safetensors my.mp4 --top-k 5 --json"),
    ),
    add_arguments=add_arguments,
    run=run,
)
