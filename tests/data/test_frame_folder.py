"""A folder of frames is a video like any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.video_files import numbered_picture
from vov3d.data.frame_folder import natural_key
from vov3d.data.video import Window, open_video
from vov3d.errors import DecodeError


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    for number in range(12):
        Image.fromarray(numbered_picture(number)).save(tmp_path / f"frame_{number}.png")
    (tmp_path / "notes.txt").write_text("not a frame")
    (tmp_path / "._frame_0.png").write_text("left by another system")
    return tmp_path


def test_frames_come_in_natural_order(frames: Path) -> None:
    with open_video(frames, fps=12.0) as video:
        info = video.info
        assert (info.num_frames, info.fps, info.duration_seconds) == (12, 12.0, 1.0)
        assert (info.height, info.width, info.codec) == (64, 80, "png frames")
        wanted = [11, 2, 10, 2, 0]
        pixels = video.frames(wanted)
        assert pixels[:, 0, -1, -1].tolist() == wanted
        np.testing.assert_array_equal(pixels[0].permute(1, 2, 0), numbered_picture(11))
        assert pixels.permute(0, 2, 3, 1).is_contiguous()


def test_a_list_of_names_is_the_order(frames: Path) -> None:
    with open_video(frames, ["frame_7.png", "frame_3.png"]) as video:
        assert (video.info.num_frames, video.info.fps) == (2, 30.0)
        assert video.frames([0, 1])[:, 0, -1, -1].tolist() == [7, 3]


def test_resizing_is_bilinear(frames: Path) -> None:
    with open_video(frames) as video:
        pixels = video.frames([5], size=(32, 48))[0].permute(1, 2, 0)
    expected = Image.fromarray(numbered_picture(5)).resize((48, 32), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(pixels, np.asarray(expected))
    with open_video(frames) as video:
        part = video.frames([5, 5], size=(32, 48), window=Window(2, 30, 10, 18))[1].permute(1, 2, 0)
    np.testing.assert_array_equal(part, np.asarray(expected)[2:12, 30:])


def test_frames_of_another_kind_become_rgb_of_one_size(frames: Path) -> None:
    Image.fromarray(numbered_picture(3)).convert("L").resize((20, 10)).save(frames / "frame_3.png")
    with open_video(frames) as video:
        assert video.frames([2, 3]).shape == (2, 3, 64, 80)


def test_what_cannot_be_read_is_named(frames: Path) -> None:
    with open_video(frames, ["frame_1.png", "frame_99.png"]) as video:
        assert video.frames([0]).shape == (1, 3, 64, 80)
        with pytest.raises(DecodeError, match=r"frame 'frame_99.png' is missing"):
            video.frames([0, 1])
    with pytest.raises(DecodeError, match="no JPEG or PNG frames"):
        open_video(frames, [])
    whole = (frames / "frame_1.png").read_bytes()
    (frames / "frame_1.png").write_bytes(whole[: len(whole) // 2])
    (frames / "frame_2.png").write_text("not an image")
    with open_video(frames) as video:
        with pytest.raises(DecodeError, match=r"frame 'frame_1.png' is damaged"):
            video.frames([1])
        with pytest.raises(DecodeError, match=r"frame 'frame_2.png' cannot be read"):
            video.frames([2])


def test_damaged_frames_give_pixels_or_a_decode_error(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    outcomes = {"pixels": 0, "error": 0}
    for trial in range(200):
        path = tmp_path / ("frame.png" if trial % 2 else "frame.jpg")
        Image.fromarray(numbered_picture(trial % 8)).save(path)
        data = bytearray(path.read_bytes())
        for place in rng.integers(0, len(data), rng.integers(1, 8)):
            data[place] = rng.integers(256)
        path.write_bytes(data)
        try:
            with open_video(tmp_path, [path.name]) as video:
                assert video.frames([0], size=(16, 16)).shape == (1, 3, 16, 16)
            outcomes["pixels"] += 1
        except DecodeError:
            outcomes["error"] += 1
    assert min(outcomes.values()) > 30


def test_a_header_that_ends_too_early(frames: Path) -> None:
    whole = (frames / "frame_0.png").read_bytes()
    place = whole.index(b"IHDR")
    (frames / "frame_0.png").write_bytes(whole[: place - 1] + b"\x05" + whole[place:])  # 5 bytes in the place of 13
    with pytest.raises(DecodeError, match=r"frame 'frame_0.png' cannot be read: Truncated IHDR"):
        open_video(frames)


def test_natural_key() -> None:
    assert sorted(["f10", "f9", "f", "f1b", "f01a"], key=natural_key) == ["f", "f01a", "f1b", "f9", "f10"]
