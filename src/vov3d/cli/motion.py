"""``vov3d motion``."""

from __future__ import annotations

from argparse import Namespace

from vov3d.cli.arguments import new_folder, whole
from vov3d.cli.output import facts, shell_command
from vov3d.cli.parser import Parser
from vov3d.cli.verb import Answer, Verb


def add_arguments(parser: Parser) -> None:
    """Where, how many, how large."""
    parser.add_argument("--out", type=new_folder, required=True, metavar="DIR", help="the folder to make")
    parser.add_argument(
        "--train-per-class", type=whole(1), default=40, metavar="N", help="videos of each class to train on [40]"
    )
    parser.add_argument(
        "--val-per-class", type=whole(1), default=10, metavar="N", help="videos of each class to test on [10]"
    )
    parser.add_argument(
        "--size", type=whole(32, 2048), default=96, metavar="PIXELS", help="side of the square videos, even [96]"
    )
    parser.add_argument("--seed", type=whole(0), default=0, metavar="N", help="another seed, other videos [0]")


def run(args: Namespace) -> Answer:
    """Write the set."""
    from vov3d.data.motion import MOTION_CLASSES, write_motion_set

    counts = {"train": args.train_per_class, "val": args.val_per_class}
    from vov3d.progress import task_progress

    with task_progress("videos") as on_progress:
        out = write_motion_set(
            args.out, videos_per_class=counts, size=args.size, seed=args.seed, on_progress=on_progress
        )
    num_videos = {split: count * len(MOTION_CLASSES) for split, count in counts.items()}
    value = {"out": out, "labels": MOTION_CLASSES, "num_videos": num_videos}
    rows = {
        "written": out,
        "classes": ", ".join(MOTION_CLASSES),
        "videos": ", ".join(f"{count} {split}" for split, count in num_videos.items()),
        "next": shell_command("vov3d", "train", "motion/vov3d_s_16", "--data", out, "--out", "runs/motion"),
    }
    return Answer(value, facts(rows))


VERB = Verb(
    name="motion",
    help="draw a small data set whose classes are motions",
    usage="vov3d motion --out DIR [options]",
    description=(
        "Draw videos whose classes differ in motion alone, so that no single frame tells them apart: "
        "something to try the whole way on, and a test of whether a network sees time. The same seed draws "
        "the same videos."
    ),
    examples=(
        ("the set that the demo uses", "vov3d motion --out motion"),
        ("a larger one", "vov3d motion --out large --train-per-class 400 --val-per-class 50 --size 128"),
        ("other videos of the same kind", "vov3d motion --out other --seed 1"),
    ),
    add_arguments=add_arguments,
    run=run,
)
