"""`vov3d check` finds what is wrong with a data set, and leaves the data set alone."""

from __future__ import annotations

import io
import shutil
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from vov3d.check import DataReport, Spread, check, render
from vov3d.check.opened import Opened, try_to_open
from vov3d.data.sources import VideoItem
from vov3d.errors import DataError


def write_video(path: Path, seed: int, num_frames: int = 20, size: tuple[int, int] = (32, 48)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.height, stream.width = size
        for shift in range(num_frames):
            frame = av.VideoFrame.from_ndarray(np.roll(picture, shift, axis=1), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes; one video broken, one there twice, one in train and val, one short, one in two classes."""
    root = tmp_path_factory.mktemp("data")
    for number in range(6):
        write_video(root / f"train/left/{number}.mp4", number)
    write_video(root / "train/right/10.mp4", 10, num_frames=7, size=(48, 32))
    write_video(root / "val/left/g01_c02.mp4", 20)
    write_video(root / "val/right/21.mp4", 21)
    write_video(root / "train/left/G01_c01.mp4", 22)
    shutil.copy(root / "train/left/0.mp4", root / "train/left/copy.mp4")
    shutil.copy(root / "train/left/1.mp4", root / "val/left/leak.mp4")
    shutil.copy(root / "train/left/2.mp4", root / "val/right/other.mp4")
    (root / "train/left/broken.mp4").write_bytes(b"no video at all")
    return root


@pytest.fixture(scope="module")
def report(data: Path) -> DataReport:
    return check(data, workers=2)


def test_counts(report: DataReport) -> None:
    train, val = report.splits
    assert (train.split, train.num_videos, train.num_opened, train.num_classes) == ("train", 10, 9, 2)
    assert (val.split, val.num_videos, val.num_opened, val.num_classes) == ("val", 4, 4, 2)
    assert train.num_frames == Spread(7, 20, 20)
    assert val.duration_seconds == Spread(2.0, 2.0, 2.0)
    assert val.fps == Spread(10.0, 10.0, 10.0)
    assert report.resolutions == {"48x32": 12, "32x48": 1}
    assert report.codecs == {"mpeg4": 13}
    assert [dict(one.num_videos) for one in report.classes] == [{"train": 9, "val": 2}, {"train": 1, "val": 2}]
    assert [(one.label, one.mirror) for one in report.classes] == [("left", "right"), ("right", "left")]


def test_findings(report: DataReport) -> None:
    assert [one.path for one in report.broken] == ["train/left/broken.mp4"]
    assert report.broken[0].reason
    assert report.duplicates == (("train/left/0.mp4", "train/left/copy.mp4"),)
    assert report.leaked == (
        ("train/left/1.mp4", "val/left/leak.mp4"),
        ("train/left/2.mp4", "val/right/other.mp4"),
    )
    assert report.contradictory == (("train/left/2.mp4", "val/right/other.mp4"),)
    assert report.shared_names == (("train/left/G01_c01.mp4", "val/left/g01_c02.mp4"),)
    assert report.short == ("train/right/10.mp4",)
    assert report.imbalance == 9


def test_verdicts(report: DataReport) -> None:
    assert [(one.level, one.text.split(";")[0]) for one in report.verdicts] == [
        ("wrong", "videos that cannot be decoded: 1 of 14"),
        ("wrong", "videos that are in several splits: 2"),
        ("wrong", "videos with copies under another label: 1"),
        ("look", "videos more than once in a split: 1"),
        ("look", "videos in val with a namesake in train: 1"),
        ("look", "videos in train from 1 of 'right' to 9 of 'left'"),
        ("look", "videos with fewer than 16 frames: 1"),
    ]


def test_nothing_is_changed(data: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in sorted(data.rglob("*"))}
    check(data, workers=1)
    assert {path: path.stat().st_mtime_ns for path in sorted(data.rglob("*"))} == before


def test_render(report: DataReport) -> None:
    console = Console(file=io.StringIO(), width=160)
    render(report, console)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "class folders with the splits train and val" in text
    assert "7 to 20, median 20" in text
    assert "train/left/1.mp4 = val/left/leak.mp4" in text
    assert "train/left/broken.mp4: " in text
    assert text.rstrip().endswith("a clip of 16 repeats some")


def test_markup_in_names_is_text(tmp_path: Path) -> None:
    for seed, name in enumerate(("[red]/1", "[red]/2", "[b]\n/3", "[b]\n/4")):
        write_video(tmp_path / f"{name}.mp4", seed)
    console = Console(file=io.StringIO(), width=160)
    render(check(tmp_path), console)
    assert isinstance(console.file, io.StringIO)
    assert "[red]" in console.file.getvalue() and r"[b]\n " in console.file.getvalue()


def test_a_sound_set_in_part(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for label in "ab":
            for number in range(3):
                write_video(tmp_path / split / label / f"{number}.mp4", len(list(tmp_path.rglob("*.mp4"))))
    calls: list[tuple[int, int]] = []
    part = check(tmp_path, max_videos=2, on_progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [one.num_opened for one in part.splits] == [2, 2]
    assert [(one.level, one.text) for one in part.verdicts] == [
        ("look", "videos not opened: 8 of 12; nothing is known of them"),
        ("good", "nothing stands in the way of a training"),
    ]
    assert [one.mirror for one in part.classes] == ["a", "b"]


def test_frame_folders(tmp_path: Path) -> None:
    for name in ("a/1", "a/2", "b/1", "b/2"):
        for number in range(3):
            file = tmp_path / name / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 6), (number, 0, 0) if name != "b/2" else (0, number, 0)).save(file)
    report = check(tmp_path)
    assert sorted(map(len, (*report.duplicates, *report.leaked))) == [3]
    assert report.resolutions == {"8x6": 4}
    assert len(report.short) == 4


def test_unreadable_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is empty; PATH may be"):
        check(tmp_path)


def test_several_labels_count_in_each_class(tmp_path: Path) -> None:
    labels = {
        "0": ("a", "b"),
        "1": ("a",),
        "2": (),
        "3": ("a",),
        "4": ("b", "a"),
        "5": ("a",),
        "6": ("a",),
        "7": ("a",),
    }
    for number in labels:
        write_video(tmp_path / f"{number}.mp4", int(number))
    shutil.copy(tmp_path / "0.mp4", tmp_path / "same.mp4")
    shutil.copy(tmp_path / "1.mp4", tmp_path / "other.mp4")
    labels |= {"same": ("b", "a"), "other": ("b", "a")}
    rows = [f"{name}.mp4,{'|'.join(shown)},{'val' if name in '45' else 'train'}" for name, shown in labels.items()]
    (tmp_path / "list.csv").write_text("path,labels,split\n" + "\n".join(rows) + "\n")
    report = check(tmp_path / "list.csv")
    assert report.multi_label
    assert [(one.label, dict(one.num_videos)) for one in report.classes] == [
        ("a", {"train": 7, "val": 2}),
        ("b", {"train": 3, "val": 1}),
    ]
    assert [(one.num_videos, one.num_classes) for one in report.splits] == [(8, 2), (2, 2)]
    assert report.imbalance == pytest.approx(7 / 3)
    assert report.contradictory == (("1.mp4", "other.mp4"),)
    assert report.duplicates == (("0.mp4", "same.mp4"), ("1.mp4", "other.mp4"))
    assert "several labels a video: 1.3 on average, at most 2, 1 of 10 videos have none" in report.notes


def test_a_sound_set_of_several_labels(tmp_path: Path) -> None:
    for number in range(9):
        write_video(tmp_path / f"{number}.mp4", number)
    rows = [f"{number}.mp4,{'a' if number else 'a|b'},{'train' if number < 8 else 'val'}" for number in range(9)]
    (tmp_path / "list.csv").write_text("path,labels,split\n" + "\n".join(rows) + "\n")
    verdicts = check(tmp_path / "list.csv").verdicts
    assert [one.text for one in verdicts] == [
        "videos in train from 1 of 'b' to 8 of 'a'; add some of the rare classes, "
        "and read the mAP, which counts every class alike",
        "nothing stands in the way of a training, with --train.loss sigmoid",
    ]


def test_who_interrupts_does_not_wait_for_the_videos_that_are_left(
    videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(split: str, item: VideoItem, frame_fps: float | None) -> Opened:
        seen.append(item)
        time.sleep(0.05)
        return try_to_open(split, item, frame_fps)

    def interrupt(done: int, _total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    seen: list[VideoItem] = []
    monkeypatch.setattr(sys.modules["vov3d.check.look"], "try_to_open", slowly)
    with pytest.raises(KeyboardInterrupt):
        check(videos, workers=1, on_progress=interrupt)
    assert 2 <= len(seen) <= 4
