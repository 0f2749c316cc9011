"""The scores of a classifier, from probabilities and true labels: pure arithmetic on arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class ClassScore:
    """The accuracy within one class.

    Attributes:
        label: name of the class.
        num_videos: videos of this class that were scored.
        top1: fraction of them that were named right; None where the class has no videos.
    """

    label: str
    num_videos: int
    top1: float | None


@dataclass(frozen=True)
class Scores:
    """What a set of videos says about a classifier; accuracies are fractions.

    Attributes:
        num_videos: V, videos scored.
        num_classes: K, classes the network tells apart.
        top1: fraction of videos whose most probable class is the true one.
        top5: fraction of videos whose true class is among the five most probable; 1.0 with five classes or fewer.
        macro_top1: mean of the classes' own accuracies, over the classes that have videos, so that a rare class counts
            as much as a common one.
        chance: expected top-1 of a uniformly random answer, 1 / K.
        labels: the names of the classes, in the order of the rows and columns of ``confusion``.
        per_class: one score a class, in the same order.
        confusion: ``confusion[i][j]`` videos of class i were taken for class j.
    """

    num_videos: int
    num_classes: int
    top1: float
    top5: float
    macro_top1: float
    chance: float
    labels: tuple[str, ...]
    per_class: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]


def score(probs: npt.ArrayLike, labels: npt.ArrayLike, label_names: Sequence[str]) -> Scores:
    """The scores of V videos over K classes.

    Where several classes have the same probability, the one with the lower index counts as the more probable, so that
    equal inputs give equal scores on every machine.

    Shape:
        probs: [V, K], labels: [V].

    Args:
        probs: probabilities, or anything that orders the classes of a video in the same way.
        labels: indices of the true classes, each in [0, K).
        label_names: the K names.

    Raises:
        ValueError: for shapes that do not agree, no videos, labels outside [0, K), or values that are not finite.
    """
    values = np.asarray(probs, dtype=np.float64)
    truth = np.asarray(labels)
    _check(values, truth, len(label_names))
    num_videos, num_classes = values.shape
    rank = _rank_of_truth(values, truth)
    confusion = np.zeros((num_classes, num_classes), dtype=np.int64)
    np.add.at(confusion, (truth, values.argmax(axis=1)), 1)  # argmax too gives equal values to the lower index
    totals = confusion.sum(axis=1)
    per_class = tuple(
        ClassScore(name, int(total), int(right) / int(total) if total else None)
        for name, total, right in zip(label_names, totals, confusion.diagonal(), strict=True)
    )
    seen = [one.top1 for one in per_class if one.top1 is not None]
    return Scores(
        num_videos=num_videos,
        num_classes=num_classes,
        top1=int((rank < 1).sum()) / num_videos,
        top5=int((rank < 5).sum()) / num_videos,
        macro_top1=sum(seen) / len(seen),
        chance=1 / num_classes,
        labels=tuple(label_names),
        per_class=per_class,
        confusion=tuple(tuple(row) for row in confusion.tolist()),
    )


def wilson_interval(accuracy: float, num_videos: int) -> tuple[float, float]:
    """The range in which the accuracy lies with 95 % confidence, given how few videos it was measured on.

    Args:
        accuracy: measured fraction, 0 to 1.
        num_videos: videos it was measured on, at least 1.

    Returns:
        Lower and upper bound, fractions.

    Source:
        Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22, 1927.
    """
    if num_videos < 1 or not 0 <= accuracy <= 1:
        raise ValueError(f"an accuracy of {accuracy} on {num_videos} videos is not possible; give 0 to 1 on at least 1")
    z = 1.959964
    spread = 1 + z * z / num_videos
    centre = (accuracy + z * z / (2 * num_videos)) / spread
    half = z / spread * math.sqrt(accuracy * (1 - accuracy) / num_videos + z * z / (4 * num_videos**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def _rank_of_truth(values: npt.NDArray[np.float64], truth: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """How many classes come before the true one, [V]."""
    own = np.take_along_axis(values, truth[:, None], axis=1)  # [V, 1]
    lower_index = np.arange(values.shape[1])[None, :] < truth[:, None]
    ahead: npt.NDArray[np.int64] = ((values > own) | ((values == own) & lower_index)).sum(axis=1)
    return ahead


def _check(values: npt.NDArray[np.float64], truth: npt.NDArray[np.int64], num_names: int) -> None:
    if values.ndim != 2 or truth.shape != values.shape[:1] or values.shape[1] != num_names:
        raise ValueError(
            f"probs {list(values.shape)}, labels {list(truth.shape)} and {num_names} names do not agree; "
            "give probs [V, K], labels [V] and K names"
        )
    if not len(truth):
        raise ValueError("there are no videos to score; give at least one")
    if not np.issubdtype(truth.dtype, np.integer):
        raise ValueError(f"labels have the type {truth.dtype}; give indices, whole numbers")
    if truth.min() < 0 or truth.max() >= num_names:
        raise ValueError(f"labels reach from {truth.min()} to {truth.max()}; give indices from 0 to {num_names - 1}")
    if not np.isfinite(values).all():
        raise ValueError("probs hold values that are not finite; the network has diverged or its input was broken")
