"""What `--data PATH` may be: each layout of videos on disk is read into one `VideoIndex`."""

from __future__ import annotations

from vov3d.data.sources.detect import read_index
from vov3d.data.sources.index import VideoIndex, VideoItem

__all__ = ["VideoIndex", "VideoItem", "read_index"]
