"""Scores against numbers worked out by hand and against a loop."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest

from vov3d.metrics import ClassScore, score, wilson_interval

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
    assert read["per_class"][3] == {"label": "never seen", "num_videos": 0, "top1": None}


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
