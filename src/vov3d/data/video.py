"""What a video is to the rest of the package: a number of frames, each of which can be asked for by its position.

Two things can be read: a file, decoded by PyAV (`vov3d.data.pyav`), and a folder of frames, read by Pillow
(`vov3d.data.frame_folder`). Both are a `Decoder`; `open_video` picks the one that fits.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch

from vov3d.errors import DecodeError

VIDEO_SUFFIXES: frozenset[str] = frozenset(
    f".{suffix}"
    for suffix in (
        *("3gp", "asf", "avi", "flv", "gif", "m2ts", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "mts", "mxf", "ogv"),
        *("ts", "vob", "webm", "wmv", "y4m", "264", "h264", "265", "h265", "hevc", "ivf"),
    )
)
IMAGE_SUFFIXES: frozenset[str] = frozenset({".jpg", ".jpeg", ".png"})


@dataclass(frozen=True)
class FileInMemory:
    """A file that was read whole: its name, whose suffix helps to tell the container, and its content."""

    name: str
    content: bytes


@dataclass(frozen=True)
class VideoInfo:
    """What is known of a video once it is open.

    Args:
        path: the file, or the folder of frames.
        num_frames: frames that are displayed, in presentation order.
        fps: frames per second, averaged over the video.
        duration_seconds: `num_frames / fps`.
        height: of the first frame in pixels, as displayed (after rotation).
        width: likewise.
        codec: "h264", "vp9", ..., or "jpeg frames" and "png frames".
    """

    path: Path
    num_frames: int
    fps: float
    duration_seconds: float
    height: int
    width: int
    codec: str


class Window(NamedTuple):
    """A part of a frame, in pixels."""

    top: int
    left: int
    height: int
    width: int

    @property
    def bottom(self) -> int:
        """The row below the last one."""
        return self.top + self.height

    @property
    def right(self) -> int:
        """The column beside the last one."""
        return self.left + self.width

    def of(self, picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """The part of a picture [H, W, 3], a view."""
        return picture[self.top : self.bottom, self.left : self.right]


class Decoder(Protocol):
    """An open video; close it, or use it as a context manager.

    A decoder belongs to the process that opened it: open one where it is used, do not send it to a worker.
    """

    @property
    def info(self) -> VideoInfo:
        """What is known of the video."""
        ...

    def frames(
        self, indices: Sequence[int], size: tuple[int, int] | None = None, window: Window | None = None
    ) -> torch.Tensor:
        """Decode exactly the frames asked for.

        Each frame is decoded once, however often it is asked for, and in one pass forward.

        Shape:
            uint8 [T, 3, H, W], RGB as displayed; in memory [T, H, W, 3].

        Args:
            indices: positions in presentation order, from 0; any order, duplicates allowed.
            size: height and width in pixels to resize to while decoding (bilinear); by default that of the video.
            window: the part of the resized frames that is wanted; by default all of it.

        Raises:
            DecodeError: a frame asked for does not decode.
            ValueError: an index lies outside the video, the window outside the frames, or the size is not positive.
        """
        ...

    def close(self) -> None:
        """Release the file; the decoder cannot be used afterwards."""
        ...

    def __enter__(self) -> Decoder: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_video(path: Path, frame_names: Sequence[str] | None = None, fps: float | None = None) -> Decoder:
    """Open a video file or a folder of frames.

    Args:
        path: a video file, or a folder of JPEG or PNG frames.
        frame_names: the files inside the folder, in the order in which they are shown; by default all its images,
            in natural order (frame 2 before frame 10).
        fps: frames per second of a folder of frames (30 where nobody knows); a file says its own.

    Raises:
        DecodeError: it cannot be read, or holds no frame.
    """
    from vov3d.data.frame_folder import FrameFolderDecoder
    from vov3d.data.pyav import PyAVDecoder

    path = Path(path)
    try:
        status = path.stat()
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise DecodeError(path, getattr(error, "strerror", None) or str(error)) from error
    if stat.S_ISDIR(status.st_mode):
        return FrameFolderDecoder(path, frame_names, fps)
    if not stat.S_ISREG(status.st_mode):  # opening a named pipe would wait for ever
        raise DecodeError(path, "not a regular file")
    if status.st_size == 0:
        raise DecodeError(path, "the file is empty")
    return PyAVDecoder(path)


def open_file_in_memory(path: Path, file: FileInMemory) -> Decoder:
    """Open a video file that is in memory; its frames are those of the file on disk.

    Args:
        path: what messages call it.
        file: its name and content.

    Raises:
        DecodeError: it cannot be read, or holds no frame.
    """
    from vov3d.data.pyav import PyAVDecoder

    if not file.content:
        raise DecodeError(path, "the file is empty")
    return PyAVDecoder(path, file)


def open_images_in_memory(path: Path, images: Mapping[str, bytes], fps: float | None = None) -> Decoder:
    """Open a folder of frames that is in memory.

    Args:
        path: what messages call it.
        images: the content of the JPEG or PNG files by their names, in the order in which they are shown.
        fps: frames per second (30 where nobody knows).

    Raises:
        DecodeError: there is no frame, or the first one cannot be read.
    """
    from vov3d.data.frame_folder import FrameFolderDecoder

    return FrameFolderDecoder(path, tuple(images), fps, images)


def checked_indices(info: VideoInfo, indices: Sequence[int]) -> list[int]:
    """Return the indices as plain integers.

    Raises:
        ValueError: one lies outside the video.
    """
    numbers = [int(index) for index in indices]
    outside = [number for number in numbers if not 0 <= number < info.num_frames]
    if outside:
        raise ValueError(f"frame {outside[0]} asked for of {info.path}, which has frames 0 to {info.num_frames - 1}")
    return numbers


def checked_window(
    info: VideoInfo, size: tuple[int, int] | None, window: Window | None
) -> tuple[tuple[int, int], Window]:
    """Return the size of the resized frames and the part of them that is wanted.

    Raises:
        ValueError: the size is not positive, or the window lies outside the frames.
    """
    size = (info.height, info.width) if size is None else size
    if min(size) < 1:
        raise ValueError(f"size={size} asked for; height and width must be at least 1 pixel")
    window = Window(0, 0, *size) if window is None else window
    if min(window) < 0 or min(window[2:]) < 1 or window.bottom > size[0] or window.right > size[1]:
        raise ValueError(f"{window} asked for; it must lie in frames of {size[0]} x {size[1]} pixels")
    return size, window
