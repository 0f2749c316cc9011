"""Which videos are learned from and which are measured on."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from hashlib import blake2b

from vov3d.data.sources.index import VideoItem

SPLIT_WORDS: Mapping[str, str] = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}


def split_of(word: str) -> str | None:
    """The split that a word stands for, in any case; None if it stands for none."""
    return SPLIT_WORDS.get(word.lower())


def settle_splits(
    parts: Mapping[str, Sequence[VideoItem]], val_fraction: float, seed: int
) -> tuple[dict[str, tuple[VideoItem, ...]], tuple[str, ...]]:
    """Make sure that there is a val split beside train.

    Args:
        parts: the splits as given, train among them; videos without a split are "train" alone.
        val_fraction: share of each class that an automatic split sets aside, between 0 and 1.
        seed: of the automatic split.

    Returns:
        The splits, and notes on what was done to them.
    """
    splits = {name: tuple(items) for name, items in parts.items() if items}
    if "val" in splits:
        return splits, ()
    if "test" in splits and all(item.label >= 0 for item in splits["test"]):
        return {"train": splits["train"], "val": splits["test"]}, ("there is no val split: test serves as val",)
    train, val = automatic_split(splits["train"], val_fraction, seed)
    note = (
        f"no split was given: {val_fraction:.0%} of each class is val ({len(val)} of {len(train) + len(val)} videos, "
        f"drawn by file name with seed {seed}); a class with a single video keeps it in train"
    )
    return {**splits, "train": train, "val": val}, (note,)


def automatic_split(
    items: Sequence[VideoItem], val_fraction: float, seed: int
) -> tuple[tuple[VideoItem, ...], tuple[VideoItem, ...]]:
    """Set a share of each class aside.

    Each class is ranked by a hash of seed and file name, and its first videos become val. So the split does not depend
    on the order of the files or on other classes, and a new video moves at most one other video of its class.

    Returns:
        Train and val, both in the order given. Every class with two videos or more is in both.
    """
    classes: defaultdict[int, list[VideoItem]] = defaultdict(list)
    for item in items:
        classes[item.label].append(item)
    chosen: set[str] = set()
    for members in classes.values():
        num_val = min(max(round(len(members) * val_fraction), 1), len(members) - 1)
        ranked = sorted(members, key=lambda item: (_rank(item.name, seed), item.name))
        chosen.update(item.name for item in ranked[:num_val])
    train = tuple(item for item in items if item.name not in chosen)
    return train, tuple(item for item in items if item.name in chosen)


def _rank(name: str, seed: int) -> bytes:
    text = unicodedata.normalize("NFC", name)  # macOS may store the same name decomposed
    return blake2b(f"{seed}:{text}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
