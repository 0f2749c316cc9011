"""Writing the motion set: one H.264 file a video, a table of them, and a note of what was written."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import av
import numpy as np
import torch
from numpy.typing import NDArray

from vov3d.data.motion.classes import BASIC_FAMILIES, MOTION_VERSION, Split, classes_of
from vov3d.data.motion.draw import render
from vov3d.errors import DataError
from vov3d.locks import whole_folder

FRAMES_PER_SECOND = 16
_NOTE = "motion.json"
_MOST_VIDEOS = 1_000_000  # of a class in a split


@dataclass(frozen=True)
class MotionVideo:
    """One video of a set: its place, and what ``render`` drew it from."""

    path: str  # relative to the set, with forward slashes
    label: str
    split: Split
    seed: int


def write_motion_set(
    out: Path,
    *,
    families: Sequence[str] = BASIC_FAMILIES,
    videos_per_class: Mapping[Split, int] | None = None,
    size: int = 96,
    num_frames: int = 32,
    seed: int = 0,
    difficulty: float = 0.1,
    workers: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a motion set: ``out/<split>/<class>/<number>.mp4`` and ``out/index.csv`` (path, label, split, seed).

    The folder appears under its name only when it is complete. A set of the same settings that is there already is
    left as it is.

    Args:
        out: the folder to make.
        families: names from ``MOTION_FAMILIES``: of which the set has all classes.
        videos_per_class: for each split (train, val, test), how many videos every class has; by default 40 in train and
            10 in val.
        size: side of the square frames in pixels, even.
        num_frames: typical number of frames of a video, see ``render``.
        seed: sets of different seeds share no video.
        difficulty: from 0 to 1, see ``render``.
        workers: number of threads; by default one a core, up to 8.
        on_progress: called with the numbers of videos written and of videos in all, after each video.

    Returns:
        ``out``.

    Raises:
        DataError: if ``out`` is there already and is anything else.
        InUseError: if another process writes it.
        ValueError: for a setting out of its range, or a family that there is not.
    """
    classes = classes_of(families)
    counts: dict[Split, int] = {"train": 40, "val": 10} if videos_per_class is None else dict(videos_per_class)
    if size % 2 or not classes or not counts or not 1 <= min(counts.values()) <= max(counts.values()) <= _MOST_VIDEOS:
        raise ValueError(
            f"a motion set needs an even size, a family and 1 to {_MOST_VIDEOS} videos per class in each split;"
            f" got size {size}, {list(families)} and {counts}"
        )
    look = {"size": size, "num_frames": num_frames, "difficulty": difficulty}
    settings = {
        "motion_version": MOTION_VERSION,
        "classes": list(classes),
        "seed": seed,
        "videos_per_class": counts,
        **look,
    }
    if out.exists():
        _check_same(out, settings)
        return out
    videos = [
        MotionVideo(f"{split}/{label}/{number:05d}.mp4", label, split, _MOST_VIDEOS * seed + number)
        for split, count in counts.items()
        for label in classes
        for number in range(count)
    ]
    with whole_folder(out) as root:

        def write(video: MotionVideo) -> None:
            frames = render(
                video.label, video.seed, split=video.split, size=size, num_frames=num_frames, difficulty=difficulty
            )
            _encode(root / video.path, frames)

        _in_threads(write, videos, workers, on_progress)
        with (root / "index.csv").open("w", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(field.name for field in fields(MotionVideo))
            table.writerows(astuple(video) for video in videos)
        (root / _NOTE).write_text(json.dumps(settings, indent=2) + "\n")
    return out


def _check_same(out: Path, settings: Mapping[str, object]) -> None:
    """Raise unless a set of these settings lies at ``out``."""
    note = out / _NOTE
    try:
        found = json.loads(note.read_text())
    except (OSError, ValueError):
        raise DataError(f"{out} is there already and is no motion set; give another folder or remove it") from None
    for name, asked in settings.items():
        if found.get(name) != asked:
            raise DataError(
                f"{out} holds a motion set with {name} {found.get(name)}, not {asked}; give another folder or remove it"
            )


def _in_threads(
    write: Callable[[MotionVideo], None],
    videos: Sequence[MotionVideo],
    workers: int | None,
    on_progress: Callable[[int, int], None] | None,
) -> None:
    """Write all videos. Drawing and coding both let go of Python's lock, so that threads are enough."""
    with _one_thread_each(), ThreadPoolExecutor(workers or min(os.cpu_count() or 1, 8)) as pool:
        futures = [pool.submit(write, video) for video in videos]
        try:
            for written, future in enumerate(as_completed(futures), start=1):
                future.result()
                if on_progress is not None:
                    on_progress(written, len(videos))
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let torch compute in the threads that call it, and in no others beside them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _encode(path: Path, frames: NDArray[np.uint8]) -> None:
    """Write frames [T, H, W, 3] as H.264.

    Every frame is coded alone and with one quantiser: what a decoded frame looks like depends on nothing but the frame
    that was drawn, and so the file tells no more about the class than the drawing did.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(path, "w") as file:
        stream = file.add_stream("libx264", rate=FRAMES_PER_SECOND, options={"qp": "22", "preset": "veryfast"})
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        stream.codec_context.gop_size = 1
        stream.codec_context.thread_count = 1
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode())
