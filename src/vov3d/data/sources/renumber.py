"""A data set seen with the classes of a network: numbered as it numbers them."""

from __future__ import annotations

from dataclasses import replace

from vov3d.data.sources.index import VideoIndex
from vov3d.errors import DataError


def renumbered(index: VideoIndex, labels: tuple[str, ...], split: str) -> VideoIndex:
    """Return the data set with its classes numbered as the network numbers them.

    Args:
        index: the data set as read.
        labels: the network's classes. Those of a published checkpoint are numbers and are taken as the data set's, if
            there are as many.
        split: the part that will be used; ``"all"`` for the whole.

    Raises:
        DataError: if the split does not exist or is empty, or shows a class that the network does not know.
    """
    whole = tuple(item for part in index.splits.values() for item in part)
    items = whole if split == "all" else index.splits.get(split, ())
    if not items:
        there = ", ".join(f"{name} ({len(found)} videos)" for name, found in index.splits.items() if found)
        raise DataError(f"{str(index.root)!r} has no videos in the split {split!r}; it has {there or 'none at all'}")
    if not index.multi_label and any(item.label < 0 for item in items):
        raise DataError(f"the videos of the split {split!r} of {str(index.root)!r} have no labels; use vov3d predict")
    if len(index.labels) == len(labels) and all(label == class_number(n) for n, label in enumerate(labels)):
        return replace(index, splits={split: items})
    position = {label: number for number, label in enumerate(labels)}
    unknown = sorted({index.labels[label] for item in items for label in item.classes} - set(position))
    if unknown:
        raise DataError(
            f"{len(unknown)} of the classes in {str(index.root)!r} are not among the {len(labels)} that the network "
            f"knows, first {', '.join(map(repr, unknown[:3]))}; it knows {', '.join(map(repr, labels[:5]))}"
            f"{', ...' if len(labels) > 5 else ''}"
        )
    renamed = []
    for item in items:
        label, *also = sorted(position[index.labels[label]] for label in item.classes) or [item.label]
        renamed.append(replace(item, label=label, also=tuple(also)))
    return replace(index, labels=labels, splits={split: tuple(renamed)})


def class_number(number: int) -> str:
    """Return the label of a class that has a number and no name."""
    return f"class {number}"
