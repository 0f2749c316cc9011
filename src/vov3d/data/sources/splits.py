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
    parts: Mapping[str, Sequence[VideoItem]], val_fraction: float, seed: int, *, multi_label: bool = False
) -> tuple[dict[str, tuple[VideoItem, ...]], tuple[str, ...]]:
    """Make sure that there is a val split beside train.

    Args:
        parts: the splits as given, train among them; videos without a split are "train" alone.
        val_fraction: share of each class that an automatic split sets aside, between 0 and 1.
        seed: of the automatic split.
        multi_label: whether a video without a class is one that shows none, and not one whose class is unknown.

    Returns:
        The splits, and notes on what was done to them.
    """
    splits = {name: tuple(items) for name, items in parts.items() if items}
    if "val" in splits:
        return splits, ()
    if "test" in splits and (multi_label or all(item.label >= 0 for item in splits["test"])):
        return {"train": splits["train"], "val": splits["test"]}, ("there is no val split: test serves as val",)
    train, val = automatic_split(splits["train"], val_fraction, seed)
    about = "about " if multi_label else ""
    note = (
        f"no split was given: {about}{val_fraction:.0%} of each class is val ({len(val)} of {len(train) + len(val)} "
        f"videos, drawn by file name with seed {seed}); a class with a single video keeps it in train"
    )
    return {**splits, "train": train, "val": val}, (note,)


def automatic_split(
    items: Sequence[VideoItem], val_fraction: float, seed: int
) -> tuple[tuple[VideoItem, ...], tuple[VideoItem, ...]]:
    """Set a share of each class aside.

    Each class is ranked by a hash of seed and file name, and its first videos become val. So the split does not depend
    on the order of the files or on other classes, and a new video moves at most one other video of its class.

    Where a video shows several classes, the rarest class chooses first, and the videos that it chose count for the
    others too; no class loses its last video of train. Videos that show none count as a class.

    Returns:
        Train and val, both in the order given. Every class with two videos or more is in both; of several labels a
        video, every class is in train.

    Source:
        Sechidis, Tsoumakas and Vlahavas, "On the stratification of multi-label data", ECML PKDD 2011.
    """
    classes: defaultdict[int, list[VideoItem]] = defaultdict(list)
    for item in items:
        for label in _groups(item):
            classes[label].append(item)
    left = {label: len(members) for label, members in classes.items()}
    chosen: set[str] = set()
    for label, members in sorted(classes.items(), key=lambda entry: (len(entry[1]), entry[0])):
        num_val = min(max(round(len(members) * val_fraction), 1), len(members) - 1)
        for item in sorted(members, key=lambda item: (_rank(item.name, seed), item.name)):
            if len(members) - left[label] >= num_val:
                break
            if item.name not in chosen and all(left[other] > 1 for other in _groups(item)):
                chosen.add(item.name)
                for other in _groups(item):
                    left[other] -= 1
    train = tuple(item for item in items if item.name not in chosen)
    return train, tuple(item for item in items if item.name in chosen)


def _groups(item: VideoItem) -> tuple[int, ...]:
    return item.classes or (item.label,)


def _rank(name: str, seed: int) -> bytes:
    text = unicodedata.normalize("NFC", name)  # macOS may store the same name decomposed
    return blake2b(f"{seed}:{text}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
