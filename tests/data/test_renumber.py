"""A data set seen with the classes of a network."""

from __future__ import annotations

from pathlib import Path

import pytest

from vov3d.data.sources import VideoIndex, VideoItem
from vov3d.data.sources.renumber import renumbered
from vov3d.errors import DataError


def index_of(labels: tuple[str, ...], *shown: tuple[int, ...], multi_label: bool = True) -> VideoIndex:
    items = []
    for number, classes in enumerate(shown):
        first, *also = classes or (-1,)
        items.append(VideoItem(Path(f"{number}.mp4"), first, f"{number}.mp4", also=tuple(also)))
    return VideoIndex(Path("set"), "csv list", labels, {"val": tuple(items)}, (), "labels", None, multi_label)


def test_every_label_of_a_video_is_renumbered() -> None:
    index = index_of(("a", "b", "c"), (0, 1), (), (1,), (0, 1, 2))
    found = renumbered(index, ("c", "x", "b", "a"), "val")
    assert found.labels == ("c", "x", "b", "a") and found.multi_label
    assert [item.classes for item in found.splits["val"]] == [(2, 3), (), (2,), (0, 2, 3)]
    assert [item.label for item in found.splits["val"]] == [2, -1, 2, 0]


def test_an_unknown_class_is_found_behind_the_first() -> None:
    with pytest.raises(
        DataError, match="1 of the classes in 'set' are not among the 2 that the network knows, first 'c'"
    ):
        renumbered(index_of(("a", "b", "c"), (0, 2)), ("a", "b"), "val")


def test_no_label_means_unknown_where_a_video_has_one() -> None:
    with pytest.raises(DataError, match="have no labels; use vov3d predict"):
        renumbered(index_of(("a", "b"), (0,), (), multi_label=False), ("a", "b"), "val")


def test_numbered_classes_are_those_of_the_data_set() -> None:
    index = index_of(("a", "b"), (0, 1), ())
    assert renumbered(index, ("class 0", "class 1"), "all").splits == {"all": index.splits["val"]}
