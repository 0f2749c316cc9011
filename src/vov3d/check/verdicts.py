"""From findings to what to do about them."""

from __future__ import annotations

from collections.abc import Iterator

from vov3d.check.report import SHORT_FRAMES, DataReport, Verdict

UNEVEN_RATIO = 5.0


def verdicts(report: DataReport) -> Iterator[Verdict]:
    """What is wrong, what is worth a look, and whether a training can start."""
    num_videos = sum(split.num_videos for split in report.splits)
    num_tried = sum(split.num_opened for split in report.splits) + len(report.broken)
    if report.broken:
        yield Verdict(
            "wrong",
            f"videos that cannot be decoded: {len(report.broken)} of {num_tried}; repair them or take them out "
            "(a training sets them aside, an evaluation stops)",
        )
    if report.leaked:
        yield Verdict(
            "wrong",
            f"videos that are in several splits: {len(report.leaked)}; delete all copies but one, "
            "or the accuracy looks better than it is",
        )
    if report.contradictory:
        yield Verdict("wrong", f"videos with copies under another label: {len(report.contradictory)}; decide for one")
    if report.duplicates:
        yield Verdict("look", f"videos more than once in a split: {len(report.duplicates)}; delete the copies")
    if report.shared_names:
        yield Verdict(
            "look",
            f"videos in val with a namesake in train: {len(report.shared_names)}; if both are cut from one recording, "
            "move them to the same side",
        )
    if report.imbalance > UNEVEN_RATIO:
        learned = sorted((one.num_videos["train"], one.label) for one in report.classes if one.num_videos["train"])
        (fewest, rare), (most, common) = learned[0], learned[-1]
        fair = "mAP" if report.multi_label else "macro top-1"
        yield Verdict(
            "look",
            f"videos in train from {fewest} of {rare!r} to {most} of {common!r}; add some of the rare classes, "
            f"and read the {fair}, which counts every class alike",
        )
    if report.short:
        yield Verdict(
            "look",
            f"videos with fewer than {SHORT_FRAMES} frames: {len(report.short)}; a clip of {SHORT_FRAMES} repeats some",
        )
    if num_tried < num_videos:
        yield Verdict("look", f"videos not opened: {num_videos - num_tried} of {num_videos}; nothing is known of them")
    if not (report.broken or report.leaked or report.contradictory):
        how = ", with --train.loss sigmoid" if report.multi_label else ""
        yield Verdict("good", f"nothing stands in the way of a training{how}")
