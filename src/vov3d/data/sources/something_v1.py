"""Something-Something V1: folders of JPEG frames (12 frames per second, 100 pixels high) and three CSV files.

`something-something-v1-labels.csv` has one template a line, and the number of the line, from 0, is the class id.
`-train.csv` and `-validation.csv` have rows of `id;template`, `-test.csv` of `id` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vov3d.data.sources.index import VideoIndex
from vov3d.data.sources.labels import read_label_names
from vov3d.data.sources.located import UNLABELLED
from vov3d.data.sources.something import Annotation, find_annotations, index_annotations, template_label
from vov3d.data.sources.table import read_lines
from vov3d.errors import DataError

KIND = "something-something v1"
FRAME_FPS = 12.0


def find_v1(root: Path) -> dict[str, Path]:
    """The annotation files, by "labels", "train", "val" and "test"; empty if the folder is another data set."""
    return find_annotations(root, "something-something-v1-", ".csv")


def read_v1(
    root: Path, files: Mapping[str, Path], val_fraction: float, seed: int, *, for_training: bool = True
) -> VideoIndex:
    """Read the annotations and find the frames.

    Raises:
        DataError: naming file and line.
    """
    labels = read_label_names(files["labels"])
    ids = {template: label for label, template in enumerate(labels)}
    parts = {split: _read_annotations(file, split, ids) for split, file in files.items() if split != "labels"}
    return index_annotations(
        root,
        KIND,
        labels,
        parts,
        frame_fps=FRAME_FPS,
        val_fraction=val_fraction,
        seed=seed,
        for_training=for_training,
    )


def _read_annotations(file: Path, split: str, ids: Mapping[str, int]) -> list[Annotation]:
    entries = []
    for number, line in read_lines(file):
        where = f"{file}:{number}"
        video_id, separator, template = (part.strip() for part in line.partition(";"))
        if not video_id or not (separator or split == "test"):
            raise DataError(f"{where}: given {line!r}; needed: id;template")
        label = template_label(where, template, ids) if template or split != "test" else UNLABELLED
        entries.append(Annotation(where, video_id, label))
    return entries
