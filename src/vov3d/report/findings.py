"""What the numbers of a run say, in words; every judgement allows for how few videos were tested."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from vov3d.report.reading import Evaluation


@dataclass(frozen=True)
class Confusion:
    """Videos of one class that were taken for another."""

    label: str
    predicted: str
    count: int
    num_videos: int


def most_confused(evaluation: Evaluation, limit: int) -> list[Confusion]:
    """The pairs of classes that were mistaken most often, most frequent first, then the largest share of the class."""
    pairs = [
        Confusion(evaluation.labels[i], evaluation.labels[j], count, sum(row))
        for i, row in enumerate(evaluation.confusion)
        for j, count in enumerate(row)
        if i != j and count
    ]
    return sorted(pairs, key=lambda pair: (-pair.count, pair.num_videos))[:limit]


def commonest_class(evaluation: Evaluation) -> float:
    """The top-1 accuracy of always answering the class with the most videos."""
    return max(one.num_videos for one in evaluation.per_class) / evaluation.num_videos


def frame_order(evaluations: Mapping[str, Evaluation]) -> list[str]:
    """What the control shows: the same network on the same videos with their frames in another order.

    Args:
        evaluations: ``"given"``, and ``"shuffled"`` or ``"reversed"`` or both.

    Returns:
        Sentences, one paragraph each; none without a control.
    """
    given = evaluations["given"]
    if given.multi_label:
        return _without_doubt(evaluations)
    controls = [evaluations[order] for order in ("shuffled", "reversed") if order in evaluations]
    if not controls:
        return []
    if given.top1 - given.chance <= _doubt(given):
        return [
            f"In the given order the network scores {percent(given.top1)}, which {given.num_videos} videos cannot tell "
            f"from chance ({percent(given.chance)}). The control says something only once the network has learned."
        ]
    sentences = []
    if "shuffled" in evaluations:
        sentences.append(_shuffled(given, evaluations["shuffled"]))
    if "reversed" in evaluations:
        sentences.append(_reversed(given, evaluations["reversed"]))
    if any(control.num_videos != given.num_videos for control in controls):
        sentences.append("The evaluations cover different numbers of videos, so compare them with care.")
    return sentences


def _without_doubt(evaluations: Mapping[str, Evaluation]) -> list[str]:
    """The control in mean average precision, which has no simple interval: the numbers alone."""
    given = evaluations["given"]
    words = {"shuffled": "with the frames of each clip in random order", "reversed": "played backwards"}
    found = [f"{percent(one.headline)} {words[order]}" for order, one in evaluations.items() if order in words]
    if not found:
        return []
    return [
        f"In the given order the mean average precision is {percent(given.headline)}, {' and '.join(found)}; chance is "
        f"about {percent(given.chance)}. What is lost is what the network took from the order of the frames, as far as "
        f"{given.num_videos} videos can tell."
    ]


def percent(fraction: float | None) -> str:
    """A fraction as this report writes it: percent with one decimal."""
    return "–" if fraction is None or not math.isfinite(fraction) else f"{100 * fraction:.1f}%"


def _shuffled(given: Evaluation, shuffled: Evaluation) -> str:
    start = (
        f"With the frames of each clip in random order the same network scores {percent(shuffled.top1)} instead of "
        f"{percent(given.top1)}; chance is {percent(given.chance)}. "
    )
    lost, doubt = given.top1 - shuffled.top1, _doubt(given, shuffled)
    if abs(lost) <= doubt:
        return start + (
            f"A difference of up to {_points(doubt)} points can be luck with {given.num_videos} videos, so this does "
            "not show that the network uses the order of the frames."
        )
    if lost < 0:
        return start + "A network that does better without time has learned something wrong, or the data has a fault."
    above_chance = given.top1 - given.chance
    from_order = min(lost, above_chance)
    if from_order == above_chance:
        return start + f"So all of its {_points(above_chance)} points above chance come from the order of the frames."
    return start + (
        f"So {_points(from_order)} of its {_points(above_chance)} points above chance come from the order of the "
        "frames; the rest can be had from what the frames show."
    )


def _reversed(given: Evaluation, backwards: Evaluation) -> str:
    start = f"Played backwards, the videos score {percent(backwards.top1)}. "
    if given.top1 - backwards.top1 <= _doubt(given, backwards):
        return start + "That is no clear loss: these classes, or this network, need little of the direction of time."
    swaps = [pair for pair in most_confused(backwards, 3) if pair.count >= max(2, pair.num_videos / 2)]
    if not swaps:
        return start + "The network depends on the direction of time."
    named = ", ".join(f"{pair.label} becomes {pair.predicted} ({pair.count} of {pair.num_videos})" for pair in swaps)
    return start + f"The network depends on the direction of time: {named}."


def _points(difference: float) -> str:
    return f"{100 * difference:.1f}"


def _doubt(*evaluations: Evaluation) -> float:
    """How far one accuracy, or the difference of two, can be off by luck, at 95 %, as if on different videos.

    A variance of zero (all right, all wrong) is no certainty with few videos, so it is never taken below that of half
    a video.
    """
    return 1.96 * math.sqrt(sum(max(e.top1 * (1 - e.top1), 0.25 / e.num_videos) / e.num_videos for e in evaluations))
