"""What a run reads, in a few words that are equal where the same clips come of it."""

from __future__ import annotations

import hashlib
import json

from vov3d.data.cache import VideoCache
from vov3d.data.sources import VideoIndex

TRAIN, VAL, CACHE = "training videos", "validation videos", "cache"
"""The keys of a fingerprint."""

NO_CACHE = "none"


def fingerprint(index: VideoIndex, cache: VideoCache | None = None) -> dict[str, str]:
    """Return what tells these videos, in their order and with their labels, and how they are read, from others.

    Args:
        index: the data set; where it lies does not matter.
        cache: the copies that are read in place of the videos; where they lie does not matter.
    """
    kept = [index.labels, index.flip, index.frame_fps, index.multi_label]
    train, val = index.splits["train"], index.splits.get("val", ())
    places = [item.packed and (item.path.name, item.packed.offset) for item in train]  # the order depends on them
    return {
        TRAIN: _digest([kept, [(item.name, *item.classes) for item in train], places]),
        VAL: _digest([kept, [(item.name, *item.classes) for item in val]]),
        CACHE: NO_CACHE if cache is None else cache.settings,
    }


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
