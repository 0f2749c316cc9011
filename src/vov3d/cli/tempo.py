"""``vov3d tempo``."""

from __future__ import annotations

from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from vov3d.cli.arguments import add_cache, add_data, add_machine, add_views, existing, fraction, new_folder, whole
from vov3d.cli.output import duration, facts, percent, table
from vov3d.cli.parser import Parser
from vov3d.cli.verb import Answer, Verb

if TYPE_CHECKING:
    from vov3d.tempo import Pace, Tempo

Item = TypeVar("Item")
ORDERS = ("reversed", "shuffled")


def add_arguments(parser: Parser) -> None:
    """What to test, on what, and how fast."""
    parser.add_argument(
        "checkpoints",
        type=existing,
        nargs="+",
        metavar="CHECKPOINT",
        help="the weights, such as RUN/last.safetensors; several are compared",
    )
    add_data(parser)
    parser.add_argument(
        "--strides",
        type=_list_of(whole(1, 1000)),
        default=(5, 8, 10, 12, 14, 16),
        metavar="K,...",
        help="of dense clips, frames from one to the next at 30 per second [those of Figure 4: 5,8,10,12,14,16]",
    )
    parser.add_argument(
        "--speeds",
        type=_list_of(_speed),
        default=(0.5, 1.0, 2.0, *ORDERS),
        metavar="S,...",
        help="how many times as fast the videos play, and other orders of frames [0.5,1,2,reversed,shuffled]",
    )
    parser.add_argument("--split", default="val", metavar="NAME", help="part of the data: train, val, test, all [val]")
    parser.add_argument(
        "--out", type=new_folder, metavar="DIR", help="where tables and plots go [tempo in the run of one checkpoint]"
    )
    add_views(parser)
    parser.add_argument(
        "--crop", type=whole(32, 10_000), metavar="PIXELS", help="shorter side and square crop [the recipe's test.crop]"
    )
    parser.add_argument(
        "--batch-size", type=whole(1), metavar="N", help="videos computed at a time [by the number of views]"
    )
    parser.add_argument(
        "--allow-missing", action="store_true", help="leave out videos that cannot be decoded, and say how many"
    )
    add_machine(parser)
    add_cache(parser)


def run(args: Namespace) -> Answer:
    """Test at every pace."""
    from vov3d.progress import task_progress
    from vov3d.tempo import tempo

    with task_progress("videos") as on_progress:
        result = tempo(
            args.checkpoints,
            args.data,
            strides=args.strides,
            speeds=[one for one in args.speeds if one not in ORDERS],
            orders=[one for one in args.speeds if one in ORDERS],
            split=args.split,
            clips=args.clips,
            crops=args.crops,
            crop=args.crop,
            out=args.out or _folder_in_run(args.checkpoints),
            device=args.device,
            workers=args.workers,
            batch_size=args.batch_size,
            cache=args.cache,
            allow_missing=args.allow_missing,
            on_progress=on_progress,
        )
    return Answer(result, _text(result))


def _list_of(read: Callable[[str], Item]) -> Callable[[str], tuple[Item, ...]]:
    """Values with commas between them; an empty list asks for nothing."""
    return lambda text: tuple(read(part.strip()) for part in text.split(",")) if text.strip() else ()


def _speed(text: str) -> float | str:
    """A speed, such as 0.5 or x0.5, or the name of an order."""
    if text in ORDERS:
        return text
    try:
        return fraction(0.01, 100)(text.removeprefix("x"))
    except ArgumentTypeError:
        raise ArgumentTypeError(f"{text!r} is neither a speed from 0.01 to 100 nor {' nor '.join(ORDERS)}") from None


def _folder_in_run(checkpoints: list[Path]) -> Path | None:
    """Where the results of one checkpoint go; None for several, and for one that lies in no run."""
    run = checkpoints[0].parent
    return run / "tempo" if len(checkpoints) == 1 and (run / "recipe.yaml").is_file() else None


def _text(result: Tempo) -> str:
    networks = result.networks
    heads = [networks[0].score_name + " %"] if len(networks) == 1 else [network.name for network in networks]
    rows = {"as trained": {network.name: (percent(network.score), "") for network in networks}}
    for network in networks:
        for pace in (*network.strides, *network.speeds):
            rows.setdefault(pace.name, {})[network.name] = (percent(pace.score), _change(pace))
    trained = {
        network.name: f"{network.num_frames} frames, "
        + (f"stride {network.frame_stride}" if network.frame_stride else "segments of the whole video")
        for network in networks
    }
    about = {
        "videos": f"{max(network.num_videos for network in networks)}, split {result.split}",
        **{(name if len(networks) > 1 else "trained on"): clips for name, clips in trained.items()},
        "scores": f"{networks[0].score_name} in %, changes in points" if len(networks) > 1 else None,
        "note": "; ".join(result.notes) or None,
        "time": duration(result.seconds),
        "tables": result.out,
    }
    body = [(name, *(cell for one in networks for cell in row.get(one.name, ("-", "-")))) for name, row in rows.items()]
    columns = ("pace", *(column for head in heads for column in (f"{head}>", "change>")))
    return facts(about) + "\n\n" + table(columns, body)


def _change(pace: Pace) -> str:
    """The change in points, and how far off it may be."""
    margin = "" if pace.change_margin is None else f" ± {100 * pace.change_margin:.1f}"
    return f"{100 * pace.change:+.1f}{margin}"


VERB = Verb(
    name="tempo",
    help="test networks at other frame strides and playback speeds",
    usage="vov3d tempo CHECKPOINT [CHECKPOINT ...] --data PATH [options]",
    description=(
        "Test networks at another pace than they were trained at, as in the paper's Figure 4: dense clips at other "
        "strides, videos that play slower or faster, frames in another order. Changes are in points of the score at "
        "the pace of the training; what stands behind ± is half of their 95% interval, video by video. A network that "
        "sees segments of the whole video has no stride to change: it is tested at speeds alone."
    ),
    examples=(
        ("Figure 4, with your networks", "vov3d tempo runs/first/last.safetensors --data videos"),
        (
            "two networks in one plot",
            "vov3d tempo runs/first/last.safetensors runs/other/last.safetensors --data videos --out both",
        ),
        ("speeds of your own", "vov3d tempo runs/first/last.safetensors --data videos --speeds 0.25,0.5,1,2,4"),
    ),
    add_arguments=add_arguments,
    run=run,
)
