"""Folders of frames (JPEG or PNG), read by Pillow: how Something-Something v1 is shipped."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from PIL import Image

from vov3d.data.video import IMAGE_SUFFIXES, VideoInfo, Window, checked_indices, checked_window
from vov3d.errors import DecodeError

DEFAULT_FPS = 30.0  # the rate that dense sampling aims at, so that its stride counts frames of the folder


class FrameFolderDecoder:
    """The frames in a folder (see `vov3d.data.video.Decoder`).

    Args:
        path: the folder.
        frame_names: files inside it, in the order in which they are shown; by default all its images, naturally sorted.
        fps: frames per second.
        images: the content of these files, if they are in memory; `path` then is a name alone.

    Raises:
        DecodeError: there is no frame, or the first one cannot be read.
    """

    def __init__(
        self,
        path: Path,
        frame_names: Sequence[str] | None = None,
        fps: float | None = None,
        images: Mapping[str, bytes] | None = None,
    ) -> None:
        self._path, self._images = path, images
        self._names = tuple(frame_names) if frame_names is not None else images_in(path)
        if not self._names:
            raise DecodeError(path, "no JPEG or PNG frames in this folder")
        first = self._open(self._names[0])
        num_frames, rate = len(self._names), fps or DEFAULT_FPS
        codec = f"{str(first.format).lower()} frames"
        self._info = VideoInfo(path, num_frames, rate, num_frames / rate, first.height, first.width, codec)
        first.close()

    @property
    def info(self) -> VideoInfo:
        """What is known of the frames."""
        return self._info

    def frames(
        self, indices: Sequence[int], size: tuple[int, int] | None = None, window: Window | None = None
    ) -> torch.Tensor:
        """Read exactly the frames asked for (see `Decoder.frames`)."""
        numbers = checked_indices(self._info, indices)
        size, window = checked_window(self._info, size, window)
        pictures = np.empty((len(numbers), window.height, window.width, 3), np.uint8)
        first_place: dict[int, int] = {}
        for place, number in enumerate(numbers):
            earlier = first_place.setdefault(number, place)
            if earlier < place:
                pictures[place] = pictures[earlier]
            else:
                pictures[place] = window.of(np.asarray(self._picture(number, *size)))
        return torch.from_numpy(pictures).permute(0, 3, 1, 2)

    def close(self) -> None:
        """Nothing is held open between two reads."""

    def __enter__(self) -> FrameFolderDecoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _picture(self, number: int, height: int, width: int) -> Image.Image:
        """One frame as RGB of this size."""
        name = self._names[number]
        with self._open(name) as image:
            try:
                rgb: Image.Image = image.convert("RGB")
            except (OSError, SyntaxError, ValueError) as error:  # Pillow raises any of them for a damaged file
                raise DecodeError(self._path, f"frame {name!r} is damaged: {_one_line(error)}") from error
        return rgb if rgb.size == (width, height) else rgb.resize((width, height), Image.Resampling.BILINEAR)

    def _open(self, name: str) -> Image.Image:
        """Read the header of one frame."""
        try:
            return Image.open(self._path / name if self._images is None else io.BytesIO(self._images[name]))
        except FileNotFoundError as error:
            raise DecodeError(self._path, f"frame {name!r} is missing") from error
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise DecodeError(self._path, f"frame {name!r} cannot be read: {_one_line(error)}") from error


def natural_key(name: str) -> tuple[tuple[str, int], ...]:
    """Sort key by which frame 2 comes before frame 10."""
    return tuple((text, int(digits or -1)) for text, digits in re.findall(r"(\D*)(\d*)", name))


def images_in(folder: Path) -> tuple[str, ...]:
    """The names of the images in a folder, hidden files left out, naturally sorted."""
    try:
        names = [entry.name for entry in folder.iterdir() if entry.suffix.lower() in IMAGE_SUFFIXES]
    except OSError as error:
        raise DecodeError(folder, error.strerror or str(error)) from error
    return tuple(sorted((name for name in names if not name.startswith(".")), key=natural_key))


def _one_line(error: Exception) -> str:
    """The message of an error in one line."""
    return " ".join(str(error).split())
