"""Accuracy measured here: the ``metrics.json`` of ``vov3d evaluate`` as rows of the field."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Interval
from pydantic import TypeAdapter, ValidationError

from vov3d.checkpoint import read_checkpoint
from vov3d.compare.field import Accuracy, Published
from vov3d.errors import DataError, visible
from vov3d.models import network_name, recognise
from vov3d.recipe import Recipe, load_recipe, recipe_from_mapping


@dataclass(frozen=True)
class _Metrics:
    """The part of ``metrics.json`` that a comparison shows."""

    checkpoint: str
    data: str
    split: str
    num_videos: Annotated[int, Ge(1)]
    num_classes: Annotated[int, Interval(ge=1, le=1_000_000)]
    top1: Annotated[float, Interval(ge=0, le=1)]
    top5: Annotated[float, Interval(ge=0, le=1)]
    num_clips: Annotated[int, Ge(1)]
    num_crops: Annotated[int, Ge(1)]
    crop: Annotated[int, Interval(ge=32, le=10_000)]
    frame_order: str = "given"
    multi_label: bool = False


def read_results(paths: Sequence[Path]) -> list[Published]:
    """Return tests as rows, each once; where they would have one name, that of the folder is beside it.

    Args:
        paths: see `read_result`.

    Raises:
        DataError: likewise.
    """
    files = list({file.resolve(): file for file in map(_metrics_file, paths)}.values())
    rows = [read_result(file) for file in files]
    times = Counter((row.system, row.frames, row.crop, row.section) for row in rows)
    return [
        replace(row, system=f"{row.system} of {visible(_folder_name(file))}")
        if times[row.system, row.frames, row.crop, row.section] > 1
        else row
        for file, row in zip(files, rows, strict=True)
    ]


def read_result(path: Path) -> Published:
    """Return one test as a row.

    The model and its frames are those of the recipe in the run that holds the file, else of the checkpoint it names.

    Args:
        path: the file, its folder, or a run that was tested.

    Raises:
        DataError: the file is not there, is damaged, is a control with frames in another order or a test with several
            labels a video, or nothing says which model it is of.
    """
    file = _metrics_file(path)
    try:
        found = TypeAdapter(_Metrics).validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{part}: " for part in first["loc"])
        raise DataError(f"{str(file)!r} is not a metrics.json of `vov3d evaluate`: {where}{first['msg']}") from error
    if found.frame_order != "given":
        raise DataError(
            f"{str(file)!r} is a control, its frames are {found.frame_order}; give a test with frames in order"
        )
    if found.multi_label:
        raise DataError(f"{str(file)!r} has several labels a video; what can be compared is top-1 of one label a video")
    recipe, model = _origin(file, found.checkpoint)
    dataset = visible(f"{Path(found.data).name} {found.split}")
    return Published(
        system=f"{model}, causal" if recipe.model.causal else model,
        model=model,
        frames=recipe.clip.num_frames,
        crop=found.crop,
        num_classes=found.num_classes,
        views=found.num_clips * found.num_crops,
        pretrained=Path(recipe.model.init).stem if recipe.model.init else None,
        accuracy={dataset: Accuracy(found.top1, found.top5)},
        source="here",
        section=dataset,
    )


def _metrics_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    tried = [folder / "metrics.json" for folder in (path, path / "evaluation")]
    found = next((file for file in tried if file.is_file()), None)
    if found is None:
        raise DataError(
            f"{str(path)!r} holds no metrics.json, nor does its folder 'evaluation'; `vov3d evaluate` writes it"
        )
    return found


def _folder_name(file: Path) -> str:
    """That of the run that a test lies in; else of its own folder, or the file's own name."""
    for folder in list(file.resolve().parents)[:2]:
        if (folder / "recipe.yaml").is_file():
            return folder.name
    return file.resolve().parent.name if file.name == "metrics.json" else file.stem


def _origin(file: Path, checkpoint: str) -> tuple[Recipe, str]:
    for folder in (file.parent, file.parent.parent):
        if (folder / "recipe.yaml").is_file():
            recipe = load_recipe(folder / "recipe.yaml")
            return recipe, network_name(recipe.model.name, recipe.model.operator)
    if not Path(checkpoint).is_file():
        raise DataError(
            f"{str(file)!r} does not lie in a run, and its checkpoint {checkpoint!r} is not there, so that nothing "
            "says which model it is of; put the file where `vov3d evaluate` wrote it"
        )
    read = read_checkpoint(Path(checkpoint))
    if "recipe" not in read.description:
        raise DataError(f"{str(file)!r}: the checkpoint {checkpoint!r} has no recipe, so that its frames are not known")
    return recipe_from_mapping(read.description["recipe"]), recognise(read, checkpoint)  # type: ignore[arg-type]
