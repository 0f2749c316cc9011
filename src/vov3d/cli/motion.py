"""``vov3d motion``."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from vov3d.cli.arguments import new_folder, one_of, whole
from vov3d.cli.output import facts, shell_command
from vov3d.cli.parser import Parser
from vov3d.cli.verb import Answer, Verb


def add_arguments(parser: Parser) -> None:
    """Where, how many, how large."""
    parser.add_argument("--out", type=new_folder, required=True, metavar="DIR", help="the folder to make")
    parser.add_argument(
        "--families",
        default="basic",
        metavar="NAMES",
        help="families of classes, with commas between them: direction, there-and-back, rotation, depth, events and "
        "speed, which are `basic`, the 14 classes of the demo; acceleration, repetition, tempo and shapes, which `all` "
        "adds, 45 classes [basic]",
    )
    parser.add_argument(
        "--difficulty",
        type=one_of("difficulty", "easy", "medium", "hard"),
        default="easy",
        metavar="NAME",
        help="easy, medium or hard: how large the actor is, how busy all else, how steady the camera [easy]",
    )
    parser.add_argument(
        "--train-per-class", type=whole(1), default=40, metavar="N", help="videos of each class to train on [40]"
    )
    parser.add_argument(
        "--val-per-class", type=whole(1), default=10, metavar="N", help="videos of each class to test on [10]"
    )
    parser.add_argument(
        "--test-per-class", type=whole(0), default=0, metavar="N", help="videos of each class for a last test [0]"
    )
    parser.add_argument(
        "--size", type=whole(32, 2048), default=96, metavar="PIXELS", help="side of the square videos, even [96]"
    )
    parser.add_argument("--seed", type=whole(0), default=0, metavar="N", help="another seed, other videos [0]")


def run(args: Namespace) -> Answer:
    """Write the set."""
    from vov3d.data.motion import BASIC_FAMILIES, DIFFICULTIES, MOTION_FAMILIES, classes_of, write_motion_set
    from vov3d.data.motion.classes import Split
    from vov3d.progress import task_progress

    named: dict[str, Sequence[str]] = {"basic": BASIC_FAMILIES, "all": tuple(MOTION_FAMILIES)}
    families = [family for name in args.families.split(",") for family in named.get(name, (name,))]
    classes = classes_of(families)
    counts: dict[Split, int] = {"train": args.train_per_class, "val": args.val_per_class}
    if args.test_per_class:
        counts["test"] = args.test_per_class
    with task_progress("videos") as on_progress:
        out = write_motion_set(
            args.out,
            families=families,
            videos_per_class=counts,
            size=args.size,
            seed=args.seed,
            difficulty=DIFFICULTIES[args.difficulty],
            on_progress=on_progress,
        )
    num_videos = {split: count * len(classes) for split, count in counts.items()}
    value = {"out": out, "labels": classes, "num_videos": num_videos}
    rows = {
        "written": out,
        "classes": ", ".join(classes),
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
        ("all 45 classes, with a test set", "vov3d motion --out all --families all --test-per-class 10"),
        ("fewer and harder", "vov3d motion --out hard --families direction,shapes --difficulty hard"),
        ("other videos of the same kind", "vov3d motion --out other --seed 1"),
    ),
    add_arguments=add_arguments,
    run=run,
)
