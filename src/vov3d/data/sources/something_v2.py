"""Something-Something V2: videos, or their frames at 30 per second, and three JSON files.

`labels.json` maps a template to its class id; `train.json` and `validation.json` are lists of objects with `id` and
`template`, in which square brackets mark the objects; `test.json` has no templates. The files may begin with
`something-something-v2-`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from vov3d.data.sources.index import VideoIndex
from vov3d.data.sources.json_list import read_objects, read_text, text_value
from vov3d.data.sources.located import UNLABELLED
from vov3d.data.sources.something import Annotation, find_annotations, index_annotations, template_label
from vov3d.errors import DataError

KIND = "something-something v2"
FRAME_FPS = 30.0
_WITHOUT_BRACKETS = str.maketrans("", "", "[]")


def find_v2(root: Path) -> dict[str, Path]:
    """The annotation files, by "labels", "train", "val" and "test"; empty if the folder is another data set."""
    return find_annotations(root, "something-something-v2-", ".json") or find_annotations(root, "", ".json")


def read_v2(
    root: Path, files: Mapping[str, Path], val_fraction: float, seed: int, *, for_training: bool = True
) -> VideoIndex:
    """Read the annotations and find the videos.

    Raises:
        DataError: naming file and line.
    """
    ids = _read_labels(files["labels"])
    parts = {split: _read_annotations(file, split, ids) for split, file in files.items() if split != "labels"}
    return index_annotations(
        root,
        KIND,
        sorted(ids, key=ids.__getitem__),
        parts,
        frame_fps=FRAME_FPS,
        val_fraction=val_fraction,
        seed=seed,
        for_training=for_training,
    )


def _read_labels(file: Path) -> dict[str, int]:
    try:
        content = json.loads(read_text(file))
    except json.JSONDecodeError as error:
        raise DataError(f"{file}:{error.lineno}: not valid JSON: {error.msg}") from None
    if not isinstance(content, dict) or not all(str(value).isdecimal() for value in content.values()):
        raise DataError(f'{file}: expected an object of templates and class numbers: {{"Holding something": "0", ...}}')
    ids = {template: int(value) for template, value in content.items()}
    if sorted(ids.values()) != list(range(len(ids))):
        raise DataError(f"{file}: the {len(ids)} class numbers must run from 0 to {len(ids) - 1}, each once")
    return ids


def _read_annotations(file: Path, split: str, ids: Mapping[str, int]) -> list[Annotation]:
    entries = []
    for where, entry in read_objects(file):
        label = UNLABELLED
        if split != "test" or "template" in entry:
            template = text_value(where, entry, "template").translate(_WITHOUT_BRACKETS)
            label = template_label(where, template, ids)
        entries.append(Annotation(where, text_value(where, entry, "id"), label))
    return entries
