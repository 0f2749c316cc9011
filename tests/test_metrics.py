"""Scores against numbers worked out by hand and against a loop."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest

from vov3d.metrics import ClassScore, average_precision, score, score_multi_label, wilson_interval

NAMES = ("run", "jump", "sit", "never seen")


def test_scores_worked_out_by_hand() -> None:
    probs = [
        [0.7, 0.1, 0.1, 0.1],  # run, right
        [0.2, 0.5, 0.2, 0.1],  # run, taken for jump
        [0.1, 0.6, 0.2, 0.1],  # run, taken for jump
        [0.1, 0.2, 0.6, 0.1],  # sit, right
        [0.1, 0.2, 0.6, 0.1],  # jump, taken for sit
        [0.3, 0.4, 0.2, 0.1],  # jump, right
    ]
    scores = score(probs, [0, 0, 0, 2, 1, 1], NAMES)
    assert scores.num_videos == 6
    assert scores.num_classes == 4
    assert scores.top1 == 3 / 6
    assert scores.top5 == 1.0
    assert scores.macro_top1 == pytest.approx((1 / 3 + 1 / 2 + 1) / 3)
    assert scores.chance == 0.25
    assert scores.confusion == ((1, 2, 0, 0), (0, 1, 1, 0), (0, 0, 1, 0), (0, 0, 0, 0))
    assert scores.per_class == (
        ClassScore("run", 3, 1 / 3),
        ClassScore("jump", 2, 0.5),
        ClassScore("sit", 1, 1.0),
        ClassScore("never seen", 0, None),
    )


def test_scores_equal_those_of_a_loop() -> None:
    rng = np.random.default_rng(0)
    num_videos, num_classes = 300, 9
    probs = rng.integers(0, 6, (num_videos, num_classes)) / 6  # with many ties
    labels = rng.integers(0, num_classes, num_videos)
    names = [str(index) for index in range(num_classes)]
    right1 = right5 = 0
    confusion = [[0] * num_classes for _ in names]
    for row, label in zip(probs, labels, strict=True):
        order = sorted(range(num_classes), key=lambda index, row=row: (-row[index], index))
        right1 += order[0] == label
        right5 += label in order[:5]
        confusion[label][order[0]] += 1
    scores = score(probs, labels, names)
    assert 0 < right1 < right5 < num_videos
    assert (scores.top1, scores.top5) == (right1 / num_videos, right5 / num_videos)
    assert [list(row) for row in scores.confusion] == confusion


def test_of_equal_probabilities_the_lower_index_wins() -> None:
    probs = np.full((6, 6), 1 / 6, dtype=np.float32)
    scores = score(probs, np.arange(6), [str(index) for index in range(6)])
    assert scores.top1 == 1 / 6
    assert scores.top5 == 5 / 6
    assert [row[0] for row in scores.confusion] == [1] * 6


def test_scores_can_be_written_as_json() -> None:
    probs = np.eye(4, dtype=np.float32)
    read = json.loads(json.dumps(asdict(score(probs, np.array([0, 1, 2, 0]), NAMES))))
    assert read["confusion"][0] == [1, 0, 0, 1]
    assert read["per_class"][3] == {"label": "never seen", "num_videos": 0, "top1": None, "average_precision": None}
    several = json.loads(json.dumps(asdict(score_multi_label(probs, np.eye(4, dtype=np.int64), NAMES))))
    assert (several["confusion"], several["mean_average_precision"]) == ([], 1.0)


@pytest.mark.parametrize(
    ("probs", "labels", "message"),
    [
        (np.zeros((2, 3)), [0, 1], "do not agree"),
        (np.zeros((2, 4)), [0], "do not agree"),
        (np.zeros(4), [0], "do not agree"),
        (np.zeros((0, 4)), np.zeros(0, int), "no videos"),
        (np.zeros((2, 4)), [0, 4], "from 0 to 4"),
        (np.zeros((2, 4)), [-1, 0], "from -1 to 0"),
        (np.zeros((2, 4)), [0.0, 1.0], "float64"),
        (np.full((2, 4), np.nan), [0, 1], "not finite"),
    ],
)
def test_what_cannot_be_scored_is_refused(probs: np.ndarray, labels: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        score(probs, labels, NAMES)


def test_wilson_interval() -> None:
    assert wilson_interval(0.5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)  # published tables
    assert wilson_interval(0.0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    low, high = wilson_interval(1.0, 10_000)
    assert 0.999 < low < high == 1.0
    with pytest.raises(ValueError, match="not possible"):
        wilson_interval(0.5, 0)


# ---- several labels a video ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "shown", "expected"),
    [
        ([0.9, 0.8, 0.7, 0.6], [1, 1, 0, 0], 1.0),
        ([0.9, 0.8, 0.7, 0.6], [0, 0, 1, 1], (1 / 3 + 2 / 4) / 2),
        ([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1], (1 / 1 + 2 / 3) / 2),  # 0.83, the example in scikit-learn's manual
        ([0.9, 0.8, 0.8, 0.3], [1, 0, 1, 1], (1 + 2 / 3 + 3 / 4) / 3),  # a tie is one threshold
        ([0.8, 0.9, 0.3, 0.8], [1, 1, 1, 0], (1 + 2 / 3 + 3 / 4) / 3),  # and its order does not matter
        ([0.5, 0.5, 0.5, 0.5], [0, 1, 0, 0], 1 / 4),
        ([0.2, 0.2, 0.1, 0.1], [1, 0, 1, 1], 1 / 3 * 1 / 2 + 2 / 3 * 3 / 4),  # two hits at one threshold
        ([-3.0], [1], 1.0),
        ([0.9, 0.1], [0, 0], None),
    ],
)
def test_average_precision_worked_out_by_hand(values: list[float], shown: list[int], expected: float | None) -> None:
    found = average_precision(np.array(values), np.array(shown, bool))
    assert found == (None if expected is None else pytest.approx(expected))


def steps_of_the_curve(values: np.ndarray, shown: np.ndarray) -> float:
    """The definition: for each threshold the sets of found and of shown videos, from the highest to the lowest."""
    truth = set(np.flatnonzero(shown))
    area = last_recall = 0.0
    for threshold in sorted(set(values.tolist()), reverse=True):
        found = {number for number, value in enumerate(values) if value >= threshold}
        recall = len(found & truth) / len(truth)
        area += (recall - last_recall) * len(found & truth) / len(found)
        last_recall = recall
    return area


@pytest.mark.parametrize("num_values", [1, 3, 10, 1_000_000])
def test_several_labels_are_scored_as_by_the_definition(num_values: int) -> None:
    rng = np.random.default_rng(num_values)
    num_videos, num_classes = 60, 9
    probs = rng.integers(0, num_values, (num_videos, num_classes)) / num_values  # with all, many, some and no ties
    targets = (rng.random((num_videos, num_classes)) < 0.3).astype(int)
    targets[:, 4], targets[:5] = 0, 0  # a class without a video, and videos without a class
    scores = score_multi_label(probs, targets, [str(number) for number in range(num_classes)])
    expected = [steps_of_the_curve(probs[:, k], targets[:, k]) for k in range(num_classes) if k != 4]
    assert scores.per_class[4] == ClassScore("4", 0, None, None)
    found = [one.average_precision for one in scores.per_class if one.num_videos]
    assert found == pytest.approx(expected)
    assert scores.mean_average_precision == pytest.approx(sum(expected) / 8)
    assert [one.num_videos for one in scores.per_class] == targets.sum(0).tolist()
    assert scores.chance == pytest.approx(targets.sum() / 8 / num_videos)
    hit1 = hit5 = 0
    for row, target in zip(probs, targets, strict=True):
        order = sorted(range(num_classes), key=lambda k, row=row: (-row[k], k))
        hit1 += bool(target[order[0]])
        hit5 += bool(target[order[:5]].any())
    num_labelled = int(targets.any(1).sum())
    assert num_labelled < num_videos and 0 < hit1 < hit5
    assert (scores.top1, scores.top5) == pytest.approx((hit1 / num_labelled, hit5 / num_labelled))
    assert (scores.multi_label, scores.macro_top1, scores.confusion) == (True, None, ())


def test_chance_is_what_random_probabilities_score() -> None:
    rng = np.random.default_rng(0)
    targets = np.zeros((400, 3), int)
    targets[:40, 0], targets[:200, 1] = 1, 1
    names = ("a", "b", "c")
    drawn = [score_multi_label(rng.random((400, 3)), targets, names) for _ in range(50)]
    means = [one.mean_average_precision for one in drawn if one.mean_average_precision is not None]
    assert drawn[0].chance == pytest.approx(0.3)
    assert np.mean(means) == pytest.approx(0.3, abs=0.02)


def test_without_any_label_there_is_no_precision() -> None:
    scores = score_multi_label(np.ones((3, 2)), np.zeros((3, 2), int), ("a", "b"))
    assert (scores.mean_average_precision, scores.top1, scores.top5, scores.chance) == (None, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("probs", "targets", "message"),
    [
        (np.zeros((2, 3)), np.zeros((2, 3)), "do not agree"),
        (np.zeros((2, 4)), np.zeros((3, 4)), "do not agree"),
        (np.zeros((2, 4)), [0, 1], "do not agree"),
        (np.zeros((0, 4)), np.zeros((0, 4)), "no videos"),
        (np.zeros((2, 4)), np.full((2, 4), 2), "other values than 0 and 1"),
        (np.zeros((2, 4)), np.full((2, 4), 0.5), "other values than 0 and 1"),
        (np.full((2, 4), np.inf), np.zeros((2, 4)), "not finite"),
    ],
)
def test_several_labels_that_cannot_be_scored_are_refused(
    probs: np.ndarray, targets: np.ndarray | list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        score_multi_label(probs, targets, NAMES)
