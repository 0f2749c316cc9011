"""From names to a finished comparison, and from a file back to one."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from pydantic import TypeAdapter, ValidationError

from vov3d.compare.costs import Clip, Cost, Measurement, count, parameters_of
from vov3d.compare.field import FIELD, Published
from vov3d.compare.measuring import Machine, MeasuringInterrupted, measure
from vov3d.compare.results import read_results
from vov3d.environment import describe_environment
from vov3d.errors import ArgumentError, DataError, unknown_name
from vov3d.models import MODELS

OWN_CLIP = (16, 224)
"""Frames and crop of a network that no row of the field has."""


@dataclass(frozen=True)
class Row:
    """A row of the field beside what is counted here.

    Attributes:
        published: what is printed.
        parameters: counted, with the row's number of classes; ``None`` for a model that is not built here.
        gmacs: counted, of one view, at the row's own clip, which its accuracy belongs to.
        gmacs_per_video: ``gmacs`` times the row's views.
    """

    published: Published
    parameters: int | None
    gmacs: float | None
    gmacs_per_video: float | None


@dataclass(frozen=True)
class MadeOn:
    """The machine of the measurements.

    Attributes:
        processor: its name; of a GPU, where one was used.
        threads: threads of an operator.
        torch: version.
        vov3d: version.
        rounds: timed runs of each network that were asked for.
    """

    processor: str
    threads: int
    torch: str
    vov3d: str
    rounds: int


@dataclass(frozen=True)
class Comparison:
    """What was found.

    Attributes:
        frames: frames of every clip; ``None`` for each system's own.
        crop: side of every clip in pixels; likewise.
        costs: one for each network and clip.
        rows: one for each row of the field.
        made_on: the machine, if anything was measured.
    """

    frames: int | None
    crop: int | None
    costs: tuple[Cost, ...]
    rows: tuple[Row, ...]
    made_on: MadeOn | None = None

    @property
    def input(self) -> str:
        """What the systems are shown, in words."""
        frames = "own frames" if self.frames is None else f"{self.frames} frame{'s' * (self.frames != 1)}"
        crop = "own crop" if self.crop is None else f"{self.crop}x{self.crop} pixels"
        return "own frames and crop, as published" if self.frames is self.crop is None else f"{frames}, {crop}"

    def clip_of(self, row: Published) -> Clip:
        """What the network of a row is shown here."""
        return Clip(row.model, self.frames or row.frames, self.crop or row.crop)

    def is_own_clip(self, row: Published) -> bool:
        """Whether that is the clip which the row's accuracy belongs to."""
        return self.clip_of(row) == _own_clip(row)

    def cost_of(self, row: Published) -> Cost | None:
        """What it costs; ``None`` for a model that is not built here."""
        wanted = self.clip_of(row)
        return next((cost for cost in self.costs if cost.clip == wanted), None)


class ComparisonInterrupted(KeyboardInterrupt):
    """Ctrl+C or SIGTERM, which is the cause.

    Attributes:
        comparison: what was found until then.
    """

    def __init__(self, comparison: Comparison) -> None:
        super().__init__()
        self.comparison = comparison


def make_comparison(
    models: Sequence[str] | None, frames: int | None = None, crop: int | None = None, results: Sequence[Path] = ()
) -> Comparison:
    """Look up and count; see `vov3d.compare`."""
    rows = [*_chosen(models), *read_results(results)]
    bare = Comparison(frames, crop, (), ())
    built = [row for row in rows if row.model in MODELS]
    num_classes = {clip_of(row): row.num_classes for clip_of in (_own_clip, bare.clip_of) for row in reversed(built)}
    costs = tuple(count(clip, num_classes[clip]) for clip in dict.fromkeys(map(bare.clip_of, built)))
    own = {clip: count(clip, num_classes[clip]) for clip in map(_own_clip, built)}
    return replace(bare, costs=costs, rows=tuple(_row(row, own.get(_own_clip(row))) for row in rows))


def measure_comparison(
    comparison: Comparison, machine: Machine, rounds: int, on_progress: Callable[[int, int], None] | None = None
) -> Comparison:
    """Run every network that takes its clip.

    Raises:
        ComparisonInterrupted: Ctrl+C or SIGTERM.
    """
    clips = {cost.clip: 4 * cost.parameters / 2**20 for cost in comparison.costs if not cost.failure}
    made_on = _this_machine(machine, rounds)
    try:
        return with_measurements(comparison, measure(clips, machine, rounds, on_progress), made_on)
    except MeasuringInterrupted as stop:
        raise ComparisonInterrupted(with_measurements(comparison, stop.found, made_on)) from stop.__cause__


def with_measurements(
    comparison: Comparison, found: Mapping[Clip, Measurement | None], made_on: MadeOn | None
) -> Comparison:
    """Put what was measured beside what was counted."""
    costs = tuple(replace(cost, measured=found.get(cost.clip)) for cost in comparison.costs)
    return replace(comparison, costs=costs, made_on=made_on)


def check_clip(frames: int | None, crop: int | None) -> None:
    """Refuse a clip that no network takes.

    Raises:
        ArgumentError: it is too small.
    """
    if (frames is not None and frames < 1) or (crop is not None and crop < 32):
        given = f"{'own' if frames is None else frames} frames of {'own' if crop is None else crop} pixels"
        raise ArgumentError(f"a clip of {given} is too small; allowed are 1 or more frames of 32 pixels up")


def read_comparison(path: Path) -> Comparison:
    """Read a ``compare.json``, or that of a folder.

    Raises:
        DataError: it is none, or not there.
    """
    folder, path = path, path / "compare.json" if path.is_dir() else path
    if folder.is_dir() and not path.is_file():
        raise DataError(f"{str(folder)!r} holds no compare.json; `vov3d compare --out` writes it")
    try:
        return TypeAdapter(Comparison).validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "content"
        raise DataError(f"{str(path)!r} is not a compare.json of `vov3d compare`: {where}: {first['msg']}") from error


def to_text(comparison: Comparison) -> str:
    """The comparison as the text of a ``compare.json``."""
    return json.dumps(asdict(comparison), indent=1, ensure_ascii=False) + "\n"


def _chosen(patterns: Sequence[str] | None) -> list[Published]:
    """The rows of the field, of the models that are asked for; a model that no row has gets one without numbers."""
    if patterns is None:
        return list(FIELD)
    names = dict.fromkeys([*(row.model for row in FIELD), *MODELS])
    wanted: dict[str, None] = {}
    for pattern in patterns:
        matching = fnmatch.filter(names, pattern)
        if not matching:
            raise ArgumentError(unknown_name("model", pattern, names, "vov3d models"))
        wanted.update(dict.fromkeys(matching))
    rows = [row for row in FIELD if row.model in wanted]
    bare = [name for name in wanted if name not in {row.model for row in rows}]
    return [*rows, *(Published(name, name, *OWN_CLIP, num_classes=400) for name in bare)]


def _own_clip(row: Published) -> Clip:
    return Clip(row.model, row.frames, row.crop)


def _row(published: Published, cost: Cost | None) -> Row:
    if cost is None:
        return Row(published, None, None, None)
    parameters = parameters_of(published.model, published.num_classes)
    per_video = round(cost.gmacs * published.views, 6) if cost.gmacs is not None and published.views else None
    return Row(published, parameters, cost.gmacs, per_video)


def _this_machine(machine: Machine, rounds: int) -> MadeOn:
    environment = describe_environment()
    gpus = environment["gpus"] if machine.device != "cpu" else []
    processor = gpus[torch.device(machine.device).index or 0] if gpus else environment["processor"]
    return MadeOn(processor, machine.threads, environment["torch"], environment["vov3d"], rounds)
