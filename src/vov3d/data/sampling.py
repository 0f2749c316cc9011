"""Which frames of a video make a clip: pure arithmetic on frame numbers.

Two families, as the papers publish them:

* segment sampling (Something-Something): the video is cut into T equal parts and each gives one frame;
* dense sampling (Kinetics): T frames, one every `frame_stride` frames of a video at 30 frames per second.

L is the number of frames of the video, T the number of frames of a clip. Every frame number lies in [0, L - 1]. A clip
that is longer than its video repeats frames, as published.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]

TARGET_FPS = 30.0
CLOCK_TICK_FRAMES = 1e-3  # a clip that starts this little after a frame starts with it, as time stamps are integers


def segment_bounds(video_frames: int, num_frames: int) -> Indices:
    """First and last frame of each segment, both inclusive; neighbours share the frame at their border.

    Shape:
        [T, 2]

    Source:
        PySlowFast's Something-Something reader: round((L - 1) / T * i), halves to even.
    """
    _check(video_frames, num_frames)
    borders = np.round((video_frames - 1) / num_frames * np.arange(num_frames + 1)).astype(np.int64)
    return np.stack([borders[:-1], borders[1:]], axis=1)


def segment_train(video_frames: int, num_frames: int, rng: np.random.Generator) -> Indices:
    """One frame of each segment, drawn uniformly.

    Shape:
        [T]
    """
    bounds = segment_bounds(video_frames, num_frames)
    return rng.integers(bounds[:, 0], bounds[:, 1], endpoint=True)


def segment_centre(video_frames: int, num_frames: int) -> Indices:
    """The middle frame of each segment, rounded down: the published single view.

    Shape:
        [T]
    """
    bounds = segment_bounds(video_frames, num_frames)
    centre: Indices = (bounds[:, 0] + bounds[:, 1]) // 2
    return centre


def segment_clips(video_frames: int, num_frames: int, num_clips: int) -> Indices:
    """Deterministic clips that interleave: together they take `num_clips` frames of each segment.

    Clip c of n takes frame int(tick * i + tick * (n - 1 - c) / n) of segment i, where tick = L / T. For two clips this
    is TSM's rule: the middle of each segment, then its beginning. One clip is `segment_centre`.

    Shape:
        [num_clips, T]

    Source:
        TSM, `TSNDataSet._get_test_indices` with `twice_sample`; more than two clips are our continuation of it.
    """
    _check(video_frames, num_frames)
    if num_clips == 1:
        return segment_centre(video_frames, num_frames)[None]
    tick = video_frames / num_frames
    phases = tick * np.arange(num_clips - 1, -1, -1)[:, None] / num_clips
    return (phases + tick * np.arange(num_frames)).astype(np.int64)


def segment_random_clips(video_frames: int, num_frames: int, num_clips: int, rng: np.random.Generator) -> Indices:
    """Independent random draws of `segment_train`, one a clip: the published multi-view test.

    Shape:
        [num_clips, T]
    """
    return np.stack([segment_train(video_frames, num_frames, rng) for _ in range(num_clips)])


def segment_part(video_frames: int, speed: float) -> tuple[int, int]:
    """Which part of a video is cut into segments when it plays at another speed: first frame and number of frames.

    A clip of segments covers the whole video, however fast that plays; at `speed` its frames lie so many times as far
    apart as they do at 1. Below 1 the part is the middle of the video. Above 1 it is longer than the video and begins
    with it: what lies behind the end repeats the last frame, as in a dense clip that is longer than its video.
    """
    if video_frames < 1 or not speed > 0:
        raise ValueError(f"a video of {video_frames} frames at speed {speed}; at least 1 frame, and a speed above 0")
    length = max(1, round(video_frames * speed))
    return max(0, (video_frames - length) // 2), length


def dense_clip_frames(fps: float, num_frames: int, frame_stride: int) -> float:
    """Length of a dense clip in frames of the video; a video at 60 fps needs twice as many as one at 30."""
    if not fps > 0 or frame_stride < 1:
        raise ValueError(f"fps={fps}, frame_stride={frame_stride}; fps must be above 0 and the stride at least 1")
    return frame_stride * num_frames / TARGET_FPS * fps


def dense_starts(
    video_frames: int, fps: float, num_frames: int, frame_stride: int, num_clips: int
) -> npt.NDArray[np.float64]:
    """Where the clips of a test start, in frames, evenly spread; the last one stops short of the end of the video.

    Shape:
        [num_clips]

    Source:
        PySlowFast `get_start_end_idx`: delta * j / num_clips. One clip is the middle one (ours; there it is the first).
    """
    slack = _slack(video_frames, fps, num_frames, frame_stride)
    return slack / 2 * np.ones(1) if num_clips == 1 else slack * np.arange(num_clips) / num_clips


def dense_offsets(clip_frames: float, num_frames: int) -> Indices:
    """Frames of a dense clip, counted from its first one: trunc(linspace(0, clip_frames - 1, T)).

    The steps are (80 - 1) / 15 = 5.27 frames where the stride says 5, as published.

    Shape:
        [T]
    """
    return np.linspace(0, max(clip_frames - 1, 0), num_frames).astype(np.int64)


def dense_train(video_frames: int, fps: float, num_frames: int, frame_stride: int, rng: np.random.Generator) -> Indices:
    """A dense clip that starts anywhere in the video.

    Shape:
        [T]
    """
    start = rng.uniform(0, _slack(video_frames, fps, num_frames, frame_stride))
    return _dense_from(start, video_frames, fps, num_frames, frame_stride)


def dense_clips(video_frames: int, fps: float, num_frames: int, frame_stride: int, num_clips: int) -> Indices:
    """Evenly spread dense clips; one clip is the middle one.

    Shape:
        [num_clips, T]
    """
    starts = dense_starts(video_frames, fps, num_frames, frame_stride, num_clips)
    return np.stack([_dense_from(start, video_frames, fps, num_frames, frame_stride) for start in starts])


def _dense_from(start: float, video_frames: int, fps: float, num_frames: int, frame_stride: int) -> Indices:
    """The dense clip that begins with the first frame shown at `start` or after it."""
    offsets = dense_offsets(dense_clip_frames(fps, num_frames, frame_stride), num_frames)
    return np.minimum(math.ceil(start - CLOCK_TICK_FRAMES) + offsets, video_frames - 1)


def _slack(video_frames: int, fps: float, num_frames: int, frame_stride: int) -> float:
    """Frames by which the video is longer than a clip."""
    _check(video_frames, num_frames)
    return max(video_frames - dense_clip_frames(fps, num_frames, frame_stride), 0.0)


def _check(video_frames: int, num_frames: int) -> None:
    if video_frames < 1 or num_frames < 1:
        raise ValueError(f"a clip of {num_frames} frames of a video of {video_frames}; both must be at least 1")
