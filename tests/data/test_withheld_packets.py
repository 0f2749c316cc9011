"""H.264 packets whose frames nobody asked for, and no other frame refers to, never reach the decoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest

from tests.data.video_files import Recording
from vov3d.data import pyav
from vov3d.data.packet_bytes import is_h264_without_use
from vov3d.data.video import open_video

NUM_FRAMES = 60
STEADY = "scenecut=0:b-adapt=0"  # three B-frames between any two others


def recording(name: str, b_frames: int, params: str) -> Recording:
    return Recording(
        name,
        num_frames=NUM_FRAMES,
        keyframe_every=250,
        b_frames=b_frames,
        options={"x264-params": f"{STEADY}:{params}"},
    )


FLAT = recording("flat.mp4", 3, "b-pyramid=none")
PYRAMID = recording("pyramid.mkv", 3, "b-pyramid=normal")
START_CODES = recording("start_codes.flv", 3, "b-pyramid=none:repeat-headers=1")
WITHOUT_B = recording("without_b.mp4", 0, "")


def exactly(path: Path, numbers: Sequence[int]) -> list[np.ndarray]:
    """The frames out of a decode of everything."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return [frames[number] for number in numbers]


@pytest.mark.parametrize(
    ("made", "asked", "most"),
    [
        (FLAT, range(0, NUM_FRAMES, 4), 0.35),
        (FLAT, range(1, NUM_FRAMES, 5), 0.5),
        (FLAT, [NUM_FRAMES - 2], 0.35),
        (PYRAMID, range(0, NUM_FRAMES, 4), 0.6),
        (START_CODES, range(2, NUM_FRAMES, 7), 0.5),
        (WITHOUT_B, range(0, NUM_FRAMES, 4), 1.0),
        (FLAT, range(NUM_FRAMES), 1.0),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_what_is_decoded_is_exact_and_little(
    made: Recording, asked: Sequence[int], most: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[int | None] = []
    decode = pyav._decode

    def counted(context: av.VideoCodecContext, packet: av.Packet) -> list[av.VideoFrame]:
        given.append(packet.pts)
        return decode(context, packet)

    path = made.write(tmp_path)
    monkeypatch.setattr(pyav, "_decode", counted)
    with open_video(path) as video:
        found = video.frames(list(asked)).permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(found, exactly(path, asked))
    assert len(given) == len(set(given)) <= most * NUM_FRAMES
    if most == 1.0:
        assert len(given) >= NUM_FRAMES - 4  # what follows the last frame that is wanted is not read


def test_what_others_need_is_of_use() -> None:
    unused, used, parameters, keyframe = (
        b"\x00\x00\x01\x01",
        b"\x00\x00\x01\x41",
        b"\x00\x00\x01\x67",
        b"\x00\x00\x01\x65",
    )
    assert is_h264_without_use(unused + b"....", None)
    assert is_h264_without_use(b"\x00\x00\x01\x09\xf0" + unused + b"...." + unused + b"....", None)
    for packet in (used, keyframe, parameters + b"..." + unused, unused + b"..." + used, b"\x00\x00\x01\x09\xf0", b""):
        assert not is_h264_without_use(packet + b"....", None)
    after_lengths = b"\x01\x64\x00\x1e\xff"  # lengths of four bytes
    assert is_h264_without_use(b"\x00\x00\x00\x05\x01....", after_lengths)
    assert not is_h264_without_use(b"\x00\x00\x00\x05\x41....", after_lengths)
