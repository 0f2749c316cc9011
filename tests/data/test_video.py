"""Frame i of a video really is frame i, whatever the file; and what cannot be decoded says so in one line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from tests.data.video_files import (
    Recording,
    as_displayed,
    number_of,
    numbered_picture,
    remux,
    sequential_frames,
    write_audio,
)
from vov3d.data import timeline
from vov3d.data.pyav import PyAVDecoder, _quarter_turns
from vov3d.data.timeline import Jump
from vov3d.data.video import Decoder, Window, open_video
from vov3d.errors import DecodeError

RNG = np.random.default_rng(7)
UNEVEN = np.cumsum(RNG.integers(10, 90, 60)).tolist()
X264_OPEN = {"x264-params": "open-gop=1:bframes=3:keyint=15:b-pyramid=normal"}
X264_PLAIN_B = {"x264-params": "bframes=4:b-adapt=0:b-pyramid=none:keyint=20"}
X265_OPEN = {"x265-params": "keyint=15:bframes=4:open-gop=1:log-level=none"}
REALTIME = {"deadline": "realtime", "cpu-used": "5"}
ALT_REF = {"auto-alt-ref": "1", "lag-in-frames": "16", "cpu-used": "5"}
EMPTY_VOP = bytes.fromhex("000001b6504f")

RECORDINGS = [
    Recording("b_frames.mp4", b_frames=3),
    Recording("open_gop.mp4", options=X264_OPEN),
    Recording("open_gop.mkv", options=X264_OPEN),
    Recording("open_gop.ts", options=X264_OPEN, container="mpegts"),
    Recording("uneven.mp4", pts=UNEVEN, b_frames=2),
    Recording("uneven.mkv", pts=UNEVEN, b_frames=2),
    Recording("edit_list.mp4", pts=[33 * (number - 25) for number in range(60)], b_frames=2),
    Recording("interlaced.mp4", options={"x264-params": "tff=1:bframes=2:keyint=20"}),
    Recording("interlaced.ts", options={"x264-params": "tff=1:bframes=2:keyint=20"}, container="mpegts"),
    Recording("intra_refresh.mp4", options={"x264-params": "intra-refresh=1:keyint=20:bframes=0"}),
    Recording("no_time_stamps.h264", b_frames=3, container="h264"),
    Recording("decoding_order.avi", b_frames=3),
    Recording("ten_bits.mp4", pixel_format="yuv420p10le", b_frames=2),
    Recording("hevc_open_gop.mp4", "libx265", options=X265_OPEN),
    Recording("mpeg4.avi", "mpeg4", keyframe_every=12),
    Recording("mpeg4_b_frames.avi", "mpeg4", keyframe_every=12, b_frames=2),
    Recording("mpeg4_b_frames.mp4", "mpeg4", keyframe_every=12, b_frames=2),
    Recording("mpeg2.mpg", "mpeg2video", keyframe_every=12, b_frames=2, container="mpeg"),
    Recording("mpeg2.ts", "mpeg2video", keyframe_every=12, b_frames=2, container="mpegts"),
    Recording("mpeg4.ts", "mpeg4", keyframe_every=12, b_frames=2, container="mpegts", num_frames=120),
    Recording("vp8.webm", "libvpx", options=REALTIME),
    Recording("vp9_hidden_frames.webm", "libvpx-vp9", options=ALT_REF),
    Recording("av1.mkv", "libsvtav1", options={"preset": "12", "svtav1-params": "keyint=15"}),
    Recording("mjpeg.avi", "mjpeg", pixel_format="yuvj420p"),
    Recording("lossless.mkv", "ffv1", pixel_format="bgr0"),
    Recording("odd_size.mkv", "ffv1", pixel_format="bgr0", size=(65, 71)),
    Recording("animated.gif", "gif", pixel_format="rgb8"),
    Recording("single.mp4", num_frames=1),
    Recording("turned_90.mp4", rotation=90),
    Recording("turned_180.mp4", rotation=180),
    Recording("turned_-90.mp4", rotation=-90, b_frames=2),
    Recording("turned_30.mp4", rotation=30),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("videos")


@pytest.fixture(scope="module")
def lossless(folder: Path) -> Path:
    return Recording("numbers.mkv", "ffv1", pixel_format="bgr0", keyframe_every=1).write(folder)


@pytest.fixture(scope="module")
def h264(folder: Path) -> Path:
    return Recording("plain.mp4", b_frames=3).write(folder)


def index_sets(num_frames: int, how_many: int) -> Iterator[list[int]]:
    """Random sets in random order with duplicates, and one that spans the video."""
    yield np.linspace(0, num_frames - 1, 8).astype(int).tolist()
    for _ in range(how_many):
        yield RNG.integers(0, num_frames, RNG.integers(1, 9)).tolist()


def assert_frames_are_those(video: Decoder, reference: list[av.VideoFrame], how_many: int = 4) -> None:
    for indices in index_sets(video.info.num_frames, how_many):
        frames = video.frames(indices)
        assert frames.dtype == torch.uint8
        for number, frame in zip(indices, frames.permute(0, 2, 3, 1).numpy(), strict=True):
            np.testing.assert_array_equal(frame, as_displayed(reference[number]), err_msg=f"frame {number}")


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.name)
@pytest.mark.parametrize("is_long", [False, True])
def test_frames_are_those_of_a_sequential_decode(
    recording: Recording, is_long: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeline, "MAX_KEPT_BYTES", 0 if is_long else timeline.MAX_KEPT_BYTES)
    path = recording.write(folder)
    reference = sequential_frames(path)
    with open_video(path) as video:
        assert video.info.num_frames == len(reference)
        assert (video.info.height, video.info.width) == as_displayed(reference[0]).shape[:2]
        assert_frames_are_those(video, reference)


@pytest.mark.parametrize("target", ["cut.mp4", "cut.mkv", "cut.ts"])
@pytest.mark.parametrize("first_packet", [7, 30])  # in the middle of a group of pictures; at an open one
def test_a_stream_that_begins_anywhere(target: str, first_packet: int, folder: Path) -> None:
    source = Recording("whole.mp4", options=X264_OPEN).write(folder)
    path = remux(
        source, folder / f"{first_packet}_{target}", lambda place, data: data if place >= first_packet else None
    )
    reference = sequential_frames(path)
    if not reference:  # the parameter sets were cut away with the first packets
        with pytest.raises(DecodeError, match="not one frame"):
            open_video(path)
        return
    with open_video(path) as video:
        assert 25 <= video.info.num_frames == len(reference)
        assert_frames_are_those(video, reference)


def test_packets_that_show_nothing(folder: Path) -> None:
    vp8 = Recording("vp8_source.webm", "libvpx", options=REALTIME).write(folder)
    hidden = remux(vp8, folder / "hidden.webm", lambda place, data: _hide_vp8(data) if place in (7, 25) else data)
    mpeg4 = Recording("mpeg4_source.mkv", "mpeg4").write(folder)
    empty = remux(mpeg4, folder / "empty_vop.mkv", lambda place, data: EMPTY_VOP if place in (5, 31) else data)
    for path in (hidden, empty):
        with open_video(path) as video:
            assert video.info.num_frames == 58
            assert_frames_are_those(video, sequential_frames(path))


def _hide_vp8(data: bytes) -> bytes:
    return bytes([data[0] & ~0x10]) + data[1:]


def test_a_clock_that_is_set_anew(folder: Path) -> None:
    first = Recording("first.ts", options=X264_OPEN, container="mpegts").write(folder)
    second = Recording("second.ts", options=X264_OPEN, container="mpegts", pts=UNEVEN).write(folder)
    for name, parts in {"same.ts": [first, first], "other.ts": [first, second]}.items():
        path = folder / name
        path.write_bytes(b"".join(part.read_bytes() for part in parts))
        with open_video(path) as video:
            assert video.info.num_frames == 120
            assert_frames_are_those(video, sequential_frames(path))


def test_a_field_may_be_a_packet_of_its_own(folder: Path) -> None:
    for name, trusted in {"fields.ts": False, "fields.mp4": True}.items():
        path = Recording(name, options={"x264-params": "tff=1"}).write(folder)
        with PyAVDecoder(path) as video:
            assert (video._timeline is not None) == trusted
            assert_frames_are_those(video, sequential_frames(path))


def test_a_lossless_frame_carries_its_number(lossless: Path) -> None:
    wanted = [59, 0, 17, 17, 3, 42, 0]
    with open_video(lossless) as video:
        frames = video.frames(wanted)
        assert frames[:, :, -1, -1].tolist() == [[number] * 3 for number in wanted]
        np.testing.assert_array_equal(frames[2].permute(1, 2, 0), numbered_picture(17))
        assert frames.permute(0, 2, 3, 1).is_contiguous()
        assert video.frames([]).shape == (0, 3, 64, 80)


def test_a_compressed_frame_carries_its_number(h264: Path) -> None:
    with open_video(h264) as video:
        for number in (0, 1, 19, 20, 21, 40, 59):
            assert number_of(video.frames([number])[0].permute(1, 2, 0).numpy()) == number


def test_info(folder: Path, h264: Path) -> None:
    with open_video(h264) as video:
        info = video.info
    assert (info.path, info.num_frames, info.height, info.width, info.codec) == (h264, 60, 64, 80, "h264")
    assert info.fps == pytest.approx(30) and info.duration_seconds == pytest.approx(2)
    for name in ("uneven.mp4", "uneven.mkv"):
        with open_video(Recording(name, pts=UNEVEN).write(folder)) as video:
            assert video.info.fps == pytest.approx(59_000 / (UNEVEN[-1] - UNEVEN[0]), rel=0.03)


def test_a_turned_video_is_shown_upright(folder: Path) -> None:
    with open_video(Recording("portrait.mp4", rotation=-90).write(folder)) as video:
        assert (video.info.height, video.info.width) == (80, 64)
        frame = video.frames([5])[0].permute(1, 2, 0).numpy()
        assert number_of(np.rot90(frame)) == 5
        assert video.frames([5], size=(40, 32)).shape == (1, 3, 40, 32)


@pytest.mark.parametrize(
    ("rotation", "turns"), [(0, 0), (90, 1), (-90, 3), (180, 2), (-180, 2), (270, 3), (88, 1), (-2147483648, 0)]
)
def test_quarter_turns(rotation: int, turns: int) -> None:
    assert _quarter_turns(rotation) == turns


def test_resizing_is_that_of_the_right_frame(h264: Path) -> None:
    reference = sequential_frames(h264)
    with open_video(h264) as video:
        frames = video.frames([31, 4], size=(48, 100)).permute(0, 2, 3, 1)
    for number, frame in zip([31, 4], frames, strict=True):
        expected = reference[number].reformat(100, 48, "rgb24", interpolation="BILINEAR")
        np.testing.assert_array_equal(frame, expected.to_ndarray())


def test_each_frame_is_decoded_once_in_one_pass_forward(h264: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    converted: list[int | None] = []
    picture = PyAVDecoder._picture

    def spy(self: PyAVDecoder, frame: av.VideoFrame, height: int, width: int) -> np.ndarray:
        converted.append(frame.pts)
        return picture(self, frame, height, width)

    monkeypatch.setattr(PyAVDecoder, "_picture", spy)
    with open_video(h264) as video:
        frames = video.frames([40, 3, 3, 25, 40, 3])
    assert len(converted) == 3 and converted == sorted(converted)
    assert torch.equal(frames[0], frames[4]) and torch.equal(frames[1], frames[5])


@pytest.mark.parametrize(
    ("recording", "number", "most"),
    [
        (Recording("jump.mp4", b_frames=3), 59, 12),  # 20 frames follow the keyframe; B-frames are skipped
        (Recording("jump_open.mp4", options=X264_OPEN), 47, 8),
        (Recording("jump_edit.mp4", pts=[33 * (number - 23) for number in range(60)], options=X264_PLAIN_B), 7, 4),
        (Recording("jump_mpeg2.mkv", "mpeg2video", keyframe_every=12, b_frames=2), 50, 4),
        (Recording("jump.wmv", "wmv2", keyframe_every=12), 50, 30),  # lands on an earlier keyframe
        (Recording("jump_vp9.webm", "libvpx-vp9", options=ALT_REF, keyframe_every=10), 52, 4),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_a_late_frame_does_not_cost_the_early_ones(
    recording: Recording, number: int, most: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int | None] = []
    run = PyAVDecoder._run

    def spy(self: PyAVDecoder, found: Iterator[av.Packet], jump: Jump | None = None) -> Iterator[av.VideoFrame]:
        for frame in run(self, found, jump):
            decoded.append(frame.pts)
            yield frame

    path = recording.write(folder)
    with open_video(path) as video:
        video.frames([0])
        monkeypatch.setattr(PyAVDecoder, "_run", spy)
        frame = video.frames([number])[0].permute(1, 2, 0)
        np.testing.assert_array_equal(frame, as_displayed(sequential_frames(path)[number]))
    assert 1 <= len(decoded) <= most


@pytest.mark.parametrize("is_long", [False, True])
def test_zoo_frames_are_those_of_a_sequential_decode(
    shared: Path, is_long: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeline, "MAX_KEPT_BYTES", 0 if is_long else timeline.MAX_KEPT_BYTES)
    zoo = json.loads((shared / "zoo" / "zoo.json").read_text())
    for entry in zoo:
        path = shared / "zoo" / entry["path"]
        with open_video(path) as video:
            decodable = entry["frames_that_decode"]
            assert video.info.num_frames == (entry["frames_in_header"] if entry["error"] else decodable), path
            wanted = np.unique(RNG.integers(0, decodable, 5)).tolist()
            frames = video.frames(wanted)
            height, width = frames.shape[-2:]
            assert (height, width) == (video.info.height, video.info.width)
            if entry["error"]:
                with pytest.raises(DecodeError, match=f"{decodable} of {video.info.num_frames} frames decode"):
                    video.frames([decodable])
        expected = dict(_zoo_frames(path, wanted, height, width))
        for number, frame in zip(wanted, frames.permute(0, 2, 3, 1).numpy(), strict=True):
            np.testing.assert_array_equal(frame, expected[number], err_msg=f"{path}, frame {number}")
    assert len(zoo) == 27


def _zoo_frames(path: Path, wanted: list[int], height: int, width: int) -> Iterator[tuple[int, np.ndarray]]:
    with av.open(str(path), metadata_errors="ignore") as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number in wanted:
                turns = round(frame.rotation / 90)
                size = (height, width) if turns % 2 else (width, height)
                yield number, np.rot90(frame.reformat(*size, "rgb24").to_ndarray(), turns)
            if number == wanted[-1]:
                return


def test_damage_ends_its_group_of_pictures(h264: Path, folder: Path) -> None:
    with av.open(str(h264)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][25]
        position, size = packet.pos, packet.size
    data = bytearray(h264.read_bytes())
    data[position : position + size] = bytes(size)
    path = folder / "damaged.mp4"
    path.write_bytes(data)
    reference = sequential_frames(h264)
    with open_video(path) as video:
        assert video.info.num_frames == 60
        with pytest.raises(DecodeError, match=r"frame 39 is missing: 2\d of 60 frames decode, then: Invalid data"):
            video.frames([3, 39, 50])
        for number, frame in zip([3, 50], video.frames([3, 50]).permute(0, 2, 3, 1), strict=True):
            np.testing.assert_array_equal(frame, as_displayed(reference[number]))


@pytest.mark.parametrize("name", ["a:b.mkv", "100%d.mkv", "two\nlines.mkv", "http:x.mkv", "\udcff.mkv", "-i.mkv"])
def test_a_file_may_have_any_name(name: str, lossless: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / name).write_bytes(lossless.read_bytes())
    monkeypatch.chdir(folder)
    for path in (Path(name), folder / name):
        with open_video(path) as video:
            assert video.frames([9])[0, 0, -1, -1] == 9


def test_what_cannot_be_decoded_says_why(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("not a video\n" * 100)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe.mp4")
    for name in ("audio.mp4", "audio_with_cover.mp4"):
        write_audio(tmp_path / name, cover="cover" in name)
    reasons = {
        "empty.mp4": "the file is empty",
        "text.mp4": "Invalid data found when processing input",
        "folder": "no JPEG or PNG frames in this folder",
        "pipe.mp4": "not a regular file",
        "audio.mp4": "no video stream in this file",
        "audio_with_cover.mp4": "no video stream in this file",
        "missing.mp4": "No such file or directory",
        "x" * 300: "File name too long",
    }
    for name, reason in reasons.items():
        with pytest.raises(DecodeError) as caught:
            open_video(tmp_path / name)
        assert (caught.value.path, caught.value.reason) == (tmp_path / name, reason)
        assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(lossless: Path, tmp_path: Path) -> None:
    path = tmp_path / "secret.mkv"
    path.write_bytes(lossless.read_bytes())
    path.chmod(0)
    with pytest.raises(DecodeError, match="Permission denied"):
        open_video(path)


def test_wrong_arguments(lossless: Path) -> None:
    with open_video(lossless) as video:
        with pytest.raises(ValueError, match="has frames 0 to 59"):
            video.frames([60])
        with pytest.raises(ValueError, match="has frames 0 to 59"):
            video.frames([-1])
        with pytest.raises(ValueError, match="at least 1 pixel"):
            video.frames([0], size=(0, 10))
        for window in (Window(0, 0, 41, 10), Window(-1, 0, 10, 10), Window(0, 31, 10, 10), Window(5, 5, 0, 10)):
            with pytest.raises(ValueError, match="must lie in frames of 40 x 40 pixels"):
                video.frames([0], size=(40, 40), window=window)


@pytest.mark.parametrize("rotation", [0, -90])
def test_a_window_is_a_part_of_the_frames(folder: Path, rotation: int) -> None:
    with open_video(Recording(f"window_{rotation}.mp4", rotation=rotation).write(folder)) as video:
        for size in (None, (50, 70)):
            whole = video.frames([7, 2, 7], size)
            assert torch.equal(video.frames([7, 2, 7], size, Window(3, 11, 20, 30)), whole[..., 3:23, 11:41])


def test_damaged_files_give_frames_or_a_decode_error(folder: Path) -> None:
    rng = np.random.default_rng(3)
    small = {"num_frames": 24, "size": (32, 64)}
    sources = [
        Recording("a.mp4", b_frames=2, keyframe_every=8, **small),
        Recording("b.webm", "libvpx-vp9", options={"cpu-used": "8"}, **small),
        Recording("c.avi", "mpeg4", b_frames=1, **small),
        Recording("d.ts", container="mpegts", **small),
        Recording("e.mkv", "ffv1", pixel_format="bgr0", **small),
    ]
    originals = [(source.name, source.write(folder).read_bytes()) for source in sources]
    outcomes = {"frames": 0, "error": 0}
    for trial in range(200):
        name, data = originals[trial % len(originals)]
        path = folder / f"damaged_{name}"
        path.write_bytes(_damage(data, rng))
        try:
            with open_video(path) as video:
                wanted = np.linspace(0, video.info.num_frames - 1, 6).astype(int).tolist()
                assert video.frames(wanted, size=(24, 24)).shape == (6, 3, 24, 24)
            outcomes["frames"] += 1
        except DecodeError as error:
            assert "\n" not in str(error)
            outcomes["error"] += 1
    assert min(outcomes.values()) > 30


def _damage(data: bytes, rng: np.random.Generator) -> bytes:
    damaged = bytearray(data)
    place, length = int(rng.integers(len(data))), int(rng.integers(1, 3000))
    kind = rng.integers(4)
    if kind == 0:
        return bytes(damaged[:place])
    if kind == 1:
        for bit in rng.integers(0, 8 * len(data), 40):
            damaged[bit // 8] ^= 1 << int(bit % 8)
    elif kind == 2:
        damaged[place : place + length] = bytes(len(damaged[place : place + length]))
    else:
        del damaged[place : place + length]
    return bytes(damaged)
