"""``vov3d compare``."""

from __future__ import annotations

import logging
import signal
from argparse import Namespace
from typing import TYPE_CHECKING

from vov3d.cli.arguments import existing, fraction, new_folder, whole
from vov3d.cli.output import printed, table
from vov3d.cli.parser import Parser
from vov3d.cli.verb import Answer, Verb
from vov3d.interrupts import ENDINGS, Terminated

if TYPE_CHECKING:
    from vov3d.compare.comparison import Comparison, ComparisonInterrupted

log = logging.getLogger("vov3d")

SPARE_COSTS = ("M act.>", "spread>", "views>", "GMACs/video>")
SPARE_PRINTED = ("M params>", "start")
"""What a narrow terminal does without, the first of it first."""


def add_arguments(parser: Parser) -> None:
    """What to compare, at which input, on which machine."""
    parser.add_argument(
        "--models", nargs="+", metavar="NAME", help="names of `vov3d models`, or patterns such as 'x3d*' [the field]"
    )
    parser.add_argument("--frames", type=whole(1, 10_000), metavar="T", help="frames of every clip [each system's own]")
    parser.add_argument(
        "--crop", type=whole(32, 10_000), metavar="PIXELS", help="side of every clip [each system's own]"
    )
    parser.add_argument("--device", default="cpu", metavar="NAME", help="cpu, cuda, cuda:1, mps [cpu]")
    parser.add_argument("--threads", type=whole(1, 4096), metavar="N", help="threads on the CPU [torch's choice]")
    parser.add_argument(
        "--rounds", type=whole(1, 1000), default=3, metavar="N", help="timed runs of each network, in turns [3]"
    )
    parser.add_argument("--no-measure", action="store_true", help="count only, do not run the networks")
    parser.add_argument(
        "--memory-gib",
        type=fraction(0.01, 100_000),
        metavar="GIB",
        help="what one network may use; one that needs more is told so, and the rest go on; CUDA or Linux [no limit]",
    )
    parser.add_argument(
        "--results",
        nargs="+",
        type=existing,
        default=[],
        metavar="FILE",
        help="metrics.json of `vov3d evaluate`, or their folders or runs: accuracy measured here",
    )
    parser.add_argument(
        "--measured",
        type=existing,
        metavar="FILE",
        help="take times and memory from an earlier compare.json, or its folder",
    )
    parser.add_argument(
        "--out", type=new_folder, metavar="DIR", help="where compare.md, compare.json and plots go [nowhere]"
    )
    parser.add_argument("--markdown", action="store_true", help="print Markdown")


def run(args: Namespace) -> Answer:
    """Compare."""
    from vov3d.compare import compare
    from vov3d.compare.comparison import ComparisonInterrupted
    from vov3d.progress import task_progress

    try:
        with task_progress("runs") as on_progress:
            result = compare(
                args.models,
                frames=args.frames,
                crop=args.crop,
                device=args.device,
                threads=args.threads,
                rounds=0 if args.no_measure else args.rounds,
                memory_gib=args.memory_gib,
                results=args.results,
                measured=args.measured,
                out=args.out,
                on_progress=on_progress,
            )
    except ComparisonInterrupted as stop:
        return _until_now(stop, args)
    return _answer(result, args)


def _answer(result: Comparison, args: Namespace, code: int = 0) -> Answer:
    from vov3d.compare.page import markdown

    return Answer(result, markdown(result).rstrip("\n") if args.markdown else _text(result), code)


def _until_now(stop: ComparisonInterrupted, args: Namespace) -> Answer:
    """What was measured before Ctrl+C or SIGTERM is printed, though not written."""
    told, code = ENDINGS[signal.SIGTERM if isinstance(stop.__cause__, Terminated) else signal.SIGINT]
    unwritten = f"; {str(args.out)!r} is not written" if args.out is not None else ""
    log.warning("%s: here is what was measured until now%s", told, unwritten)
    return _answer(stop.comparison, args, code)


def _text(result: Comparison) -> str:
    from vov3d.compare.page import PRINTED, READING, measured_on
    from vov3d.compare.tables import cost_table, failures, notes, section_tables

    costs, parts = cost_table(result), []
    if costs.rows:
        about = READING if result.made_on is None else f"{READING} {measured_on(result)}"
        parts = [costs.title, table(costs.columns, costs.rows, gap=2, spare=SPARE_COSTS), _wrapped(about)]
        if broken := failures(result):
            parts.insert(2, "\n".join(map(_wrapped, broken)))
    sections = section_tables(result)
    for section in sections:
        parts += [section.title, table(section.columns, section.rows, gap=2, spare=SPARE_PRINTED)]
    if sections:
        parts.append(_wrapped(PRINTED))
    parts += [_wrapped(f"{number}  {note}") for number, note in enumerate(notes(result), 1)]
    return "\n\n".join(parts)


def _wrapped(text: str) -> str:
    return printed(lambda console: console.print(text.replace("`", ""), width=min(100, console.width)))


VERB = Verb(
    name="compare",
    help="every system of the paper, side by side: cost, time, accuracy",
    usage="vov3d compare [--models NAME ...] [--frames T] [--crop PIXELS] [options]",
    description=(
        "Count the parameters, multiply-adds and activations of the systems that the paper compares, measure their "
        "time and memory on this machine, and put them beside the published accuracies, with notes where what is "
        "published contradicts itself. Each system is shown the clip that its row was published with; --frames and "
        "--crop show all the same."
    ),
    examples=(
        ("the whole table, as published", "vov3d compare --out comparison"),
        ("all at the same input", "vov3d compare --frames 16 --crop 256"),
        ("two families, counted only", "vov3d compare --models 'vov3d*' 'x3d*' --no-measure"),
        ("beside a network of your own", "vov3d compare --models x3d_m --results runs/first/evaluation"),
    ),
    add_arguments=add_arguments,
    run=run,
)
