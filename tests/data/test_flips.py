"""A mirror image is given the name of what it shows, or is not made."""

from __future__ import annotations

import pytest

from vov3d.data.flips import flip_labels


@pytest.mark.parametrize(
    ("label", "mirrored"),
    [
        ("Pushing something from left to right", "Pushing something from right to left"),
        ("Swiping Left", "swiping_right"),
        ("swipeLeft", "SwipeRight"),
        ("SWIPE_LEFT", "swipe-right"),
        ("Turning Hand Clockwise", "Turning Hand Counterclockwise"),
        ("turn clockwise", "turn counter-clockwise"),
        ("turn clock-wise", "turn anti clock wise"),
        ("circle_cw", "circle_ccw"),
        ("CircleCW", "circle anticlockwise"),
        ("left2right", "right 2 left"),
        ("leftwards", "rightwards"),
        ("turn left clockwise", "turn right ccw"),
    ],
)
def test_directions_swap(label: str, mirrored: str) -> None:
    assert flip_labels([label, "waving", mirrored]) == (2, 1, 0)


@pytest.mark.parametrize("label", ["turning left", "circle_ccw", "from left to right", "left and right", "向左 left"])
def test_a_class_without_a_partner_is_never_flipped(label: str) -> None:
    assert flip_labels(["jumping", label, "向右 right", "something to the right of it"])[1] is None


@pytest.mark.parametrize("label", ["leftover food", "bright light", "clock", "writing", "moving up", "", "ccwing"])
def test_a_name_without_a_direction_stays(label: str) -> None:
    assert flip_labels([label, "left", "right"])[0] == 0


def test_mirroring_twice_gives_the_class_back(shared) -> None:  # type: ignore[no-untyped-def]
    rows = (shared / "data" / "air_gestures" / "index.csv").read_text().splitlines()[1:]
    labels = sorted({row.split(",")[1] for row in rows})
    flipped = flip_labels(labels)
    assert len(labels) == 10
    assert flipped[labels.index("left")] == labels.index("right")
    assert flipped[labels.index("circle_ccw")] is None
    assert flipped[labels.index("caret")] == labels.index("caret")
    assert all(flipped[other] == place for place, other in enumerate(flipped) if other is not None)
