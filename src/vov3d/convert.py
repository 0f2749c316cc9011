"""``vov3d convert IN OUT``: published checkpoints to ours and back, bit by bit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from vov3d.checkpoint import JSON, read_checkpoint, write_checkpoint, write_published
from vov3d.errors import CheckpointError
from vov3d.models import create_model, is_causal, our_tensors, published_names, recognise
from vov3d.models.loading import layout_of, num_classes_of
from vov3d.models.published import COUNTER

PUBLISHED_SUFFIXES = (".pyth", ".pth")
SAME_ENTRIES = {
    "x3d_m": "X3D-XS, S and M",
    "slowfast_r50_8x8": "SlowFast 8x8 and 16x8",
    "i3d_nl_r50": "non-local networks with a softmax and MMAction2's with dot products, which compute something else,",
}
"""What a file cannot tell apart, by the name that it gets."""


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
        Every entry under both names. What a file lacks because it changes nothing is put in, what serves training alone
        is left out, and both are told.

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
    layout = layout_of(checkpoint, model)
    given = layout.names(model)
    written = published_names(model) if to_published else {ours: ours for ours in tensors}
    carried = [ours for ours in tensors if given.get(ours) in checkpoint.tensors]
    notes: list[str] = []
    made = sorted({ours.rpartition(".")[0] for ours in tensors.keys() - carried if not ours.endswith(COUNTER)})
    if made:
        notes.append(f"the file lacks what changes nothing in {', '.join(made)}: an identity was put in its place")
    left_out = [key for key in checkpoint.tensors if key.startswith(layout.left_out)]
    if left_out:
        notes.append(f"left out, for it serves training alone: {left_out[0]} and {len(left_out) - 1} more like it")
    if name in SAME_ENTRIES and checkpoint.published:
        notes.append(f"{SAME_ENTRIES[name]} share all names and shapes; the file is called {name}")
    if to_published:
        if is_causal(checkpoint):
            raise CheckpointError(f"{str(source)!r} is causal, which no published file says; convert to .safetensors")
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
