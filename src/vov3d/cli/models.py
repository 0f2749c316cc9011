"""``vov3d models``."""

from __future__ import annotations

import inspect
from argparse import Namespace

from vov3d.cli.output import table
from vov3d.cli.parser import Parser, UsageError
from vov3d.cli.verb import Answer, Verb


def add_arguments(parser: Parser) -> None:
    """A pattern."""
    parser.add_argument(
        "pattern", nargs="?", default="*", metavar="PATTERN", help="names to list, such as 'x3d*' [all]"
    )


def run(args: Namespace) -> Answer:
    """List."""
    from vov3d.models import MODELS, list_models

    names = list_models(args.pattern) or list_models(f"*{args.pattern}*")
    about = {name: (inspect.getdoc(MODELS[name]) or "").split("\n")[0] for name in names}
    if not about:
        raise UsageError(f"no model matches {args.pattern!r}; there are {', '.join(list_models())}")
    value = [{"name": name, "about": line} for name, line in about.items()]
    return Answer(value, table(("model", "about"), about.items()))


VERB = Verb(
    name="models",
    help="list the networks",
    usage="vov3d models [PATTERN]",
    description="List the networks that recipes and `vov3d info` can name, with the paper's numbers.",
    examples=(
        ("all", "vov3d models"),
        ("some", "vov3d models 'vov3d*'"),
        ("more on one", "vov3d info vov3d_l"),
    ),
    add_arguments=add_arguments,
    run=run,
)
