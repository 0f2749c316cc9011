"""Small videos whose frames carry their number, and a plain sequential decode to hold the decoder against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from av.stream import Disposition

BLOCK = 8  # side of the squares that spell the number, in pixels
BITS = 8

Picture = npt.NDArray[np.uint8]


def numbered_picture(number: int, height: int = 64, width: int = 80) -> Picture:
    """A moving pattern; the number stands in the first rows, a square for each bit, and in the last pixel."""
    y, x = np.mgrid[:height, :width]
    picture = np.stack([2 * x + 5 * number, 3 * y + 7 * number, x + y + 11 * number], axis=-1).astype(np.uint8)
    for bit in range(BITS):
        picture[:BLOCK, bit * BLOCK : (bit + 1) * BLOCK] = 255 * (number >> bit & 1)
    picture[-1, -1] = number
    return picture


def number_of(picture: Picture) -> int:
    """Read the number back from the squares, which survive compression."""
    squares = picture[:BLOCK, : BITS * BLOCK].reshape(BLOCK, BITS, BLOCK, 3).mean(axis=(0, 2, 3))
    return sum(1 << bit for bit in range(BITS) if squares[bit] > 127)


@dataclass(frozen=True)
class Recording:
    """How a test video is written."""

    name: str
    codec: str = "libx264"
    num_frames: int = 60
    options: dict[str, str] = field(default_factory=dict)
    keyframe_every: int = 20
    b_frames: int = 0
    pixel_format: str = "yuv420p"
    container: str | None = None
    pts: Sequence[int] | None = None  # in units of 1/1000 s; by default 30 frames per second
    rotation: int = 0
    size: tuple[int, int] = (64, 80)

    def write(self, folder: Path) -> Path:
        path = folder / self.name
        time_base = Fraction(1, 30) if self.pts is None else Fraction(1, 1000)
        with av.open(str(path), "w", format=self.container) as output:
            stream = output.add_stream(self.codec, rate=30, options=self.options)
            stream.height, stream.width = self.size
            stream.pix_fmt, stream.gop_size = self.pixel_format, self.keyframe_every
            stream.codec_context.max_b_frames = self.b_frames
            stream.codec_context.time_base = time_base
            if self.rotation:
                if not hasattr(stream, "set_display_rotation"):
                    pytest.skip("this PyAV cannot write a display matrix")
                stream.set_display_rotation(self.rotation)
            for number in range(self.num_frames):
                picture = av.VideoFrame.from_ndarray(numbered_picture(number, *self.size), format="rgb24")
                frame = picture.reformat(format=self.pixel_format)
                frame.pts, frame.time_base = (number if self.pts is None else self.pts[number]), time_base
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        return path


def remux(source: Path, target: Path, change: Callable[[int, bytes], bytes | None]) -> Path:
    """Copy a video packet by packet, without decoding it.

    Args:
        source: the video to copy.
        target: the video to write.
        change: given the place and the data of a packet, returns the data to write; None leaves the packet out.
    """
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        stream = reader.streams.video[0]
        copy = writer.add_stream_from_template(stream)
        for place, packet in enumerate(packet for packet in reader.demux(stream) if packet.size):
            data = change(place, bytes(packet))
            if data is not None:
                changed = av.Packet(data)
                changed.pts, changed.dts, changed.time_base = packet.pts, packet.dts, packet.time_base
                changed.is_keyframe, changed.stream = packet.is_keyframe, copy
                writer.mux(changed)
    return target


def write_audio(path: Path, cover: bool) -> None:
    """Write a file that holds sound, and perhaps the picture of its cover."""
    with av.open(str(path), "w") as output:
        sound = output.add_stream("aac", rate=44100)
        if cover:
            picture = output.add_stream("mjpeg", rate=1)
            picture.height, picture.width, picture.pix_fmt = 64, 80, "yuvj420p"
            picture.disposition = Disposition.attached_pic
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        samples.rate = 44100
        output.mux([*sound.encode(samples), *sound.encode(None)])
        if cover:
            frame = av.VideoFrame.from_ndarray(numbered_picture(0)).reformat(format="yuvj420p")
            output.mux([*picture.encode(frame), *picture.encode(None)])


def sequential_frames(path: Path) -> list[av.VideoFrame]:
    """Every frame of the first video stream, decoded from the start to the first error."""
    frames: list[av.VideoFrame] = []
    with av.open(f"file:{path}", metadata_errors="ignore") as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for packet in container.demux(stream):
            try:
                frames += packet.decode()
            except av.FFmpegError:
                if frames:
                    return frames
    return frames


def as_displayed(frame: av.VideoFrame) -> Picture:
    """RGB pixels of a frame, turned as its display matrix says."""
    turns = round(frame.rotation / 90) if abs(frame.rotation) <= 360 else 0
    return np.rot90(frame.to_ndarray(format="rgb24"), turns)
