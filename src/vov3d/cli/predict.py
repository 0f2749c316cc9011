"""``vov3d predict``."""

from __future__ import annotations

import logging
import math
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vov3d.cli.arguments import add_fast, add_views, checkpoint, existing, new_file, one_of, whole
from vov3d.cli.output import percent, table, to_json
from vov3d.cli.parser import Parser
from vov3d.cli.verb import Answer, Verb
from vov3d.files import csv_text, write_text

if TYPE_CHECKING:
    from vov3d.predict import Prediction

log = logging.getLogger("vov3d")


def add_arguments(parser: Parser) -> None:
    """The network, the videos, and the form of the answer."""
    parser.add_argument(
        "checkpoint",
        type=checkpoint,
        metavar="CHECKPOINT",
        help="weights, such as RUN/last.safetensors; or motion, those of the package, which name motions",
    )
    parser.add_argument(
        "sources",
        type=_source,
        nargs="+",
        metavar="SOURCE",
        help="video files, folders of them, folders of frames, patterns such as '*.mp4'",
    )
    parser.add_argument("--top-k", type=whole(1), default=5, metavar="K", help="classes to name for each video [5]")
    add_views(parser)
    parser.add_argument(
        "--format",
        type=one_of("format", *_FORMS),
        metavar="|".join(_FORMS),
        help="the form of the answer [that of the ending of --out, else table]",
    )
    parser.add_argument("--out", type=new_file, metavar="FILE", help="write the answer here instead of printing it")
    parser.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:1, mps [auto]")
    add_fast(parser)


def run(args: Namespace) -> Answer:
    """Predict; write a file where one is asked for."""
    from vov3d.predict import predict

    found = predict(
        args.checkpoint,
        args.sources,
        top_k=args.top_k,
        clips=args.clips,
        crops=args.crops,
        device=args.device,
        fast=args.fast,
    )
    ending = args.out.suffix.removeprefix(".") if args.out else ""
    text = _FORMS[args.format or (ending if ending in _FORMS else "table")](found)
    if args.out:
        write_text(args.out, text + "\n")
        text = f"{len(found)} predictions in {args.out}"
    broken = [one for one in found if one.error]
    if broken:
        log.error("vov3d: %d of %d videos cannot be decoded, first %s", len(broken), len(found), _why(broken[0]))
    return Answer(_objects(found), text, code=2 if broken else 0)


def _why(one: Prediction) -> str:
    return f"{one.source!r}: {one.error}"


def _source(text: str) -> str:
    return text if any(sign in text for sign in "*?[") and not Path(text).exists() else str(existing(text))


def _objects(found: Sequence[Prediction]) -> list[dict[str, object]]:
    return [
        {
            "source": one.source,
            "top": [{"label": label, "probability": probability} for label, probability in one.top],
            "num_frames": one.num_frames,
            "duration_seconds": one.duration_seconds,
            "error": one.error,
        }
        for one in found
    ]


def _as_json(found: Sequence[Prediction]) -> str:
    return to_json(_objects(found))


def _as_csv(found: Sequence[Prediction]) -> str:
    rows = [
        (one.source, str(rank), label, f"{probability:.6f}", one.error or "")
        for one in found
        for rank, (label, probability) in enumerate(one.top or (("", math.nan),), start=1)
    ]
    return csv_text([("source", "rank", "label", "probability", "error"), *rows]).rstrip()


def _as_table(found: Sequence[Prediction]) -> str:
    rows = [
        (one.source if rank == 0 else "", label, percent(probability))
        for one in found
        for rank, (label, probability) in enumerate(one.top or ((f"cannot be decoded: {one.error}", math.nan),))
    ]
    shown = table(("video", "class", "probability %>"), rows)
    if all(one.exclusive for one in found):
        return shown
    return (
        f"{shown}\n\nThe network was trained with several labels a video: each probability is that of its class alone."
    )


_FORMS = {"table": _as_table, "json": _as_json, "csv": _as_csv}

VERB = Verb(
    name="predict",
    help="say what is to be seen in videos",
    usage="vov3d predict CHECKPOINT SOURCE... [options]",
    description=(
        "Name the most probable classes of each video, with their probabilities; those of a network trained "
        "with several labels a video need not sum to 100 %. A video that cannot be decoded is reported in "
        "its place, and the exit code is then 2."
    ),
    examples=(
        ("one video", "vov3d predict runs/first/last.safetensors my.mp4"),
        ("many, as a file for a spreadsheet", "vov3d predict runs/first/last.safetensors *.mp4 --out found.csv"),
        ("all videos of a folder, on a CPU", "vov3d predict runs/first/last.safetensors videos --fast bf16"),
        ("which motion it is, without any training", "vov3d predict motion my.mp4"),
        ("for another program", "vov3d predict runs/first/last.safetensors my.mp4 --top-k 1 --json"),
    ),
    add_arguments=add_arguments,
    run=run,
)
