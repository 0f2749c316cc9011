"""``vov3d evaluate``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from vov3d.cli.arguments import (
    add_cache,
    add_data,
    add_fast,
    add_machine,
    add_views,
    checkpoint,
    new_folder,
    one_of,
    whole,
)
from vov3d.cli.output import duration, facts, percent, table
from vov3d.cli.parser import Parser
from vov3d.cli.verb import Answer, Verb

if TYPE_CHECKING:
    from vov3d.evaluation import Evaluation, Metrics

WEAKEST_SHOWN = 5


def add_arguments(parser: Parser) -> None:
    """What to test, on what, from which views."""
    parser.add_argument(
        "checkpoint", type=checkpoint, metavar="CHECKPOINT", help="the weights, such as RUN/last.safetensors"
    )
    add_data(parser)
    parser.add_argument("--split", default="val", metavar="NAME", help="part of the data: train, val, test, all [val]")
    parser.add_argument(
        "--out",
        type=new_folder,
        metavar="DIR",
        help="where tables go [evaluation in the checkpoint's run, or evaluation-shuffled, evaluation-bf16, ...]",
    )
    add_views(parser)
    parser.add_argument(
        "--crop", type=whole(32, 10_000), metavar="PIXELS", help="shorter side and square crop [the recipe's test.crop]"
    )
    parser.add_argument(
        "--frame-order",
        type=one_of("frame order", "given", "shuffled", "reversed"),
        default="given",
        metavar="given|shuffled|reversed",
        help="a control: what is left of the accuracy when the frames of each clip change places [given]",
    )
    parser.add_argument(
        "--batch-size", type=whole(1), metavar="N", help="videos computed at a time [by the number of views]"
    )
    parser.add_argument(
        "--allow-missing", action="store_true", help="leave out videos that cannot be decoded, and say how many"
    )
    add_machine(parser)
    add_fast(parser)
    add_cache(parser)


def run(args: Namespace) -> Answer:
    """Evaluate."""
    from vov3d.evaluate import evaluate
    from vov3d.progress import task_progress

    with task_progress("videos") as on_progress:
        result = evaluate(
            args.checkpoint,
            args.data,
            split=args.split,
            clips=args.clips,
            crops=args.crops,
            crop=args.crop,
            frame_order=args.frame_order,
            out=args.out or _folder_in_run(args.checkpoint, args.frame_order, args.fast),
            device=args.device,
            workers=args.workers,
            cache=args.cache,
            batch_size=args.batch_size,
            allow_missing=args.allow_missing,
            fast=args.fast,
            on_progress=on_progress,
        )
    return Answer(result.metrics, _text(result))


def _folder_in_run(checkpoint: Path, frame_order: str, fast: str | None) -> Path | None:
    """Where ``vov3d report`` looks for the test of a run; None for a checkpoint that lies in no run."""
    run = checkpoint.parent
    if not (run / "recipe.yaml").is_file():
        return None
    order = "" if frame_order == "given" else f"-{frame_order}"
    return run / f"evaluation{order}{'' if fast is None else f'-{fast}'}"


def _text(result: Evaluation) -> str:
    found = result.metrics
    summary = facts(
        {
            **(_several_labels(found) if found.multi_label else _one_label(found)),
            "videos": f"{found.num_videos} of {found.num_classes} classes, split {found.split}",
            "views": f"{found.num_clips} clips x {found.num_crops} crops of {found.crop} pixels",
            "frame order": None if found.frame_order == "given" else found.frame_order,
            "engine": found.engine,
            "left out": f"{len(found.missing)} videos that cannot be decoded" if found.missing else None,
            "time": duration(found.seconds) + (f", {found.bound}" if found.bound else ""),
            "tables": result.out,
        }
    )
    scores = [
        (row.average_precision if found.multi_label else row.top1, row) for row in found.per_class if row.num_videos
    ]
    weakest = sorted(scores, key=lambda one: one[0] or 0.0)[:WEAKEST_SHOWN]
    rows = [(row.label, str(row.num_videos), percent(value)) for value, row in weakest]
    name = "average precision %>" if found.multi_label else "top-1 %>"
    return f"{summary}\n\n" + table(("weakest classes", "videos>", name), rows)


def _one_label(found: Metrics) -> dict[str, object]:
    return {
        "top-1": f"{percent(found.top1)} %  (chance {percent(found.chance)} %)",
        "top-5": f"{percent(found.top5)} %",
        "mean over classes": f"{percent(found.macro_top1)} %",
    }


def _several_labels(found: Metrics) -> dict[str, object]:
    return {
        "mAP": f"{percent(found.mean_average_precision)} %  (chance about {percent(found.chance)} %)",
        "hit at 1": f"{percent(found.top1)} %  (the best class is a label of the video)",
        "hit at 5": f"{percent(found.top5)} %",
    }


VERB = Verb(
    name="evaluate",
    help="test a network: accuracy, by class, confusions, controls",
    usage="vov3d evaluate CHECKPOINT --data PATH [options]",
    description=(
        "Test a network as the paper does: average the probabilities of several views of each video, then "
        "count top-1 and top-5, or, with several labels a video, measure mean average precision. Every "
        "video counts: one that cannot be decoded is an error, or is left out in plain sight with "
        "--allow-missing."
    ),
    examples=(
        ("as the recipe says", "vov3d evaluate runs/first/last.safetensors --data videos"),
        ("one view, the quickest", "vov3d evaluate runs/first/last.safetensors --data videos --clips 1 --crops 1"),
        ("what does int8 cost?", "vov3d evaluate runs/first/last.safetensors --data videos --fast int8"),
        ("does order matter?", "vov3d evaluate runs/first/last.safetensors --data videos --frame-order shuffled"),
    ),
    add_arguments=add_arguments,
    run=run,
)
