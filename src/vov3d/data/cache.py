"""Copies of videos that are quick to train on: small frames, and a keyframe every few of them.

A video as it was published is made to be small: 250 frames refer to one keyframe, so that a clip of 16 frames needs
nearly all of them decoded. A copy is made when its video is first asked for, and read ever after. It has the same
frames under the same numbers, and says of itself what its source says (length, rate, size), so the same clips, sizes
and crops are drawn with it as without; only the pixels were compressed once more. Its time stamps are plain frame
numbers: which frames make a clip follows from the length and the rate alone.

A copy is an MP4 file that players show; its last box, which they skip, holds what the source said and a check sum.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from vov3d.data.opening import open_item
from vov3d.data.sources.index import VideoItem
from vov3d.data.transforms import short_side_size
from vov3d.data.video import (
    Decoder,
    FileInMemory,
    VideoInfo,
    Window,
    checked_indices,
    checked_window,
    open_file_in_memory,
)
from vov3d.errors import ArgumentError, DecodeError
from vov3d.files import write_bytes, write_text

if TYPE_CHECKING:
    from vov3d.data.pack.reader import ShardReader

FORMAT = 1  # of the copies: raise it where old ones must not be read any more
GOP_FRAMES, CRF = 8, 20  # measured in benchmarks/decoding.py: see docs/data.md
ENCODER = {"preset": "veryfast", "tune": "fastdecode"}
CHUNK_BYTES = 256 << 20  # of frames that are decoded before they are written
BOX_HEAD, LENGTH_BYTES = 8, 4
README = """Copies of videos that vov3d made for quicker training (--cache). They can be made again at any time from the
data set itself: delete single files, or the whole folder, whenever you like. A copy whose video has changed, or whose
settings are not asked for any more, is not read again and not deleted either.
"""

log = logging.getLogger("vov3d")


class _EncodeError(Exception):
    """Frames that cannot be written."""


class VideoCache:
    """A folder of copies; processes may share it, and each may make what it misses.

    Where a copy cannot be written (a full disk, a folder that is not ours) the video itself is read, and a warning is
    given once. A video of which some frames do not decode is not copied: it is read as if there were no cache.

    Args:
        folder: where the copies are; it is made if needed.
        short_side: their shorter side in pixels: the longest that clips are resized to. Smaller videos keep their size.
        gop_frames: frames from one keyframe to the next; fewer are quicker to jump to, and larger.
        crf: how coarsely they are compressed, as x264 counts it: 18 is hardly visible, 6 more halve the size.

    Raises:
        ArgumentError: one of the numbers is out of range.
    """

    def __init__(self, folder: Path, short_side: int, gop_frames: int = GOP_FRAMES, crf: int = CRF) -> None:
        if short_side < 2 or gop_frames < 1 or not 0 <= crf <= 51:
            raise ArgumentError(
                f"a cache with short_side={short_side}, gop_frames={gop_frames}, crf={crf}; "
                "needed: short_side of at least 2, gop_frames of at least 1, crf of 0 to 51"
            )
        self.folder, self.short_side, self.gop_frames, self.crf = Path(folder), short_side, gop_frames, crf
        self._warned = False

    def open(self, item: VideoItem, frame_fps: float | None = None, shards: ShardReader | None = None) -> Decoder:
        """Open the copy of a video, made now if it is not there (see `vov3d.data.opening.open_item`).

        Raises:
            DecodeError: the video itself cannot be read, or holds no frame.
        """
        path = self.path_of(item, frame_fps)
        if path is None or path.with_suffix(".damaged").exists():
            return open_item(item, frame_fps, shards)
        return _read_copy(path, item) or self._copied(item, path, open_item(item, frame_fps, shards))

    @property
    def settings(self) -> str:
        """What decides how copies look: where it is equal, so are they."""
        coder = " ".join(f"{name} {value}" for name, value in sorted(ENCODER.items()))
        return f"format {FORMAT}, short side {self.short_side}, GOP {self.gop_frames}, CRF {self.crf}, {coder}"

    def path_of(self, item: VideoItem, frame_fps: float | None = None) -> Path | None:
        """Where the copy of a video is or would be; None where the video cannot be found."""
        try:
            source = _identity(item)
        except OSError:
            return None
        told = json.dumps([self.settings, frame_fps, source])
        key = hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        return self.folder / key[:2] / f"{key}.mp4"

    def _copied(self, item: VideoItem, path: Path, video: Decoder) -> Decoder:
        """Copy an open video and open the copy; the video itself, where that is not possible."""
        try:
            content = self._transcode(video)
        except (DecodeError, _EncodeError) as error:
            self._write(path.with_suffix(".damaged"), f"{error}\n".encode("utf-8", "backslashreplace"))
            return video
        self._write(path, content)
        copy = _opened(content, item)
        if copy is None:
            return video
        video.close()
        return copy

    def _write(self, path: Path, content: bytes) -> None:
        try:
            if not (self.folder / "README.txt").exists():
                write_text(self.folder / "README.txt", README)
            write_bytes(path, content)
        except OSError as error:
            if not self._warned:
                log.warning(
                    "no copy into the cache: %s: %s; such videos are read as they are", error.filename, error.strerror
                )
            self._warned = True

    def _transcode(self, video: Decoder) -> bytes:
        """The content of a copy.

        Raises:
            DecodeError: not all frames of the video decode.
        """
        info = video.info
        height, width = short_side_size(info.height, info.width, min(self.short_side, info.height, info.width))
        size = (height + height % 2, width + width % 2)  # chroma has half the size
        movie = encode(_chunks(video, size), size, info.fps, self.gop_frames, self.crf)
        facts = {name: value for name, value in asdict(info).items() if name != "path"}
        return movie + _box(json.dumps({"format": FORMAT, "crc32": zlib.crc32(movie), "info": facts}).encode())


class CachedDecoder:
    """A copy that answers as its source does (see `vov3d.data.video.Decoder`).

    Args:
        copy: the copy, open.
        info: what is known of the source.
    """

    def __init__(self, copy: Decoder, info: VideoInfo) -> None:
        self._copy, self._info = copy, info

    @property
    def info(self) -> VideoInfo:
        """What is known of the source."""
        return self._info

    def frames(
        self, indices: Sequence[int], size: tuple[int, int] | None = None, window: Window | None = None
    ) -> torch.Tensor:
        """Decode exactly the frames asked for (see `Decoder.frames`)."""
        return self._copy.frames(checked_indices(self._info, indices), *checked_window(self._info, size, window))

    def close(self) -> None:
        """Release the copy."""
        self._copy.close()

    def __enter__(self) -> CachedDecoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def encode(
    chunks: Iterator[npt.NDArray[np.uint8]], size: tuple[int, int], fps: float, gop_frames: int, crf: int
) -> bytes:
    """Write frames as H.264 without B-frames, made to be decoded quickly.

    Args:
        chunks: the frames in order, uint8 [T, H, W, 3] each.
        size: their height and width, both even.
        fps: frames per second; players use it.
        gop_frames: frames from one keyframe to the next.
        crf: how coarsely they are compressed.

    Returns:
        The content of an MP4 file.

    Raises:
        _EncodeError: x264 does not take them.
    """
    import av

    try:
        return _encode(chunks, size, fps, gop_frames, crf)
    except av.FFmpegError as error:
        raise _EncodeError(f"x264 does not encode {size[1]}x{size[0]} at {fps:g} frames per second: {error}") from error


def _encode(
    chunks: Iterator[npt.NDArray[np.uint8]], size: tuple[int, int], fps: float, gop_frames: int, crf: int
) -> bytes:
    import av

    rate = Fraction(fps).limit_denominator(1000) or Fraction(1)
    content = io.BytesIO()
    with av.open(content, "w", format="mp4") as output:
        stream = output.add_stream("libx264", rate=rate, options={"crf": str(crf), **ENCODER})
        stream.height, stream.width = size
        stream.pix_fmt, stream.gop_size = "yuv420p", gop_frames
        stream.codec_context.max_b_frames = 0
        stream.codec_context.thread_count = 1
        for chunk in chunks:
            for picture in chunk:
                output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))
    return content.getvalue()


def _chunks(video: Decoder, size: tuple[int, int]) -> Iterator[npt.NDArray[np.uint8]]:
    """All frames of a video, as many at a time as memory allows."""
    num_frames = video.info.num_frames
    step = max(1, CHUNK_BYTES // (3 * size[0] * size[1]))
    for start in range(0, num_frames, step):
        yield video.frames(range(start, min(start + step, num_frames)), size).permute(0, 2, 3, 1).numpy()


def _identity(item: VideoItem) -> list[object]:
    """What changes where a video changes: its path, size and time of change, and those of each frame of a folder.

    Raises:
        OSError: it is not there.
    """
    if item.packed is not None:
        packed = item.packed
        return [packed.shard.url, packed.offset, packed.num_bytes, packed.crc32]
    path = Path(os.path.abspath(item.path))  # noqa: PTH100  links stay: they may come to point elsewhere
    if not path.is_dir():
        return [str(path), *_stamp(path)]
    from vov3d.data.frame_folder import images_in

    names = item.frame_names if item.frame_names is not None else images_in(path)
    return [str(path), *([name, *_stamp(path / name)] for name in names)]


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _box(payload: bytes) -> bytes:
    """A box that players skip; its last bytes say how long it is, so that it is found from the end of the file."""
    length = (BOX_HEAD + len(payload) + LENGTH_BYTES).to_bytes(LENGTH_BYTES, "big")
    return length + b"free" + payload + length


def _read_copy(path: Path, item: VideoItem) -> Decoder | None:
    """Open a copy; None where there is none, or not a whole one."""
    try:
        return _opened(path.read_bytes(), item)
    except OSError:
        return None


def _opened(content: bytes, item: VideoItem) -> Decoder | None:
    """Open the content of a copy; None where it is not what was written."""
    length = int.from_bytes(content[-LENGTH_BYTES:], "big")
    movie, box = content[:-length], content[-length:]
    try:
        facts = json.loads(box[BOX_HEAD:-LENGTH_BYTES])
        info = VideoInfo(path=item.path, **facts["info"])
        if facts["format"] != FORMAT or facts["crc32"] != zlib.crc32(movie):
            return None
        copy = open_file_in_memory(item.path, FileInMemory("copy.mp4", movie))
    except (ValueError, KeyError, TypeError, DecodeError):
        return None
    return CachedDecoder(copy, info) if copy.info.num_frames == info.num_frames else None
