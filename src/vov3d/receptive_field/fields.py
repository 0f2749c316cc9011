"""Temporal receptive fields of a network, theoretical and measured."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from vov3d.errors import ArgumentError
from vov3d.files import write_text
from vov3d.models import TOSA, ClipClassifier
from vov3d.plots import FieldRow, field_chart
from vov3d.receptive_field.gradients import SHARE, effective_frames, measure_energy, settle
from vov3d.receptive_field.marks import Seen, Span, find_spans
from vov3d.trained import load_network

Kind = Literal["stem", "layer", "branch", "block"]


@dataclass(frozen=True)
class Field:
    """What one position of a feature map sees of the frames.

    Attributes:
        name: of the module whose output it is.
        kind: the stem; a layer, the smallest module that sees more frames than it is given; a branch of a T-OSA; a
            block.
        stride: frames from one position to the next.
        frames: theoretical field in frames of the clip; ``None`` for the whole clip, however long it is.
        first: its first frame, counted from the one that the position stands for.
        last: its last frame, likewise.
        of_input: field in positions of what the module is given; for a branch, of what its T-OSA is given.
        energy: share of each frame of the clip in the squared gradient of its middle position.
        effective: the shortest run of frames that holds 95% of it.
    """

    name: str
    kind: Kind
    stride: int
    frames: int | None
    first: int | None
    last: int | None
    of_input: int | None
    energy: tuple[float, ...]
    effective: int


@dataclass(frozen=True)
class ReceptiveField:
    """The fields of a network.

    Attributes:
        model: name of the network.
        trained: whether its weights are those of a checkpoint.
        num_frames: frames of the clips that fields were measured on.
        crop: height and width of the clips, in pixels.
        num_clips: how many clips.
        fields: in the order in which they are computed.
        out: folder with the files, if any were written.
    """

    model: str
    trained: bool
    num_frames: int
    crop: int
    num_clips: int
    fields: tuple[Field, ...]
    out: Path | None = None

    @property
    def position(self) -> int:
        """The frame that the measured positions stand for, where strides divide the clip."""
        return self.num_frames // 2


def receptive_field(
    model: str | Path,
    *,
    frames: int = 32,
    crop: int = 64,
    clips: int = 1,
    seed: int = 0,
    out: str | Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> ReceptiveField:
    """Find the temporal receptive field of each layer, each T-OSA branch and each block, in theory and by gradients.

    In theory means over all frames, as in squeeze-and-excitation, are numbers that do not depend on the frames: with
    them every field would be the whole clip. What is measured has them. A network by name is fresh: norms that start at
    zero are set to one, and take their statistics from noise.

    Args:
        model: a name of `vov3d.list_models()`, or a checkpoint.
        frames: frames of the clips that fields are measured on; the theory needs none.
        crop: height and width of these clips, in pixels.
        clips: how many.
        seed: of fresh weights and of the clips, which are noise.
        out: folder for ``receptive_field.json`` and ``receptive_field.svg``.
        on_progress: called with (modules measured, all modules).

    Raises:
        ArgumentError: for an unknown name, or clips that are too small.
        CheckpointError: if the checkpoint cannot be read.

    Source: Figure 1.
    """
    if frames < 2 or crop < 32 or clips < 1:
        raise ArgumentError(f"{clips} clips of {frames} frames of {crop}x{crop}; at least 1 of 2 frames of 32x32")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        name, network, trained = load_network(model)
        if not trained:
            settle(network, num_frames=frames, crop=crop, num_clips=clips, seed=seed)
    fields = find_fields(network, frames=frames, crop=crop, clips=clips, seed=seed + 1, on_progress=on_progress)
    result = ReceptiveField(name, trained, frames, crop, clips, fields, None if out is None else Path(out))
    if result.out is not None:
        text = json.dumps({**asdict(result), "out": str(result.out)}, indent=1)
        write_text(result.out / "receptive_field.json", text + "\n")
        write_text(result.out / "receptive_field.svg", chart(result))
    return result


def find_fields(
    model: ClipClassifier,
    *,
    frames: int,
    crop: int,
    clips: int,
    seed: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[Field, ...]:
    """Return the fields of a network as it is; see `receptive_field`."""
    spans = find_spans(model)
    rows = list(_rows(model, spans))
    names = {name for name, _, _ in rows}
    settings = {"num_frames": frames, "crop": crop, "num_clips": clips, "seed": seed}
    energies = measure_energy(model, names, **settings, on_progress=on_progress)
    return tuple(_field(name, kind, spans[name], given, energies[name]) for name, kind, given in rows)


def chart(result: ReceptiveField) -> str:
    """Figure 1 for any network: what each block sees, and each branch of a T-OSA."""
    rows = [
        FieldRow(
            label=field.name if field.kind != "branch" else f"unit {field.name.rpartition('.')[2]}",
            energy=field.energy,
            span=None if field.first is None or field.last is None else (field.first, field.last),
            notes=("all" if field.frames is None else str(field.frames), str(field.effective)),
            indented=field.kind == "branch",
        )
        for field in result.fields
        if field.kind != "layer"
    ]
    title = f"Temporal receptive fields of {result.model}"
    heads = ("theory", f"{SHARE:.0%}")
    return field_chart(title, "frames from the position", rows, position=result.position, heads=heads)


def _rows(model: ClipClassifier, spans: dict[str, Seen]) -> Iterator[tuple[str, Kind, Span | None]]:
    """Yield name and kind of what is reported, and the span that its field is counted in."""
    blocks = {"stem"} | {
        f"stages.{number}.{name}" if isinstance(stage, nn.Sequential) else f"stages.{number}"
        for number, stage in enumerate(model.stages.children())
        for name in (dict(stage.named_children()) if isinstance(stage, nn.Sequential) else [""])
    }
    branches = {
        f"{name}.units.{number}": spans[name].given
        for name, module in model.named_modules()
        if isinstance(module, TOSA)
        for number in range(len(module.units))
    }
    wider = {name for name, seen in spans.items() if _widens(seen)}
    layers = {name for name in wider if not any(other.startswith(f"{name}.") for other in wider)}
    for name, seen in spans.items():
        if seen.made is None:
            continue
        if name in layers - blocks:
            yield name, "layer", seen.given
        if name in branches:
            yield name, "branch", branches[name]
        if name in blocks:
            yield name, "stem" if name == "stem" else "block", seen.given


def _widens(seen: Seen) -> bool:
    """Whether a module sees more frames than it is given."""
    if seen.given is None or seen.made is None or seen.given.extent is None:
        return False
    return seen.made.extent is None or seen.made.extent > seen.given.extent


def _field(name: str, kind: Kind, seen: Seen, given: Span | None, energy: list[float]) -> Field:
    assert seen.made is not None
    frames, before = seen.made.extent, given.extent if given is not None else None
    return Field(
        name=name,
        kind=kind,
        stride=seen.made.stride,
        frames=frames,
        first=seen.made.first,
        last=seen.made.last,
        of_input=None if frames is None or before is None or given is None else (frames - before) // given.stride + 1,
        energy=tuple(energy),
        effective=effective_frames(energy),
    )
