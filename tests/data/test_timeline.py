"""Arithmetic on time stamps."""

from __future__ import annotations

import numpy as np

from vov3d.data.timeline import Timeline

NO_PACKETS = np.array([], np.int64)
TIMELINE = Timeline(np.array([10, 20, 40, 50, 80]), np.array([5, 40, 80]), NO_PACKETS)


def test_each_frame_starts_at_the_keyframe_before_it() -> None:
    assert TIMELINE.starts([0, 1, 2, 3, 4]) == [5, 5, 40, 40, 80]


def test_numbers_and_time_stamps() -> None:
    assert [TIMELINE.first_shown(pts) for pts in (5, 10, 11, 40, 80)] == [0, 0, 1, 2, 4]
    assert [TIMELINE.number(pts) for pts in (10, 50, 30, 99, None)] == [0, 3, None, None, None]


def test_a_lead_that_cannot_be_decoded_is_dropped() -> None:
    cut = Timeline(np.array([10, 20, 40, 50]), np.array([40]), NO_PACKETS)
    assert cut.without_lead(40).pts.tolist() == [40, 50]
    assert cut.without_lead(20).pts.tolist() == [20, 40, 50]  # decoded after all: it refers to the keyframe alone
    assert cut.without_lead(50).pts.tolist() == [40, 50]  # the keyframe is damaged: promised, and missed when asked for
