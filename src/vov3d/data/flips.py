"""What a mirror image shows: the class that each class becomes when its videos are flipped from left to right.

Most classes stay what they are. A class whose name says a direction becomes the class that says the opposite one; where
there is no such class, its videos must not be flipped at all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

COUNTER = "counterclockwise"
OPPOSITES = {
    "left": "right",
    "leftward": "rightward",
    "leftwards": "rightwards",
    "leftmost": "rightmost",
    "lefthand": "righthand",
    "lefthanded": "righthanded",
    "west": "east",
    "westward": "eastward",
    "clockwise": COUNTER,
}
MIRROR = OPPOSITES | {opposite: word for word, opposite in OPPOSITES.items()}
SYNONYMS = {
    "cw": "clockwise",
    "ccw": "counterclockwise",
    "acw": "counterclockwise",
    "anticlockwise": "counterclockwise",
}
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W_A-Za-z]+")  # "swipeLeft", "TURN_CW" and "left2right" are several
SPLIT_TURN = re.compile(r"\b(?:(counter|anti) )?clock ?wise\b")


def flip_labels(labels: Sequence[str]) -> tuple[int | None, ...]:
    """For each class, the class that its mirror image shows.

    Names are compared by their words: case, spaces, underscores and hyphens do not matter, nor which of the usual
    words for a turn is used ("clockwise", "cw", "counter-clockwise", "anticlockwise", "ccw").

    Args:
        labels: names of all classes.

    Returns:
        An index into `labels` for each of them: its own where the name says no direction, that of the class with the
        opposite directions where it does, None where no such class exists, so that the class is never flipped.
    """
    words = [_words(label) for label in labels]
    places = {name: place for place, name in reversed(list(enumerate(words)))}
    mirrored = [tuple(MIRROR.get(word, word) for word in name) for name in words]
    return tuple(
        place if flipped == name else places.get(flipped)
        for place, (name, flipped) in enumerate(zip(words, mirrored, strict=True))
    )


def _words(label: str) -> tuple[str, ...]:
    """The words of a name in lower case, one word for each turn."""
    text = " ".join(WORD.findall(label)).lower()
    text = SPLIT_TURN.sub(lambda turn: COUNTER if turn[1] else "clockwise", text)
    return tuple(SYNONYMS.get(word, word) for word in text.split())
