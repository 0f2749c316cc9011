"""Opening the videos of an index, wherever they lie."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from vov3d.data.sources.index import VideoItem
from vov3d.data.video import Decoder, FileInMemory, open_file_in_memory, open_images_in_memory, open_video
from vov3d.errors import DecodeError

if TYPE_CHECKING:
    from vov3d.data.pack.reader import ShardReader


def open_item(item: VideoItem, frame_fps: float | None, shards: ShardReader | None = None) -> Decoder:
    """Open a video of an index: a file, a folder of frames, or a video in a packed set.

    Args:
        item: the video.
        frame_fps: frames per second, should it be a folder of frames.
        shards: reads packed sets; by default a new one, for this video alone.

    Raises:
        DecodeError: it cannot be read, or holds no frame.
    """
    if item.packed is None:
        return open_video(item.path, item.frame_names, frame_fps)
    return open_files(item.place, read_packed(item, shards), frame_fps)


def open_files(path: Path, files: Mapping[str, bytes], frame_fps: float | None) -> Decoder:
    """Open a video whose files are in memory.

    Args:
        path: what messages call it.
        files: one file by its suffix (`mp4`), or frames by their names (`000000.jpg`).
        frame_fps: frames per second of frames.

    Raises:
        DecodeError: it cannot be read, or holds no frame.
    """
    suffix, content = next(iter(files.items()), ("", b""))
    if not files or "." in suffix:
        return open_images_in_memory(path, files, frame_fps)
    return open_file_in_memory(path, FileInMemory(f"video.{suffix}", content))


def read_packed(item: VideoItem, shards: ShardReader | None = None) -> dict[str, bytes]:
    """The content of a packed video: one file by its suffix (`mp4`), or frames by their names (`000000.jpg`).

    Raises:
        DecodeError: it cannot be read.
        ValueError: the video is not packed.
    """
    from vov3d.data.pack.reader import ShardReader, members

    if item.packed is None:
        raise ValueError(f"{item.name!r} is not packed")
    own = ShardReader() if shards is None else None
    try:
        files = members((shards or own or ShardReader()).read(item.packed))
    except OSError as error:
        told = f"{error.strerror}: {item.packed.shard.url}" if error.strerror else str(error)
        raise DecodeError(item.place, f"{told} (video {item.name!r})") from error
    finally:
        if own is not None:
            own.close()
    files.pop("json", None)
    if not files:
        raise DecodeError(item.place, "damaged: the shard holds no file of this video")
    return files
