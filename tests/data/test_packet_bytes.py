"""What is read from the bytes of a frame, held against what encoders write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import pytest

from tests.data.video_files import Recording
from vov3d.data.packet_bytes import is_damaged, is_h264_without_idr, is_hidden_vp8, is_jpeg_with_tables

MakePackets = Callable[[Recording], tuple[list[bytes], bytes | None]]


@pytest.fixture
def packets_of(tmp_path: Path) -> MakePackets:
    """Packets and extradata of a recording."""

    def packets(recording: Recording) -> tuple[list[bytes], bytes | None]:
        with av.open(str(recording.write(tmp_path))) as container:
            stream = container.streams.video[0]
            data = [bytes(packet) for packet in container.demux(stream) if packet.size]
            return data, stream.codec_context.extradata

    return packets


def ffv1(**options: str) -> Recording:
    return Recording("video.mkv", "ffv1", num_frames=3, pixel_format="bgr0", options=options)


@pytest.mark.parametrize("options", [{}, {"level": "4", "slicecrc": "2", "strict": "experimental"}, {"slices": "9"}])
def test_ffv1_checksums(options: dict[str, str], packets_of: MakePackets) -> None:
    for data in packets_of(ffv1(**options))[0]:
        assert not is_damaged("ffv1", data)
        for place in (len(data) // 4, len(data) // 2, len(data) - 1, len(data) - 12):
            flipped = data[:place] + bytes([data[place] ^ 8]) + data[place + 1 :]
            assert is_damaged("ffv1", flipped)
        assert is_damaged("ffv1", data[:-20] + bytes(20))


@pytest.mark.parametrize("options", [{"slicecrc": "0"}, {"level": "1"}])
def test_ffv1_without_checksums_is_taken_as_it_is(options: dict[str, str], packets_of: MakePackets) -> None:
    assert not any(is_damaged("ffv1", data) for data in packets_of(ffv1(**options))[0])


@pytest.mark.parametrize("name", ["video.avi", "video.mov"])
def test_jpeg_scans(name: str, packets_of: MakePackets) -> None:
    for data in packets_of(Recording(name, "mjpeg", num_frames=3, pixel_format="yuvj420p"))[0]:
        assert is_jpeg_with_tables(data) and not is_damaged("mjpeg", data)
        scan = data.index(b"\xff\xda")
        middle = (scan + len(data)) // 2
        assert is_damaged("mjpeg", data[:middle] + b"\xff\xc0" + data[middle + 2 :])
        assert is_damaged("mjpeg", data[:scan])
        assert not is_damaged("mjpeg", data + bytes(7))
        assert not is_damaged("mjpeg", data[:2] + b"\xff\xfe\x00\x05abc" + data[2:])


def test_jpeg_tables(packets_of: MakePackets) -> None:
    (data, *_), _ = packets_of(Recording("video.avi", "mjpeg", num_frames=1, pixel_format="yuvj420p"))
    for marker in (b"\xff\xdb", b"\xff\xc4", b"\xff\xc0"):
        place = data.index(marker)
        comment = data[:place] + b"\xff\xfe" + data[place + 2 :]
        assert not is_jpeg_with_tables(comment)
    assert not is_jpeg_with_tables(b"")
    assert not is_jpeg_with_tables(data[2:])


@pytest.mark.parametrize(("name", "container"), [("video.mp4", None), ("video.ts", "mpegts"), ("video.h264", "h264")])
def test_h264_units(name: str, container: str | None, packets_of: MakePackets) -> None:
    options = {"x264-params": "open-gop=1:bframes=3:keyint=15"}
    packets, extradata = packets_of(Recording(name, container=container, options=options))
    assert not any(is_damaged("h264", data, extradata) for data in packets)
    without_idr = [is_h264_without_idr(data, extradata) for data in packets]
    assert not without_idr[0] and all(without_idr[1:])
    data = packets[20]
    begin = 4 if name == "video.mp4" else data.index(b"\x00\x00\x01") + 3
    assert is_damaged("h264", data[:begin] + bytes([data[begin] | 0x80]) + data[begin + 1 :], extradata)
    assert is_damaged("h264", data[:begin] + bytes([data[begin] & 0xE0]) + data[begin + 1 :], extradata)
    assert not is_h264_without_idr(b"", extradata)


@pytest.mark.parametrize("flags", [{}, {"flags": "+ildct+ilme"}], ids=["progressive", "interlaced"])
@pytest.mark.parametrize("height", [64, 72, 80])
def test_mpeg2_slices(flags: dict[str, str], height: int, packets_of: MakePackets) -> None:
    recording = Recording("video.mkv", "mpeg2video", num_frames=5, b_frames=1, options=flags, size=(height, 80))
    for data in packets_of(recording)[0]:
        assert not is_damaged("mpeg2video", data, height=height)
        for row in (1, 2, 4):
            slice_code = b"\x00\x00\x01" + bytes([row])
            assert is_damaged("mpeg2video", data.replace(slice_code, b"\x00\x00\x03\x00"), height=height)


def test_hidden_vp8() -> None:
    assert is_hidden_vp8(b"\x00") and not is_hidden_vp8(b"\x10")


@pytest.mark.parametrize("codec", ["ffv1", "h264", "mjpeg", "mpeg2video"])
def test_any_bytes_will_do(codec: str) -> None:
    for data in (
        b"",
        b"\x00",
        b"\xff",
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xda\x00\x02",
        b"\x00\x00\x01",
        bytes(9),
        b"\xff" * 40,
    ):
        assert is_damaged(codec, data) in (True, False)
        assert is_damaged(codec, data, b"\x01\x00\x00\x00\xff") in (True, False)
        assert is_jpeg_with_tables(data) in (True, False)
