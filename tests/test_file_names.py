"""A video may have any name: from the file to every table that tells of it."""

from __future__ import annotations

import csv
import os
import shutil
import sys
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from tests.data.video_files import Recording, numbered_picture
from tests.tiny import read_rows, write_video
from vov3d.check import check
from vov3d.cli import main
from vov3d.data.sources import read_index
from vov3d.data.video import open_video
from vov3d.evaluate import evaluate
from vov3d.predict import predict

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="most of these names are not allowed there")

STEMS = [
    "with  two spaces",
    " space at both ends ",
    unicodedata.normalize("NFC", "café naïve"),
    unicodedata.normalize("NFD", "café naïve"),
    "例 пример مثال",
    "🎬👩‍👩‍👧",
    "two\nlines",
    "a\ttab and\ra return",
    "-leading dash",
    "--help",
    "'single' and \"double\" quotes",
    '"quoted"',
    "100%d %s %20 %",
    "a:b",
    "http:x",
    "concat:a|b",
    "semi;colon, comma",
    "[1] {a,b} *?",
    "#hash&amp;<b>$HOME`x`!",
    "back\\slash\\n",
    "~",
    "x" * 240,
]


def name_of(stem: str) -> str:
    return ascii(stem)[1:25]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    video = Recording("numbers.mkv", "ffv1", pixel_format="bgr0", num_frames=12, keyframe_every=1)
    return video.write(tmp_path_factory.mktemp("recording")).read_bytes()


@pytest.mark.parametrize("stem", [*STEMS, "not utf-8 \udcff"], ids=name_of)
def test_a_video_of_any_name_opens(
    stem: str, recording: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / stem
    folder.mkdir()
    name = f"{stem}.mkv"
    (folder / name).write_bytes(recording)
    monkeypatch.chdir(folder)
    for path in (Path(name), folder / name):
        with open_video(path) as video:
            assert video.frames([9])[0, 0, -1, -1] == 9
            assert video.info.path == path


@pytest.mark.parametrize("stem", [*STEMS, "not utf-8 \udcff"], ids=name_of)
def test_frames_of_any_name_open(stem: str, tmp_path: Path) -> None:
    folder = tmp_path / stem
    folder.mkdir()
    names = [f"{stem}{number}.png" for number in range(3)]
    for number, name in enumerate(names):
        Image.fromarray(numbered_picture(number)).save(folder / name)
    for frame_names in (None, names):
        with open_video(folder, frame_names) as video:
            assert video.frames([2, 0])[:, 0, -1, -1].tolist() == [2, 0]


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The odd names as a data set of class folders."""
    root = tmp_path_factory.mktemp("odd") / "a folder\nof two lines, é"
    for seed, label in enumerate(("dark", "light", "moving")):
        video = write_video(root / "train" / label / "0.mp4", label, seed)
        write_video(root / "val" / label / "0.mp4", label, 10 + seed)
        for stem in STEMS[seed::3]:
            shutil.copy(video, root / "val" / label / f"{stem}.mp4")
    return root


def videos_of(root: Path, split: str) -> list[str]:
    return sorted(os.fspath(path.relative_to(root)) for path in (root / split).rglob("*.mp4"))


def test_class_folders(odd: Path) -> None:
    index = read_index(odd)
    for split in ("train", "val"):
        items = index.splits[split]
        assert sorted(os.fspath(item.path.relative_to(odd)) for item in items) == videos_of(odd, split)
        assert all(index.labels[item.label] == item.path.parent.name for item in items)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("header", [True, False], ids=["header", "no header"])
def test_a_table(odd: Path, delimiter: str, header: bool, tmp_path: Path) -> None:
    root = tmp_path / "table"
    shutil.copytree(odd, root)
    expected = {}
    with (root / "list.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter)
        if header:
            writer.writerow(["path", "label", "split"])
        for split in ("train", "val"):
            for name in videos_of(root, split):
                if "\r" in name or "\\" in name:  # in a list they are a line end, and the separator of Windows
                    continue
                expected[name] = Path(name).parent.name
                writer.writerow([name, expected[name], split])
    index = read_index(root / "list.csv")
    found = {
        os.fspath(item.path.relative_to(root)): index.labels[item.label]
        for items in index.splits.values()
        for item in items
    }
    assert found == expected


def test_check(odd: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = check(odd, workers=2)
    assert [split.num_opened for split in report.splits] == [3, 3 + len(STEMS)]
    assert not report.broken
    assert main(["check", "--data", os.fspath(odd)]) == 1  # the copies are in several splits
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("small")
def test_predict(odd: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = predict(checkpoint, odd / "val", device="cpu")
    assert sorted(one.source for one in said) == [os.fspath(odd / name) for name in videos_of(odd, "val")]
    assert not [one.error for one in said if one.error]
    capsys.readouterr()
    for stem in ("two\nlines", "100%d %s %20 %", "🎬👩‍👩‍👧"):
        video = next((odd / "val").rglob(f"{stem}.mp4"))
        assert predict(checkpoint, video, device="cpu")[0].source == os.fspath(video)


@pytest.mark.usefixtures("small")
def test_evaluate(odd: Path, checkpoint: Path, tmp_path: Path) -> None:
    evaluate(checkpoint, odd, device="cpu", workers=0, out=tmp_path / "out", clips=1, crops=1)
    rows = read_rows(tmp_path / "out" / "predictions.csv")
    names = {name for row in rows for name in row.values() if name.endswith(".mp4")}
    assert len(rows) == 3 + len(STEMS)
    assert {Path(name).name for name in names} == {Path(name).name for name in videos_of(odd, "val")}
