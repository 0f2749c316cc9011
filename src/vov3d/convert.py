"""``vov3d convert IN OUT``: published checkpoints to ours and back, bit by bit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from vov3d.checkpoint import JSON, read_checkpoint, write_checkpoint, write_published
from vov3d.errors import CheckpointError
from vov3d.models import create_model, our_tensors, published_names, recognise
from vov3d.models.loading import layout_of, num_classes_of
from vov3d.models.published import COUNTER

PUBLISHED_SUFFIXES = (".pyth", ".pth")


@dataclass(frozen=True)
class ConversionReport:
    """What was converted.

    Attributes:
        source: the file read.
        destination: the file written.
        model: name of the model in the catalogue.
        direction: from which kind to which.
        num_tensors: entries carried over, each with the bits of its source.
        mapped: (name in the source, name in the destination) of every entry.
        notes: what a user should know.
    """

    source: str
    destination: str
    model: str
    direction: str
    num_tensors: int
    mapped: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def convert(source: str | Path, destination: str | Path) -> ConversionReport:
    """Convert a checkpoint; the ending of the destination decides: ``.safetensors`` ours, ``.pyth`` published.

    Args:
        source: a published checkpoint, in any of the namings in `vov3d.models.published`, or one of ours.
        destination: the file to write, whole or not at all.

    Returns:
        Every entry under both names; none is dropped. What a naming leaves out because it changes nothing is put in,
        and told.

    Raises:
        CheckpointError: if the source is unknown (it names the keys), has an entry too many or too few, no published
            file holds such a network, or the ending of the destination is neither.
    """
    source, destination = Path(source), Path(destination)
    to_published = destination.suffix in PUBLISHED_SUFFIXES
    if not to_published and destination.suffix != ".safetensors":
        raise CheckpointError(
            f"cannot convert to {str(destination)!r}: the ending must be .safetensors (ours) or .pyth (published)"
        )
    checkpoint = read_checkpoint(source)
    name = recognise(checkpoint, str(source))
    num_classes = num_classes_of(checkpoint.tensors)
    with torch.device("meta"):
        model = create_model(name, num_classes=num_classes)
    tensors = our_tensors(checkpoint, model, str(source))
    given = layout_of(checkpoint, model).names(model)
    written = published_names(model) if to_published else {ours: ours for ours in tensors}
    carried = [ours for ours in tensors if given.get(ours) in checkpoint.tensors]
    notes: list[str] = []
    made = sorted({ours.rpartition(".")[0] for ours in tensors.keys() - carried if not ours.endswith(COUNTER)})
    if made:
        notes.append(f"the file lacks what changes nothing in {', '.join(made)}: an identity was put in its place")
    if name == "x3d_m" and checkpoint.published:
        notes.append("X3D-XS, S and M share all names and shapes; the file is called x3d_m")
    if to_published:
        write_published(destination, {written[ours]: tensor for ours, tensor in tensors.items()})
        if checkpoint.description.get("labels"):
            notes.append("label names and preprocessing have no place in a published file and stay behind")
    else:
        description: dict[str, JSON] = dict(checkpoint.description) or {"model": name, "num_classes": num_classes}
        write_checkpoint(destination, tensors, description)
        if checkpoint.published:
            notes.append("a published file holds no label names; predictions show class numbers")
    kinds = ("published" if checkpoint.published else "vov3d", "published" if to_published else "vov3d")
    return ConversionReport(
        source=str(source),
        destination=str(destination),
        model=name,
        direction=" to ".join(kinds),
        num_tensors=len(carried),
        mapped=tuple((given[ours], written[ours]) for ours in carried),
        notes=tuple(notes),
    )
