"""``vov3d check``."""

from __future__ import annotations

from argparse import Namespace

from vov3d.cli.arguments import add_data, whole
from vov3d.cli.output import printed
from vov3d.cli.parser import Parser
from vov3d.cli.verb import Answer, Verb


def add_arguments(parser: Parser) -> None:
    """The data, and how much of it to open."""
    add_data(parser)
    parser.add_argument("--max-videos", type=whole(1), metavar="N", help="open only so many videos of each split [all]")


def run(args: Namespace) -> Answer:
    """Check."""
    from vov3d.check import check, render
    from vov3d.progress import task_progress

    with task_progress("videos") as on_progress:
        result = check(args.data, max_videos=args.max_videos, on_progress=on_progress)
    is_wrong = any(verdict.level == "wrong" for verdict in result.verdicts)
    return Answer(result, printed(lambda console: render(result, console)), code=int(is_wrong))


VERB = Verb(
    name="check",
    help="look through a data set before training on it",
    usage="vov3d check --data PATH [options]",
    description=(
        "Say how a data set is understood, count its classes and videos, and open the videos to find those "
        "that cannot be decoded, before a training finds them. The exit code is 1 if something is wrong."
    ),
    examples=(
        ("all of it", "vov3d check --data videos"),
        ("a quick look at a large one", "vov3d check --data kinetics --max-videos 100"),
        ("train only on sound data", "vov3d check --data videos && vov3d train --data videos --out runs/first"),
    ),
    add_arguments=add_arguments,
    run=run,
)
