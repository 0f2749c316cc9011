"""What a run reads, in a few words that are equal where the same clips come of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from vov3d.data.cache import VideoCache
from vov3d.data.sources import VideoIndex
from vov3d.errors import RunFolderError

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


def check_unchanged(begun: Mapping[str, str], found: Mapping[str, str], index: VideoIndex, run: Path) -> None:
    """See to it that a run goes on with what it began with.

    Args:
        begun: the fingerprint of what it began with.
        found: that of what is given now.
        index: the data set that is given now.
        run: its folder, for the message.

    Raises:
        RunFolderError: naming what differs, and what to do.
    """
    for what in (TRAIN, VAL):
        if begun[what] != found[what]:
            num_videos = len(index.splits.get("train" if what == TRAIN else "val", ()))
            raise RunFolderError(
                f"the run in {str(run)!r} was begun with other {what} than the {num_videos} in {len(index.labels)} "
                f"classes of {str(index.root)!r}; give its --data, or a new --out"
            )
    if begun[CACHE] == found[CACHE]:
        return
    told = f"with other copies ({begun[CACHE]}) than --cache makes now ({found[CACHE]}); give a new --out"
    if begun[CACHE] == NO_CACHE:
        told = "without --cache, whose copies are not quite the videos; leave it out"
    if found[CACHE] == NO_CACHE:
        told = "with --cache, whose copies are not quite the videos; give it, any folder will do"
    raise RunFolderError(f"the run in {str(run)!r} was begun {told}")


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
