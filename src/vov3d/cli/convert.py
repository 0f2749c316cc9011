"""``vov3d convert``."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from vov3d.cli.arguments import checkpoint, new_file
from vov3d.cli.output import facts
from vov3d.cli.parser import Parser
from vov3d.cli.verb import Answer, Verb

if TYPE_CHECKING:
    from vov3d.convert import ConversionReport


def add_arguments(parser: Parser) -> None:
    """Two files."""
    parser.add_argument("source", type=checkpoint, metavar="IN", help="a checkpoint, ours or a published one")
    parser.add_argument("destination", type=new_file, metavar="OUT", help=".safetensors is ours, .pyth is published")


def run(args: Namespace) -> Answer:
    """Convert."""
    from vov3d.convert import convert

    result = convert(args.source, args.destination)
    return Answer(result, _text(result))


def _text(result: ConversionReport) -> str:
    return facts(
        {
            "read": result.source,
            "written": result.destination,
            "model": result.model,
            "direction": result.direction,
            "tensors": f"{result.num_tensors}, all equal to the last bit",
            "note": "; ".join(result.notes) or None,
        }
    )


VERB = Verb(
    name="convert",
    help="turn published checkpoints into ours, and back",
    usage="vov3d convert IN OUT",
    description=(
        "Rename the tensors of a published checkpoint to ours; the network and the naming (PySlowFast, PyTorchVideo, "
        "mmaction2, timm, torchvision, the authors' own) are found out. VoV3D and X3D go the other way round too. "
        "Every tensor is carried over to the last bit, or nothing is written; --json lists both names of each."
    ),
    examples=(
        ("published to ours", "vov3d convert vov3d_m_k400.pyth vov3d_m_k400.safetensors"),
        ("ours to published", "vov3d convert runs/first/last.safetensors best.pyth"),
        ("see what became of each tensor", "vov3d convert x3d_m.pyth x3d_m.safetensors --json"),
    ),
    add_arguments=add_arguments,
    run=run,
)
