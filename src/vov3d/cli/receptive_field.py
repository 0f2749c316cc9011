"""``vov3d receptive-field``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from vov3d.cli.arguments import new_folder, whole
from vov3d.cli.output import facts, table
from vov3d.cli.parser import Parser
from vov3d.cli.verb import Answer, Verb

if TYPE_CHECKING:
    from vov3d.receptive_field import Field, ReceptiveField


def add_arguments(parser: Parser) -> None:
    """The network, and the clips to measure it on."""
    parser.add_argument("model", metavar="MODEL", help="a name from `vov3d models`, or a checkpoint")
    parser.add_argument("--frames", type=whole(2, 1000), default=32, metavar="T", help="frames of the clips [32]")
    parser.add_argument("--crop", type=whole(32, 2048), default=64, metavar="PIXELS", help="side of the clips [64]")
    parser.add_argument("--clips", type=whole(1, 1000), default=1, metavar="N", help="clips to measure on [1]")
    parser.add_argument(
        "--seed", type=whole(0, 2**32 - 2), default=0, metavar="N", help="of fresh weights and of the clips [0]"
    )
    parser.add_argument("--layers", action="store_true", help="list every layer that mixes frames, not blocks alone")
    parser.add_argument(
        "--out",
        type=new_folder,
        metavar="DIR",
        help="where plot and JSON go [receptive-field in the checkpoint's run]",
    )


def run(args: Namespace) -> Answer:
    """Find the fields."""
    from vov3d.progress import task_progress
    from vov3d.receptive_field import receptive_field

    with task_progress("modules") as on_progress:
        result = receptive_field(
            args.model,
            frames=args.frames,
            crop=args.crop,
            clips=args.clips,
            seed=args.seed,
            out=args.out or _folder_in_run(Path(args.model)),
            on_progress=on_progress,
        )
    return Answer(result, _text(result, with_layers=args.layers))


def _folder_in_run(checkpoint: Path) -> Path | None:
    """Where the results of a checkpoint go; None for one that lies in no run, and for a name."""
    run = checkpoint.parent
    return run / "receptive-field" if checkpoint.is_file() and (run / "recipe.yaml").is_file() else None


def _text(result: ReceptiveField, *, with_layers: bool) -> str:
    clips = "clip" if result.num_clips == 1 else "clips"
    about = {
        "model": f"{result.model}, {'as trained' if result.trained else 'fresh'}",
        "measured on": f"{result.num_clips} {clips} of noise, {result.num_frames} frames of {result.crop} pixels",
        "files": result.out,
    }
    shown = [field for field in result.fields if with_layers or field.kind != "layer"]
    rows = [(field.kind, field.name, *_numbers(field)) for field in shown]
    columns = ("kind", "output of", "sees of its input>", "frames, in theory>", "from>", "to>", "95% within>")
    return facts(about) + "\n\n" + table(columns, rows)


def _numbers(field: Field) -> tuple[str, ...]:
    if field.frames is None:
        return "all", "all", "", "", str(field.effective)
    return str(field.of_input), str(field.frames), f"{field.first:+d}", f"{field.last:+d}", str(field.effective)


VERB = Verb(
    name="receptive-field",
    help="what each layer of a network sees of the frames, in theory and in fact",
    usage="vov3d receptive-field MODEL [options]",
    description=(
        "Find the temporal receptive field of every layer, T-OSA branch and block, as in the paper's Figure 1. In "
        "theory it is what kernels, shifts and pooling reach; means over all frames, as in squeeze-and-excitation, "
        "count as constants, or everything would see everything. Measured is the squared gradient of the middle "
        "position with respect to each frame, and the shortest run of frames that holds 95% of it. A network by name "
        "is fresh: its norms that start at zero are set to one."
    ),
    examples=(
        ("Figure 1", "vov3d receptive-field vov3d_m --out figure1"),
        ("what your network looks at", "vov3d receptive-field runs/first/last.safetensors"),
        ("only the numbers, for a program", "vov3d receptive-field x3d_m --json"),
    ),
    add_arguments=add_arguments,
    run=run,
)
