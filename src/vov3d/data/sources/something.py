"""What both versions of Something-Something share.

The annotations name a video by its id and a class by its template. A mirror image of "Pushing something from left to
right" shows another class, so nothing is ever flipped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vov3d.data.sources.assemble import assemble
from vov3d.data.sources.frame_list import find_frame_lists, locate_by_lists
from vov3d.data.sources.index import VideoIndex, VideoItem
from vov3d.data.sources.located import Located, locate_by_name
from vov3d.errors import DataError, unknown_name

_WORDS: Mapping[str, str] = {"labels": "labels", "train": "train", "val": "validation", "test": "test"}
_REQUIRED = ("labels", "train", "val")
_FOLDERS = ("", "labels", "annotations")


@dataclass(frozen=True)
class Annotation:
    """One annotated video.

    Args:
        where: "FILE:LINE".
        video_id: as given.
        label: class id; -1 in a split without labels.
    """

    where: str
    video_id: str
    label: int


def find_annotations(root: Path, prefix: str, ending: str) -> dict[str, Path]:
    """The annotation files "labels", "train", "val" and perhaps "test" of a data set; empty if these are not there.

    Args:
        root: folder of the data set; the files may also lie in its folder `labels` or `annotations`.
        prefix: how the names of the files begin; "" for plain `labels.json` and so on.
        ending: how they end.

    Raises:
        DataError: if only some of the files with the prefix are there.
    """
    for folder in _FOLDERS:
        files = {part: root / folder / f"{prefix}{word}{ending}" for part, word in _WORDS.items()}
        present = {part: file for part, file in files.items() if file.is_file()}
        missing = [files[part].name for part in _REQUIRED if part not in present]
        if present and not missing:
            return present
        if present and prefix:
            raise DataError(f"{root / folder} has {next(iter(present.values())).name} but lacks {', '.join(missing)}")
    return {}


def template_label(where: str, template: str, labels: Mapping[str, int]) -> int:
    """The class id of a template.

    Raises:
        DataError: if the labels do not have it.
    """
    if template not in labels:
        message = unknown_name("template", template, labels).split(" Allowed: ", maxsplit=1)[0]
        raise DataError(f"{where}: {message} Allowed: the {len(labels)} templates of the labels file")
    return labels[template]


def index_annotations(
    root: Path,
    kind: str,
    labels: Sequence[str],
    parts: Mapping[str, Sequence[Annotation]],
    *,
    frame_fps: float,
    val_fraction: float,
    seed: int,
    for_training: bool = True,
) -> VideoIndex:
    """Find the annotated videos and make an index of them.

    Args:
        root: folder of the data set.
        kind: version of the data set.
        labels: templates by class id.
        parts: annotations of each split.
        frame_fps: frames per second of frame folders.
        val_fraction: share of an automatic split.
        seed: of an automatic split.
        for_training: see `read_index`; without it a split whose videos are all absent is left out.

    Raises:
        DataError: if a video is annotated twice, or one of train or val is not there.
    """
    located, notes = _locate(root, kind, _check_unique(parts))
    items: dict[str, list[VideoItem]] = {}
    for split, entries in parts.items():
        absent = [entry for entry in entries if entry.video_id not in located.videos]
        if absent and (split == "test" or (len(absent) == len(entries) and not for_training)):
            notes.append(f"{split}: {len(absent)} of {len(entries)} videos are not there and are left out")
        elif absent:
            raise DataError(
                f"{absent[0].where}: the video {absent[0].video_id!r} is not there "
                f"({len(absent)} of {len(entries)} in {split} are not); looked for it in: {located.place}"
            )
        items[split] = [
            replace(located.videos[entry.video_id], label=entry.label)
            for entry in entries
            if entry.video_id in located.videos
        ]
    return assemble(
        root,
        kind,
        labels,
        items,
        notes,
        val_fraction=val_fraction,
        seed=seed,
        flip="none",
        frame_fps=frame_fps if located.are_frames else None,
        for_training=for_training,
    )


def _check_unique(parts: Mapping[str, Sequence[Annotation]]) -> dict[str, Annotation]:
    first: dict[str, Annotation] = {}
    for entries in parts.values():
        for entry in entries:
            known = first.setdefault(entry.video_id, entry)
            if known is not entry:
                raise DataError(f"{entry.where}: the video {entry.video_id!r} is already annotated at {known.where}")
    return first


def _locate(root: Path, kind: str, annotated: Mapping[str, Annotation]) -> tuple[Located, list[str]]:
    lists = find_frame_lists(root)
    located = locate_by_name(root, annotated.keys())
    if located is not None:
        unread = (
            f"the frame lists {', '.join(file.name for file in lists)} are not needed: the videos are found by name"
        )
        return located, [f"{kind}: {located.place}", *([unread] if lists else [])]
    if lists:
        located = locate_by_lists(root, lists)
        return located, [f"{kind}: {located.place}"]
    example = next(iter(annotated.values()), None)
    if example is None:
        raise DataError(f"{root}: the annotations of {kind} are empty")
    raise DataError(
        f"{example.where}: neither a video file nor a folder of frames is called {example.video_id!r}, "
        f"or by any other id of the annotations, in {root} and two levels below it"
    )
