"""``vov3d report``."""

from __future__ import annotations

from argparse import Namespace

from vov3d.cli.arguments import existing
from vov3d.cli.parser import Parser
from vov3d.cli.verb import Answer, Verb


def add_arguments(parser: Parser) -> None:
    """A run."""
    parser.add_argument("run", type=existing, metavar="RUN", help="the folder that `vov3d train --out` wrote")


def run(args: Namespace) -> Answer:
    """Write the page."""
    from vov3d.report import report

    page = report(args.run)
    return Answer({"report": page}, f"written {page}")


VERB = Verb(
    name="report",
    help="write one page that says what a run found",
    usage="vov3d report RUN",
    description=(
        "Write RUN/report.html: accuracy, curves, classes, confusions, controls, and all that is needed to "
        "do it again. The page is one file that needs no network: mail it, archive it, print it."
    ),
    examples=(
        ("the page of one run", "vov3d report runs/first"),
        ("with the control in it", "vov3d evaluate runs/first/last.safetensors --data videos --frame-order shuffled"),
        ("where it was written, for a program", "vov3d report runs/first --json"),
    ),
    add_arguments=add_arguments,
    run=run,
)
