"""The frame numbers are the published ones."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from vov3d.data import sampling

LENGTHS = [1, 2, 3, 7, 15, 16, 17, 31, 80, 81, 300, 1001]


def test_segments_are_the_published_ones(golden: Path) -> None:
    cases = json.loads((golden / "pipeline_golden.json").read_text())["ss_segment_sampler"]
    for name, case in cases.items():
        video_frames, num_frames = (int(part[1:]) for part in name.split("_"))
        bounds = sampling.segment_bounds(video_frames, num_frames)
        assert bounds.tolist() == case["segments_start_end_inclusive"], name
        assert sampling.segment_centre(video_frames, num_frames).tolist() == case["single_view_middle"], name
    assert len(cases) >= 30


def test_borders_are_rounded_half_to_even() -> None:
    assert sampling.segment_bounds(9, 16)[:, 0].tolist() == [0, 0, 1, 2, 2, 2, 3, 4, 4, 4, 5, 6, 6, 6, 7, 8]


@pytest.mark.parametrize("video_frames", LENGTHS)
def test_training_draws_every_frame_of_a_segment(video_frames: int) -> None:
    bounds = sampling.segment_bounds(video_frames, 8)
    rng = np.random.default_rng(0)
    draws = np.stack([sampling.segment_train(video_frames, 8, rng) for _ in range(400)])
    for (first, last), column in zip(bounds, draws.T, strict=True):
        assert (column.min(), column.max()) == (first, last) or last - first > 60
        assert first <= column.min() and column.max() <= last


def test_two_clips_are_those_of_tsm() -> None:
    for video_frames in LENGTHS:
        tick = video_frames / 8
        clips = sampling.segment_clips(video_frames, 8, 2)
        assert clips[0].tolist() == [int(tick / 2 + tick * i) for i in range(8)]
        assert clips[1].tolist() == [int(tick * i) for i in range(8)]
    assert sampling.segment_clips(37, 8, 1).tolist() == [sampling.segment_centre(37, 8).tolist()]


def test_clips_together_take_every_frame_once_where_they_can() -> None:
    assert sorted(sampling.segment_clips(24, 8, 3).ravel()) == list(range(24))


def test_random_clips_are_independent_and_repeatable() -> None:
    first = sampling.segment_random_clips(300, 16, 6, np.random.default_rng(5))
    assert first.shape == (6, 16) and len({tuple(clip) for clip in first}) == 6
    assert np.array_equal(first, sampling.segment_random_clips(300, 16, 6, np.random.default_rng(5)))


def test_the_part_of_a_video_that_is_seen_at_another_speed() -> None:
    assert [sampling.segment_part(80, speed) for speed in (1.0, 0.5, 0.25, 2.0)] == [
        (0, 80),
        (20, 40),
        (30, 20),
        (0, 160),
    ]
    assert [sampling.segment_part(1, speed) for speed in (0.1, 1.0, 4.0)] == [(0, 1), (0, 1), (0, 4)]
    assert sampling.segment_part(7, 0.5) == (1, 4)
    for video_frames in LENGTHS:
        assert sampling.segment_part(video_frames, 1.0) == (0, video_frames)


def test_dense_clips_start_where_published(golden: Path) -> None:
    cases = json.loads((golden / "pipeline_golden.json").read_text())["kinetics_test_clip_start_end"]
    for case in cases:
        length, fps, frames, stride = case["num_frames"], case["fps"], case["T"], case["tau"]
        clip_frames = sampling.dense_clip_frames(fps, frames, stride)
        starts = sampling.dense_starts(length, fps, frames, stride, len(case["starts"]))
        assert clip_frames == pytest.approx(case["clip_size"])
        assert starts == pytest.approx(case["starts"])
        assert starts + clip_frames - 1 == pytest.approx(case["ends"])
    assert len(cases) == 30


def test_dense_frames_are_the_published_ones(golden: Path) -> None:
    cases = json.loads((golden / "pipeline_golden.json").read_text())["kinetics_post_decode_indices"]
    for case in cases:
        offsets = sampling.dense_offsets(case["clip_size"], len(case["indices"]))
        assert np.minimum(offsets, case["decoded_frames"] - 1).tolist() == case["indices"]
    assert len(cases) == 30


def test_dense_clips() -> None:
    clips = sampling.dense_clips(300, 30.0, 16, 5, 10)
    assert clips[:, 0].tolist() == list(range(0, 220, 22))
    assert clips[0].tolist() == [0, 5, 10, 15, 21, 26, 31, 36, 42, 47, 52, 57, 63, 68, 73, 79]
    assert sampling.dense_clips(300, 30.0, 16, 5, 1)[0, 0] == 110  # the middle one
    assert sampling.dense_clips(300, 30.0, 16, 8, 10)[1, 0] == 18  # the first frame after 17.2
    assert sampling.dense_starts(60, 25.0, 8, 5, 10)[3] > 8  # by the error of the arithmetic alone
    assert sampling.dense_clips(60, 25.0, 8, 5, 10)[3, 0] == 8
    assert sampling.dense_clips(20, 30.0, 16, 5, 10).max() == 19  # a short video repeats its last frame


def test_dense_training_starts_anywhere() -> None:
    rng = np.random.default_rng(0)
    firsts = {int(sampling.dense_train(90, 30.0, 16, 5, rng)[0]) for _ in range(400)}
    assert firsts == set(range(1, 11))  # the first frame after a real number of frames: as published, hardly ever 0


@pytest.mark.parametrize("video_frames", LENGTHS)
@pytest.mark.parametrize("fps", [0.03, 8.0, 29.97, 240.0])
def test_every_frame_number_exists(video_frames: int, fps: float) -> None:
    rng = np.random.default_rng(1)
    for num_frames in (1, 8, 16, 33):
        drawn = [
            sampling.segment_train(video_frames, num_frames, rng)[None],
            sampling.dense_train(video_frames, fps, num_frames, 5, rng)[None],
            sampling.segment_random_clips(video_frames, num_frames, 2, rng),
            *(sampling.segment_clips(video_frames, num_frames, clips) for clips in (1, 2, 3, 10)),
            *(sampling.dense_clips(video_frames, fps, num_frames, 5, clips) for clips in (1, 2, 10)),
        ]
        for clips in drawn:
            assert clips.shape[1] == num_frames and clips.dtype == np.int64
            assert clips.min() >= 0 and clips.max() < video_frames
            assert (np.diff(clips, axis=1) >= 0).all()


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="both must be at least 1"):
        sampling.segment_bounds(0, 8)
    with pytest.raises(ValueError, match="both must be at least 1"):
        sampling.dense_clips(10, 30.0, 0, 5, 1)
    for speed in (0.0, math.nan):
        with pytest.raises(ValueError, match="a speed above 0"):
            sampling.segment_part(10, speed)
    for fps in (0.0, math.nan):
        with pytest.raises(ValueError, match="fps"):
            sampling.dense_clips(10, fps, 8, 5, 1)
