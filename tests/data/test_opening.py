"""A video that is in memory has the frames of the file, whatever container it is in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.data.video_files import Recording
from vov3d.data.opening import open_files, open_item
from vov3d.data.sources import VideoItem
from vov3d.data.video import open_video
from vov3d.errors import DecodeError

RECORDINGS = (
    Recording("a.mp4", b_frames=2),
    Recording("turned.mov", rotation=90),
    Recording("a.mkv", b_frames=2),
    Recording("a.ts", b_frames=2),
    Recording("a.avi", codec="mpeg4"),
    Recording("a.h264", container="h264"),  # no time stamps: decoded from the start, again and again
    Recording("a.mpg", codec="mpeg2video"),
)


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.name)
def test_frames_are_those_of_the_file(tmp_path: Path, recording: Recording) -> None:
    path = recording.write(tmp_path)
    place = Path("train-000000.tar/000001 (some name)")
    suffix = path.suffix.removeprefix(".")
    with open_video(path) as one, open_files(place, {suffix: path.read_bytes()}, None) as other:
        assert other.info == replace(one.info, path=place)
        for wanted in ([0, 30, 59, 3], [1], list(range(60)), [59]):
            assert torch.equal(one.frames(wanted), other.frames(wanted))
            assert torch.equal(one.frames(wanted, (30, 40)), other.frames(wanted, (30, 40)))


def test_frames_of_a_folder(tmp_path: Path) -> None:
    files = {}
    for number, suffix in enumerate(("jpg", "png", "jpeg")):
        file = tmp_path / f"{number}.{suffix}"
        Image.radial_gradient("L").rotate(30 * number).convert("RGB").save(file)
        files[f"{number:06}.{suffix}"] = file.read_bytes()
    item = VideoItem(tmp_path, 0, "x", ("0.jpg", "1.png", "2.jpeg"))
    with open_item(item, 12.0) as one, open_files(Path("x"), files, 12.0) as other:
        assert other.info == replace(one.info, path=Path("x"))
        assert torch.equal(one.frames([2, 0, 1, 1], (50, 60)), other.frames([2, 0, 1, 1], (50, 60)))


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"mp4": b""}, "the file is empty"),
        ({"mp4": b"no video" * 100}, "Invalid data"),
        ({}, "no JPEG or PNG frames"),
        ({"000000.jpg": b"no picture"}, "cannot be read|cannot identify"),
    ],
)
def test_what_does_not_open_is_named(files: dict[str, bytes], reason: str) -> None:
    with pytest.raises(DecodeError, match=reason) as caught:
        open_files(Path("train-000000.tar/000001 (a.mp4)"), files, None)
    assert str(caught.value).startswith("cannot decode 'train-000000.tar/000001 (a.mp4)': ")
