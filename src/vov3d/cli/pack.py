"""``vov3d pack``."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from vov3d.cli.arguments import add_data, new_folder, whole
from vov3d.cli.output import facts, shell_command
from vov3d.cli.parser import Parser
from vov3d.cli.verb import Answer, Verb

if TYPE_CHECKING:
    from vov3d.pack import PackResult

LEFT_OUT_SHOWN = 10


def add_arguments(parser: Parser) -> None:
    """From where, to where, and how large the pieces are."""
    add_data(parser)
    parser.add_argument("out", type=new_folder, metavar="OUT", help="the folder to make; it must not be there")
    parser.add_argument(
        "--shard-mib", type=whole(1), default=256, metavar="MIB", help="a shard that holds so much is full [256]"
    )
    parser.add_argument(
        "--seed", type=whole(0), default=0, metavar="N", help="another seed, another order of the training videos [0]"
    )
    parser.add_argument("--workers", type=whole(1), metavar="N", help="threads that read and open videos [by cores]")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(args: Namespace) -> Answer:
    """Pack."""
    from vov3d.pack import pack
    from vov3d.progress import task_progress

    with task_progress("videos", quiet=args.quiet) as on_progress:
        result = pack(
            args.data,
            args.out,
            shard_mib=args.shard_mib,
            seed=args.seed,
            workers=args.workers,
            on_progress=on_progress,
        )
    return Answer(result, _text(result), code=int(bool(result.left_out)))


def _text(result: PackResult) -> str:
    shown = [f"{one.split} {one.name!r}: {one.reason}" for one in result.left_out[:LEFT_OUT_SHOWN]]
    if len(result.left_out) > LEFT_OUT_SHOWN:
        shown.append(f"and {len(result.left_out) - LEFT_OUT_SHOWN} more, all of them in pack.json")
    return facts(
        {
            "written": result.out,
            "videos": ", ".join(f"{number} {split}" for split, number in result.num_videos.items()),
            "shards": f"{result.num_shards}, together {result.num_bytes / 2**20:.1f} MiB",
            **{f"left out {number}": text for number, text in enumerate(shown, start=1)},
            "next": shell_command("vov3d", "train", "RECIPE", "--data", result.out, "--out", "RUN"),
        }
    )


VERB = Verb(
    name="pack",
    help="put the videos of a large data set into shards",
    usage="vov3d pack --data PATH OUT [options]",
    description=(
        "Copy videos, byte for byte, into a few large tar files (WebDataset's layout) that training reads from begin "
        "to end, from a disk or from object storage. Labels, splits and frames stay as they were; give the folder, or "
        "the URL it was copied to, as --data. Videos that do not open are left out and named, and the exit code is 1."
    ),
    examples=(
        ("pack a data set", "vov3d pack --data kinetics packed"),
        ("train on it", "vov3d train k400/vov3d_m_16 --data packed --out runs/k400"),
        (
            "train on it from where it was copied to",
            "vov3d train k400/vov3d_m_16 --data https://host/packed --out runs/k400",
        ),
    ),
    add_arguments=add_arguments,
    run=run,
)
