"""The scores of a classifier, from probabilities and true labels: pure arithmetic on arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class ClassScore:
    """How well one class is recognised.

    Attributes:
        label: name of the class.
        num_videos: videos of this class that were scored.
        top1: fraction of them that were named right; None where the class has no videos, or videos have several labels.
        average_precision: of several labels a video, how well the videos of the class are ranked before the others, see
            `average_precision`; else None, as where the class has no videos.
    """

    label: str
    num_videos: int
    top1: float | None
    average_precision: float | None = None


@dataclass(frozen=True)
class Scores:
    """What a set of videos says about a classifier; accuracies are fractions.

    Attributes:
        num_videos: V, videos scored.
        num_classes: K, classes the network tells apart.
        top1: fraction of videos whose most probable class is the true one; of several labels a video, one of the true
            ones, over the videos that have any, which is called hit at 1.
        top5: fraction of videos whose true class, or one of them, is among the five most probable; 1.0 with five
            classes or fewer.
        macro_top1: mean of the classes' own accuracies, over the classes that have videos, so that a rare class counts
            as much as a common one; None of several labels a video.
        chance: what answers at random score: expected top-1 of a uniformly random answer, 1 / K; of several labels a
            video, about the mean average precision of random probabilities, which is the mean share of videos that show
            a class.
        labels: the names of the classes, in the order of the rows and columns of ``confusion``.
        per_class: one score a class, in the same order.
        confusion: ``confusion[i][j]`` videos of class i were taken for class j; empty of several labels a video.
        multi_label: whether a video may have several labels, or none.
        mean_average_precision: of several labels a video, the mean over the classes that have videos of their average
            precision; None where no class has any, and of one label a video.
    """

    num_videos: int
    num_classes: int
    top1: float
    top5: float
    macro_top1: float | None
    chance: float
    labels: tuple[str, ...]
    per_class: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]
    multi_label: bool = False
    mean_average_precision: float | None = None


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


def score_multi_label(probs: npt.ArrayLike, targets: npt.ArrayLike, label_names: Sequence[str]) -> Scores:
    """The scores of V videos over K classes, of which each video shows any number.

    Shape:
        probs: [V, K], targets: [V, K].

    Args:
        probs: probabilities, or anything that orders the videos of a class, and the classes of a video, alike.
        targets: whether the video shows the class, 1 or 0.
        label_names: the K names.

    Raises:
        ValueError: for shapes that do not agree, no videos, targets other than 0 and 1, or values that are not finite.
    """
    values, truth = np.asarray(probs, dtype=np.float64), np.asarray(targets)
    _check_multi_label(values, truth, len(label_names))
    shown = truth.astype(bool)
    counts = shown.sum(axis=0)
    precisions = [average_precision(values[:, label], shown[:, label]) for label in range(len(label_names))]
    known = [precision for precision in precisions if precision is not None]
    labelled = shown.any(axis=1)
    ranked = np.argsort(-values, axis=1, kind="stable")  # of equal values, the lower index first
    hits = np.take_along_axis(shown, ranked, axis=1)[labelled]
    return Scores(
        num_videos=len(values),
        num_classes=len(label_names),
        top1=float(hits[:, :1].any(axis=1).mean()) if len(hits) else 0.0,
        top5=float(hits[:, :5].any(axis=1).mean()) if len(hits) else 0.0,
        macro_top1=None,
        chance=float(counts[counts > 0].mean() / len(values)) if known else 0.0,
        labels=tuple(label_names),
        per_class=tuple(
            ClassScore(name, int(count), None, precision)
            for name, count, precision in zip(label_names, counts, precisions, strict=True)
        ),
        confusion=(),
        multi_label=True,
        mean_average_precision=sum(known) / len(known) if known else None,
    )


def average_precision(values: npt.NDArray[np.float64], shown: npt.NDArray[np.bool_]) -> float | None:
    """The area under the steps of one class's precision over its recall: sum of (R_n - R_(n-1)) P_n.

    The videos are ranked by what the network gives them; n runs over the different values, so that equal values are one
    threshold and their order does not matter. Nothing is interpolated.

    Shape:
        values: [V], shown: [V].

    Args:
        values: what ranks the videos, the largest first.
        shown: which of them show the class.

    Returns:
        0 to 1; None where no video shows the class.

    Source:
        Manning, Raghavan and Schuetze, "Introduction to Information Retrieval", 2008, Section 8.4.
    """
    if not shown.any():
        return None
    order = np.argsort(-values, kind="stable")
    last_of_equals = np.append(np.flatnonzero(np.diff(values[order])), len(values) - 1)
    hits = shown[order].cumsum()[last_of_equals]
    precision = hits / (last_of_equals + 1)
    return float((np.diff(hits, prepend=0) * precision).sum() / hits[-1])


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
    _check_finite(values)


def _check_multi_label(values: npt.NDArray[np.float64], truth: npt.NDArray[np.generic], num_names: int) -> None:
    if values.ndim != 2 or truth.shape != values.shape or values.shape[1] != num_names:
        raise ValueError(
            f"probs {list(values.shape)}, targets {list(truth.shape)} and {num_names} names do not agree; "
            "give probs [V, K], targets [V, K] and K names"
        )
    if not len(truth):
        raise ValueError("there are no videos to score; give at least one")
    if not np.isin(truth, (0, 1)).all():
        raise ValueError("targets hold other values than 0 and 1; give 1 for each class that a video shows")
    _check_finite(values)


def _check_finite(values: npt.NDArray[np.float64]) -> None:
    if not np.isfinite(values).all():
        raise ValueError("probs hold values that are not finite; the network has diverged or its input was broken")
