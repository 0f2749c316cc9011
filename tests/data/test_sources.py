"""What `--data PATH` may be: every layout, every wrong row, and the automatic split. The videos are empty files."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest

from vov3d.data.sources import VideoIndex, VideoItem, read_index
from vov3d.data.sources.splits import automatic_split
from vov3d.errors import DataError

TWO_CLASSES = ("a/1.mp4", "a/2.mp4", "b/1.mp4", "b/2.mp4")


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def write(root: Path, name: str, text: str | bytes) -> Path:
    file = touch(root, name) / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def names(index: VideoIndex) -> dict[str, list[tuple[str, str]]]:
    """Split -> sorted (path relative to the root, class name); -1 has no class name."""
    return {
        split: sorted((item.name, index.labels[item.label] if item.label >= 0 else "") for item in items)
        for split, items in index.splits.items()
    }


def error(path: Path) -> str:
    with pytest.raises(DataError) as raised:
        read_index(path)
    message = str(raised.value)
    assert "\n" not in message
    return message


# ------------------------------------------------------------------------------------------------- class folders


@pytest.mark.parametrize("val", ["val", "valid", "validation", "test", "Val"])
def test_split_folders(tmp_path: Path, val: str) -> None:
    touch(tmp_path, "train/jump/1.mp4", "train/run/2.webm", f"{val}/run/3.avi", f"{val}/jump/deep/er/4.MP4")
    index = read_index(tmp_path)
    assert (index.kind, index.labels, index.flip, index.frame_fps) == ("class folders", ("jump", "run"), "labels", None)
    assert names(index) == {
        "train": [("train/jump/1.mp4", "jump"), ("train/run/2.webm", "run")],
        "val": [(f"{val}/jump/deep/er/4.MP4", "jump"), (f"{val}/run/3.avi", "run")],
    }
    assert all(item.path == tmp_path / item.name and item.path.is_file() for item in index.splits["val"])


def test_val_and_test_stay_apart(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{split}/{name}/1.mp4" for split in ("train", "val", "test") for name in "ab"))
    assert {split: len(items) for split, items in read_index(tmp_path).splits.items()} == {
        "train": 2,
        "val": 2,
        "test": 2,
    }


def test_class_folders_are_split(tmp_path: Path) -> None:
    touch(tmp_path, *(f"a/{i}.mp4" for i in range(10)), "b/1.mp4", "b/2.mp4", "c/alone.mp4")
    index = read_index(tmp_path)
    per_class = {
        split: [sum(item.label == c for item in items) for c in range(3)] for split, items in index.splits.items()
    }
    assert per_class == {"train": [8, 1, 1], "val": [2, 1, 0]}
    assert (
        "no split was given: 20% of each class is val (3 of 13 videos, drawn by file name with seed 0); "
        + ("a class with a single video keeps it in train")
        in index.notes
    )
    assert "classes without a video in val, whose accuracy is not measured: 'c'" in index.notes


def test_train_without_val_is_split(tmp_path: Path) -> None:
    touch(tmp_path, *(f"train/{name}" for name in TWO_CLASSES))
    assert {split: len(items) for split, items in read_index(tmp_path).splits.items()} == {"train": 2, "val": 2}


def test_frame_folders_are_videos(tmp_path: Path) -> None:
    frames = [f"{name}/img_{i}.jpg" for name in ("a/v1", "a/deep/v2", "b/v3", "b/v4") for i in range(3)]
    touch(tmp_path, *frames, "a/poster.jpg", "b/v3/meta.txt", "b/flat.mp4")
    index = read_index(tmp_path)
    found = sorted(name for items in names(index).values() for name, _ in items)
    assert found == ["a/deep/v2", "a/v1", "b/flat.mp4", "b/v3", "b/v4"]
    assert "files that are not videos are left out: 1 .jpg" in index.notes


def test_hidden_and_other_files(tmp_path: Path) -> None:
    touch(tmp_path, *TWO_CLASSES, "a/._1.mp4", "a/.DS_Store", "b/Thumbs.db", "b/@eaDir/x.jpg", ".cache/x.mp4")
    touch(tmp_path, "a/notes.txt", "b/x.srt", "b/y.srt", "README", "c/nothing.pdf", "loose.mp4")
    index = read_index(tmp_path)
    assert sum(map(len, index.splits.values())) == 4
    assert index.labels == ("a", "b")
    assert index.notes[:4] == (
        "class folders",
        "class folders without a video: 'c'",
        "files that are not videos are left out: 2 .srt, 1 .pdf, 1 .txt",
        f"videos directly in {str(tmp_path)!r} belong to no class and are left out: 1",
    )


def test_numbers_as_class_folders_are_in_order(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{i}/{j}.mp4" for i in range(12) for j in range(2)))
    assert read_index(tmp_path).labels == tuple(str(i) for i in range(12))


def test_train_may_be_a_class(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{name}/{i}.mp4" for name in ("train", "bus") for i in range(2)))
    assert read_index(tmp_path).labels == ("bus", "train")


def test_folders_beside_the_splits(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{split}/{name}" for split in ("train", "val") for name in TWO_CLASSES), "unused/x.mp4")
    assert "folders beside the splits are left out: 'unused'" in read_index(tmp_path).notes


def test_links(tmp_path: Path) -> None:
    touch(tmp_path, "store/1.mp4")
    data = touch(tmp_path / "data", "a/2.mp4", "b/3.mp4", "b/4.mp4")
    (data / "a/1.mp4").symlink_to(tmp_path / "store/1.mp4")
    (data / "a/gone.mp4").symlink_to(tmp_path / "store/gone.mp4")
    (data / "b/loop").symlink_to(data / "b")
    found = sorted(name for items in names(read_index(data)).values() for name, _ in items)
    assert found == ["a/1.mp4", "a/2.mp4", "b/3.mp4", "b/4.mp4"]


def test_air_gestures(shared: Path) -> None:
    index = read_index(shared / "data/air_gestures")
    assert {split: len(items) for split, items in index.splits.items()} == {"train": 70, "val": 30}
    assert index.labels == (
        *("caret", "circle_ccw", "cross", "down", "left"),
        *("right", "square", "star", "tick", "up"),
    )
    assert index.kind == "csv list"
    assert all(item.path.is_file() for items in index.splits.values() for item in items)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ((), "is empty; PATH may be"),
        (("1.mp4", "2.mp4"), "holds videos but no class folders"),
        (("train/1.mp4", "val/2.mp4"), "train holds videos but no class folders"),
        (("a/1.jpg", "b/1.jpg"), "the frames of each video go into a folder <class>/<video>/"),
        (("a/x.txt", "b/"), "holds no videos; PATH may be"),
        (("a/1.mp4", "a/2.mp4"), "has the single class 'a' in train; a classifier needs at least two classes"),
        (("set/a/1.mp4", "set/b/1.mp4"), "has the single class folder 'set', which holds folders itself"),
        (("val/a/1.mp4", "test/a/1.mp4"), "but no folder 'train'"),
        (("train/a/1.mp4", "val/a/1.mp4", "valid/a/1.mp4"), "has both 'val' and 'valid'"),
        (("train/x.txt", "val/a/1.mp4", "val/b/1.mp4"), "has no video in the split 'train', only in val"),
        (("a/1.mp4", "b/1.mp4"), "one video per class, so none is left for val"),
        (
            ("train/a/1.mp4", "train/b/1.mp4", "val/a/1.mp4", "val/c/1.mp4", "val/d/1.mp4"),
            "val has classes that train lacks, so they cannot be learned: 'c', 'd'",
        ),
    ],
)
def test_wrong_folders(tmp_path: Path, files: tuple[str, ...], said: str) -> None:
    touch(tmp_path, *(name for name in files if not name.endswith("/")))
    assert said in error(tmp_path)


def test_misspelt_path(tmp_path: Path) -> None:
    touch(tmp_path, *(f"gestures/{name}" for name in TWO_CLASSES))
    wrong = tmp_path / "gesture" / "train"
    right = str(tmp_path / "gestures")
    assert error(wrong).startswith(f"{str(wrong)!r} does not exist; did you mean {right!r}?; PATH may be a folder")
    assert "is one video; PATH may be" in error(tmp_path / "gestures/a/1.mp4")


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    assert error(tmp_path) == f"cannot read {str(tmp_path)!r}: Permission denied"


def test_val_fraction_is_checked(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="val_fraction is 1; allowed: between 0 and 1"):
        read_index(tmp_path, val_fraction=1)


# --------------------------------------------------------------------------------------------- the automatic split


def items(*sizes: int) -> list[VideoItem]:
    every = [(label, f"{label}/{i}.mp4") for label, size in enumerate(sizes) for i in range(size)]
    return [VideoItem(Path(name), label, name) for label, name in every]


def val_names(videos: list[VideoItem], seed: int = 0) -> set[str]:
    train, val = automatic_split(videos, 0.2, seed)
    assert sorted(item.name for item in (*train, *val)) == sorted(item.name for item in videos)
    return {item.name for item in val}


def test_split_is_drawn_by_name() -> None:
    videos = items(37, 12, 2, 1)
    chosen = val_names(videos)
    assert [sum(name.startswith(f"{label}/") for name in chosen) for label in range(4)] == [7, 2, 1, 0]
    for draw in range(20):
        shuffled = random.Random(draw).sample(videos, len(videos))
        assert val_names(shuffled) == chosen
    assert val_names(videos + items(0, 0, 0, 0, 9)) - chosen == val_names(items(0, 0, 0, 0, 9))
    assert val_names(videos, seed=1) != chosen


def test_one_more_video_moves_at_most_one() -> None:
    moved = []
    for size in range(2, 60):
        before, after = val_names(items(size)), val_names(items(size + 1))
        moved.append(len((before ^ after) - {f"0/{size}.mp4"}))
    assert max(moved) == 1


def test_split_is_pinned(tmp_path: Path) -> None:
    """A change of the rule would mix train and val of runs that are to be resumed."""
    touch(tmp_path, *(f"{name}/{i}.mp4" for name in ("a", "é") for i in range(10)))
    assert [item.name for item in read_index(tmp_path).splits["val"]] == ["a/2.mp4", "a/6.mp4", "é/0.mp4", "é/5.mp4"]


# ------------------------------------------------------------------------------------------------------------- lists

ROWS = [("a/1.mp4", "left, fast", "train"), ("a/2.mp4", "left, fast", "val"), ("ü b/3.mp4", "right", "train")]


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    return touch(tmp_path, *(path for path, _, _ in ROWS))


@pytest.mark.parametrize(
    "text",
    [
        'path,label,split\na/1.mp4,"left, fast",train\na/2.mp4,"left, fast",val\nü b/3.mp4,right,train\n',
        '\ufeffa/1.mp4, "left, fast", TRAIN\r\n\r\na/2.mp4,"left, fast",validation\r\nü b/3.mp4,right,train',
        "label\tn\tpath\tsplit\nleft, fast\t\ta/1.mp4\ttrain\nleft, fast\t\ta/2.mp4\tvalid\nright\t3\tü b/3.mp4\ttrain",
        "a/1.mp4;left, fast;train\na\\2.mp4;left, fast;test\n./ü b/3.mp4;right;train\n",
    ],
    ids=["header", "bom-crlf", "tab", "semicolon"],
)
def test_csv_list(videos: Path, text: str) -> None:
    index = read_index(write(videos, "list.csv", text))
    assert (index.kind, index.root, index.labels) == ("csv list", videos, ("left, fast", "right"))
    assert names(index) == {
        "train": [("a/1.mp4", "left, fast"), ("ü b/3.mp4", "right")],
        "val": [("a/2.mp4", "left, fast")],
    }
    assert "classes without a video in val, whose accuracy is not measured: 'right'" in index.notes


@pytest.mark.parametrize("indent", [None, 2])
def test_json_list(videos: Path, indent: int | None) -> None:
    entries = [{"path": path, "label": label, "split": split, "scene": 7} for path, label, split in ROWS]
    index = read_index(write(videos, "list.json", json.dumps(entries, indent=indent, ensure_ascii=False)))
    assert index.kind == "json list"
    assert names(index)["train"] == [("a/1.mp4", "left, fast"), ("ü b/3.mp4", "right")]


def test_list_without_split(tmp_path: Path) -> None:
    touch(tmp_path, *TWO_CLASSES)
    index = read_index(write(tmp_path, "list.txt", "".join(f"{name} {name[0]}\n" for name in TWO_CLASSES)))
    assert {split: len(items) for split, items in index.splits.items()} == {"train": 2, "val": 2}


def test_list_whose_paths_begin_with_the_split(tmp_path: Path) -> None:
    paths = [f"{split}/{name}" for split in ("train", "valid") for name in TWO_CLASSES]
    touch(tmp_path, *paths)
    index = read_index(
        write(tmp_path, "index.csv", "path,label\n" + "".join(f"{p},{p.split('/')[1]}\n" for p in paths))
    )
    assert {item.name.split("/")[0] for item in index.splits["val"]} == {"valid"}
    assert "the list has no column split: the first folder of each path says it" in index.notes


@pytest.mark.parametrize("name", ["index.csv", "anything.csv", "index.json"])
def test_list_in_the_folder(videos: Path, name: str) -> None:
    touch(videos, "a/unlisted.mp4", "c/unlisted.mp4")
    write(videos, "other.csv", "some,columns\n1,2\n")
    if name.endswith("json"):
        text = json.dumps([{"path": path, "label": label, "split": split} for path, label, split in ROWS])
    else:
        text = "path,label,split\n" + "".join(f'{path},"{label}",{split}\n' for path, label, split in ROWS)
    write(videos, name, text)
    index = read_index(videos)
    assert {split: len(items) for split, items in index.splits.items()} == {"train": 2, "val": 1}
    assert index.notes[0] == f"{name} gives the labels and splits"
    assert index.notes[-1] == "videos in the folder that the list does not name are left out: 2"


def test_two_lists_in_the_folder(videos: Path) -> None:
    for name in ("one.csv", "two.csv"):
        write(videos, name, "path,label\na/1.mp4,x\n")
    assert "has several lists of videos: 'one.csv', 'two.csv'; give one of them as PATH" in error(videos)


def test_other_tables_beside_class_folders(tmp_path: Path) -> None:
    touch(tmp_path, *TWO_CLASSES)
    write(tmp_path, "train.csv", "clip_name,clip_path,label\nx,/train/x.avi,a\n")
    write(tmp_path, "meta.json", '{"a": 1}')
    index = read_index(tmp_path)
    assert index.kind == "class folders"
    assert "not read, for want of the columns path and label: 'meta.json', 'train.csv'" in index.notes


def test_repeated_rows(videos: Path) -> None:
    file = write(videos, "l.csv", "a/1.mp4,x\na/2.mp4,x\n./a/1.mp4,x\nü b/3.mp4,y\n")
    index = read_index(file)
    assert sum(map(len, index.splits.values())) == 3
    assert "rows that repeat a video are left out: 1" in index.notes


def test_absolute_paths(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = touch(tmp_path_factory.mktemp("elsewhere"), "4.mp4")
    text = f"{videos}/a/1.mp4,x\na/2.mp4,x\n{elsewhere}/4.mp4,y\n"
    found = {
        item.name: item.path for items in read_index(write(videos, "l.csv", text)).splits.values() for item in items
    }
    assert found == {
        "a/1.mp4": videos / "a/1.mp4",
        "a/2.mp4": videos / "a/2.mp4",
        f"{elsewhere.as_posix()}/4.mp4": elsewhere / "4.mp4",
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path,split\na/1.mp4,train\n", ":1: missing column 'label'; given: path,split; needed: path,label[,split]"),
        ("video,label\na/1.mp4,x\n", ":1: missing column 'path'; given: video,label; needed: path,label[,split]"),
        ("a/1.mp4,x,train,1,2\n", ":1: no header, and 5 columns; allowed: "),
        ("a/1.mp4\n", ":1: no header, and 1 column; allowed: 2 (path,label), 3 (path,label,split)"),
        ("a/1.mp4,x\n\na/2.mp4\n", ":3: 1 column where line 1 has 2, given 'a/2.mp4'"),
        ("a/1.mp4,x\na/2.mp4,x,train\n", ":2: 3 columns where line 1 has 2"),
        ("path,label\na/1.mp4,x\na/2.mp4,  \n", ":3: empty label"),
        ("path,label\n,x\n", ":2: empty path"),
        ("a/1.mp4,x,train\na/2.mp4,x,\n", ":2: empty split"),
        (
            "a/1.mp4,x,train\na/2.mp4,x,tain\n",
            ":2: unknown split 'tain'; did you mean 'train'? Allowed: test, train, val",
        ),
        ('a/1.mp4,x\n"a/2.mp4,x\n', ":2: unexpected end of data, given"),
        ("a/1.mp4,x\na/9.mp4,x\na/8.mp4,y\n", ":2: 'a/9.mp4' does not exist (2 of 3 paths do not); paths are relative"),
        ("a/1.mp4,x\nt.txt,x\n", ":2: 't.txt' is no video; allowed: a folder of frames, or .264"),
        ("a/1.mp4,x\n./a/1.mp4,y\n", ":2: './a/1.mp4' has the label 'y', but 'x' at "),
        ("a/1.mp4,x,train\na/1.mp4,x,val\n", ":2: 'a/1.mp4' is in val, but in train at "),
        ("a/1.mp4,0\na/2.mp4,1\nü b/3.mp4,3\n", ":3: label number 3 is out of range; the numbers of 3 classes run"),
        ("a/1.mp4,0\na/2.mp4,-1\n", ":2: label number -1 is out of range; allowed: 0 to 1"),
    ],
)
def test_wrong_rows(videos: Path, text: str, said: str) -> None:
    touch(videos, "t.txt")
    file = write(videos, "list.csv", text)
    assert error(file).startswith(f"{file}{said}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty; expected rows of path,label[,split]"),
        ("path,label\n", "has no video in the split 'train'"),
        ("a/1.mp4,x,val\na/2.mp4,y,val\n", "has no video in the split 'train', only in val"),
        ("a/1.mp4,x,train\na/2.mp4,x,val\n", "has the single class 'x' in train"),
        ("a/1.mp4,x,train\nü b/3.mp4,y,train\na/2.mp4,z,val\n", "val has classes that train lacks"),
        (b"a/1.mp4,\xff\xfe\n", "is not text in UTF-8; save it as UTF-8"),
    ],
)
def test_wrong_lists(videos: Path, text: str | bytes, said: str) -> None:
    assert said in error(write(videos, "list.csv", text))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", ":1: expected a list of objects"),
        ('[\n {"path": "a/1.mp4", "label": "x"},\n 3]', ":3: expected an object with path and label, given 3"),
        ('[{"path": "a/1.mp4"}]', ":1: missing 'label'; given: path"),
        ('[\n\n{"path": "a/1.mp4", "label": true}]', ":3: label is true; allowed: text or a whole number"),
        (
            '[{"path": "a/1.mp4", "label": "x", "split": "val"},\n{"path": "a/2.mp4", "label": "x"}]',
            ":2: missing 'split'",
        ),
        ('[{"path": "a/1.mp4",\n "label" "x"}]', ":2: not valid JSON: Expecting ':' delimiter"),
        ('[{"path": "a/1.mp4", "label": "x"}\n\n{"path"', ":3: not valid JSON: expected ',' or ']'"),
        ('[{"path": "a/1.mp4", "label": "x"},\n{"path": "q.mp4", "label": "x"}]', ":2: 'q.mp4' does not exist (1 of 2"),
    ],
)
def test_wrong_json(videos: Path, text: str, said: str) -> None:
    file = write(videos, "list.json", text)
    assert error(file).startswith(f"{file}{said}")


# ------------------------------------------------------------------------------------------------ numbers as labels


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (None, ("0", "1")),
        ("labels.txt", ("wave", "clap", "jump")),
        ("classes.txt", ("wave", "clap", "jump")),
        ("kinetics_400_labels.txt", ("wave", "clap", "jump")),
    ],
)
def test_numbered_labels(tmp_path: Path, file: str | None, expected: tuple[str, ...]) -> None:
    touch(tmp_path, *TWO_CLASSES)
    if file:
        write(tmp_path, file, "wave\r\nclap\njump")
    index = read_index(write(tmp_path, "l.csv", "a/1.mp4,1\na/2.mp4,1\nb/1.mp4,0\nb/2.mp4,0\n"))
    assert index.labels == expected
    assert {item.label for items in index.splits.values() for item in items if item.name.startswith("a")} == {1}
    assert ("classes without any video: 'jump'" in index.notes) == bool(file)


@pytest.mark.parametrize(
    ("names_text", "said"),
    [
        ("wave\n", "l.csv:2: label number 1 is out of range; allowed: 0 to 0, the lines of labels.txt"),
        ("wave\n\nclap\n", "labels.txt:2: empty label"),
        ("wave\nwave\n", "labels.txt:2: label 'wave' is already in line 1"),
        ("", "labels.txt is empty"),
    ],
)
def test_wrong_label_names(tmp_path: Path, names_text: str, said: str) -> None:
    touch(tmp_path, *TWO_CLASSES)
    write(tmp_path, "labels.txt", names_text)
    assert error(write(tmp_path, "l.csv", "a/1.mp4,0\na/2.mp4,1\nb/1.mp4,0\nb/2.mp4,1\n")).startswith(
        f"{tmp_path}/{said}"
    )


# ---------------------------------------------------------------------------------------------------------- Kinetics


def test_kinetics_lists(tmp_path: Path) -> None:
    touch(tmp_path, "videos/my, clip 1.mp4", "videos/2.mp4", "videos/3.mp4", "videos/4.mp4")
    write(tmp_path, "train.csv", "videos/my, clip 1.mp4 1\nvideos/2.mp4 0")
    write(tmp_path, "val.csv", "videos/3.mp4 1\n")
    write(tmp_path, "test.csv", "videos/4.mp4 0\n")
    index = read_index(tmp_path)
    assert index.kind == "kinetics list"
    assert index.notes[0] == "one list per split: test.csv, train.csv, val.csv"
    assert names(index) == {
        "train": [("videos/2.mp4", "0"), ("videos/my, clip 1.mp4", "1")],
        "val": [("videos/3.mp4", "1")],
        "test": [("videos/4.mp4", "0")],
    }


@pytest.mark.parametrize(
    ("val", "said"),
    [
        ("videos/3.mp4\n", "val.csv:1: no header, and 1 column; allowed: 2 (path,label), 3 (path,label,split)"),
        ("videos/3.mp4 1\nvideos/9.mp4 1\n", "val.csv:2: 'videos/9.mp4' does not exist (1 of 4 paths do not)"),
        ("videos/3.mp4 1\nvideos/2.mp4 0\n", "val.csv:2: 'videos/2.mp4' is in val, but in train at"),
        ("videos/3.mp4,1,train\n", "val.csv:1: split 'train' in the list of 'val'"),
        ("videos/3.mp4 7\n", "val.csv:1: label number 7 is out of range"),
    ],
)
def test_wrong_kinetics(tmp_path: Path, val: str, said: str) -> None:
    touch(tmp_path, *(f"videos/{i}.mp4" for i in range(1, 4)))
    write(tmp_path, "train.csv", "videos/1.mp4 1\nvideos/2.mp4 0\n")
    write(tmp_path, "val.csv", val)
    assert error(tmp_path).startswith(f"{tmp_path}/{said}")


def test_kinetics_annotation(tmp_path: Path) -> None:
    header = "label,youtube_id,time_start,time_end,split\n"
    write(tmp_path, "train.csv", f"{header}jump,_a-1,1,11,train\nrun,b,20,30,train\nrun,gone,0,10,train\n")
    write(tmp_path, "val.csv", f"{header}run,c,5,15,validate\n")
    touch(tmp_path, "train/jump/_a-1_000001_000011.mp4", "train/run/b_000020_000030.mp4", "val/c_000005_000015.mkv")
    index = read_index(tmp_path)
    assert (index.kind, index.labels) == ("kinetics list", ("jump", "run"))
    assert names(index)["val"] == [("val/c_000005_000015.mkv", "run")]
    assert "train.csv: 1 of 3 clips are not there and are left out" in index.notes


# ----------------------------------------------------------------------------------------------- Something-Something

V1 = "something-something-v1"
V2 = "something-something-v2"


def something_v1(root: Path, frames: str, ending: str = "") -> Path:
    write(root, f"{V1}-labels.csv", "Pushing something\nHolding something\nAbove, and more")
    write(root, f"{V1}-train.csv", f"10;Holding something\n11;Pushing something{ending}")
    write(root, f"{V1}-validation.csv", f"12;Pushing something{ending}")
    return touch(root, *(f"{frames}{i}/{j:05d}.jpg" for i in (10, 11, 12) for j in (1, 2)))


@pytest.mark.parametrize("frames", ["20bn-something-something-v1/", "frames/", "rawframes/", "x/y/", ""])
@pytest.mark.parametrize("ending", ["", "\r\n"])
def test_something_v1(tmp_path: Path, frames: str, ending: str) -> None:
    index = read_index(something_v1(tmp_path, frames, ending))
    assert (index.kind, index.flip, index.frame_fps) == ("something-something v1", "none", 12.0)
    assert index.labels == ("Pushing something", "Holding something", "Above, and more")
    assert names(index) == {
        "train": [(f"{frames}10", "Holding something"), (f"{frames}11", "Pushing something")],
        "val": [(f"{frames}12", "Pushing something")],
    }
    assert index.splits["val"][0].path == tmp_path / f"{frames}12"
    assert "classes without any video: 'Above, and more'" in index.notes


def something_v2(root: Path, prefix: str = f"{V2}-", test: object = None) -> Path:
    train = [
        {"id": "7", "label": "pushing a cup", "template": "Pushing [something]"},
        {"id": "8", "label": "holding a cup", "template": "Holding [something] next to [something]"},
    ]
    write(root, f"{prefix}labels.json", '{"Holding something next to something": "1", "Pushing something": "0"}')
    write(root, f"{prefix}train.json", json.dumps(train, indent=0))
    write(root, f"{prefix}validation.json", '[{"id": "9", "template": "Pushing [something]"}]')
    if test is not None:
        write(root, f"{prefix}test.json", json.dumps(test))
    return root


@pytest.mark.parametrize("prefix", [f"{V2}-", "", "labels/"])
def test_something_v2_videos(tmp_path: Path, prefix: str) -> None:
    something_v2(tmp_path, prefix, test=[{"id": "5"}, {"id": "6"}])
    touch(tmp_path, *(f"20bn-{V2}/{i}.webm" for i in (5, 7, 8, 9, 99)))
    index = read_index(tmp_path)
    assert (index.kind, index.flip, index.frame_fps) == ("something-something v2", "none", None)
    assert index.labels == ("Pushing something", "Holding something next to something")
    assert names(index) == {
        "train": [
            (f"20bn-{V2}/7.webm", "Pushing something"),
            (f"20bn-{V2}/8.webm", "Holding something next to something"),
        ],
        "val": [(f"20bn-{V2}/9.webm", "Pushing something")],
        "test": [(f"20bn-{V2}/5.webm", "")],
    }
    assert "test: 1 of 2 videos are not there and are left out" in index.notes


def test_something_v2_frames_before_videos(tmp_path: Path) -> None:
    something_v2(tmp_path)
    touch(tmp_path, *(f"videos/{i}.webm" for i in (7, 8, 9)), *(f"frames/{i}/{i}_000001.jpg" for i in (7, 8, 9)))
    index = read_index(tmp_path)
    assert index.frame_fps == 30.0
    assert index.splits["val"][0].path == tmp_path / "frames/9"


FRAME_LIST = "original_vido_id video_id frame_id path labels\n"


def test_something_v2_frame_lists(tmp_path: Path) -> None:
    something_v2(tmp_path)
    listed = {"train": (7, 8), "val": (9,)}
    for split, ids in listed.items():
        rows = [f'{i} 0 {j} part/v{i}/{j}.jpg ""' for j in (2, 1) for i in ids]
        write(tmp_path, f"{split}.csv", FRAME_LIST + "\n".join(rows))
    touch(tmp_path, *(f"jpegs/part/v{i}/{j}.jpg" for i in (7, 8, 9) for j in (1, 2)))
    index = read_index(tmp_path)
    assert index.frame_fps == 30.0
    assert index.splits["val"] == (VideoItem(tmp_path / "jpegs/part/v9", 0, "part/v9/9", ("2.jpg", "1.jpg")),)
    write(tmp_path, "val.csv", f"{FRAME_LIST}9 0 1 part/v9/1.jpg\n")
    assert error(tmp_path).startswith(
        f"{tmp_path}/val.csv:2: 4 columns, given '9 0 1 part/v9/1.jpg'; needed: original_"
    )
    write(tmp_path, "val.csv", f'{FRAME_LIST}9 0 1 part/v9/1.jpg ""\n9 0 2 part/v8/1.jpg ""\n')
    assert "the frames of the video '9' lie in several folders" in error(tmp_path)
    write(tmp_path, "val.csv", f'{FRAME_LIST}9 0 1 part/none/1.jpg ""\n')
    assert "the first frame 'part/none/1.jpg' is neither in" in error(tmp_path)


def test_frame_lists_alone(tmp_path: Path) -> None:
    write(tmp_path, "train.csv", f'{FRAME_LIST}9 0 1 9/1.jpg ""\n')
    assert "train.csv lists frames without labels; put the annotations beside it" in error(tmp_path)


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        (
            "train",
            "10;Holding somthing\n",
            ":1: unknown template 'Holding somthing'; did you mean 'Holding something'?",
        ),
        ("train", "10;Holding something\n11\n", ":2: given '11'; needed: id;template"),
        (
            "train",
            "10;Holding something\n13;Pushing something",
            ":2: the video '13' is not there (1 of 2 in train are not)",
        ),
        ("validation", "10;Holding something\n", ":1: the video '10' is already annotated at "),
        ("labels", "Holding something\n\nPushing something\n", ":2: empty label"),
    ],
)
def test_wrong_v1(tmp_path: Path, file: str, text: str, said: str) -> None:
    something_v1(tmp_path, "frames/")
    wrong = write(tmp_path, f"{V1}-{file}.csv", text)
    assert error(tmp_path).startswith(f"{wrong}{said}")


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("train", '[{"id": "7",\n "template": "Nothing"}]', ":1: unknown template 'Nothing'"),
        ("train", '[\n{"id": "7", "label": "x"}]', ":2: missing 'template'; given: id, label"),
        ("train", '[\n{"template": "Pushing [something]"}]', ":2: missing 'id'; given: template"),
        (
            "labels",
            '{"Pushing something": "0", "Holding something next to something": "2"}',
            ": the 2 class numbers must",
        ),
        ("labels", '["x"]', ": expected an object of templates and class numbers"),
        ("labels", '{"x"', ":1: not valid JSON"),
    ],
)
def test_wrong_v2(tmp_path: Path, file: str, text: str, said: str) -> None:
    something_v2(tmp_path)
    touch(tmp_path, *(f"videos/{i}.webm" for i in (7, 8, 9)))
    wrong = write(tmp_path, f"{V2}-{file}.json", text)
    assert error(tmp_path).startswith(f"{wrong}{said}")


def test_incomplete_something(tmp_path: Path) -> None:
    something_v2(tmp_path)
    assert "neither a video file nor a folder of frames is called" in error(tmp_path)
    (tmp_path / f"{V2}-train.json").unlink()
    assert f"{V2}-labels.json but lacks {V2}-train.json" in error(tmp_path)


# -------------------------------------------------------------------------------------------- several labels a video

SEVERAL = {
    "a/1.mp4": ("jump", "run"),
    "a/2.mp4": ("run",),
    "b/1.mp4": (),
    "b/2.mp4": ("jump", "run", "wave, twice"),
    "c/1.mp4": ("wave, twice",),
}
SPLITS = ("train", "train", "train", "train", "val")


def classes(index: VideoIndex) -> dict[str, tuple[str, ...]]:
    """The class names of each video, in the order of their ids."""
    found = {item.name: item.classes for items in index.splits.values() for item in items}
    assert all(tuple(sorted(set(ids))) == ids for ids in found.values())
    return {name: tuple(index.labels[label] for label in ids) for name, ids in found.items()}


@pytest.mark.parametrize("kind", ["csv list", "tab", "semicolon", "json list", "kinetics list", "numbers"])
def test_several_labels(tmp_path: Path, kind: str) -> None:
    touch(tmp_path, *SEVERAL)
    rows = list(zip(SEVERAL, SEVERAL.values(), SPLITS, strict=True))
    path = tmp_path / "list.csv"
    if kind == "json list":
        entries = [{"path": name, "labels": labels, "split": split} for name, labels, split in rows]
        path = write(tmp_path, "list.json", json.dumps(entries))
    elif kind == "kinetics list":
        for split in ("train", "val"):
            lines = [f'{name},"{"|".join(labels)}"' for name, labels, part in rows if part == split]
            write(tmp_path, f"{split}.csv", "path,labels\n" + "\n".join(lines))
        path = tmp_path
    elif kind == "numbers":
        write(tmp_path, "labels.txt", "run\nwave, twice\njump\nnever")
        number = {"run": 0, "wave, twice": 1, "jump": 2}
        lines = [f"{name},{'|'.join(str(number[label]) for label in labels)},{split}" for name, labels, split in rows]
        write(tmp_path, "list.csv", "path,labels,split\n" + "\n".join(lines))
    else:
        cut = {"csv list": ",", "tab": "\t", "semicolon": ";"}[kind]
        lines = [f'{name}{cut}"{" | ".join(reversed(labels))}"{cut}{split}' for name, labels, split in rows]
        write(tmp_path, "list.csv", cut.join(("path", "Labels", "split")) + "\n" + "\n".join(lines))
    index = read_index(path)
    assert index.multi_label and index.kind == ("csv list" if kind in ("tab", "semicolon", "numbers") else kind)
    names = ("run", "wave, twice", "jump", "never") if kind == "numbers" else ("jump", "run", "wave, twice")
    assert index.labels == names
    assert classes(index) == {name: tuple(sorted(labels, key=names.index)) for name, labels in SEVERAL.items()}
    assert {item.name for item in index.splits["val"]} == {"c/1.mp4"}
    assert "several labels a video: 1.4 on average, at most 3, 1 of 5 videos have none" in index.notes
    items = {item.name: item for items in index.splits.values() for item in items}
    assert (items["b/1.mp4"].label, items["b/1.mp4"].also) == (-1, ())


def test_one_label_a_video_is_as_ever(tmp_path: Path) -> None:
    touch(tmp_path, *TWO_CLASSES)
    index = read_index(
        write(tmp_path, "l.csv", "path,label,labels\n" + "".join(f"{n},{n[0]}|x,y\n" for n in TWO_CLASSES))
    )
    assert (index.multi_label, index.labels) == (False, ("a|x", "b|x"))
    assert all(item.also == () and item.classes == (item.label,) for items in index.splits.values() for item in items)


def test_a_list_of_labels_in_the_folder(tmp_path: Path) -> None:
    touch(tmp_path, *TWO_CLASSES)
    write(tmp_path, "any.csv", "path,labels\n" + "".join(f"{name},{name[0]}\n" for name in TWO_CLASSES))
    index = read_index(tmp_path)
    assert (index.kind, index.multi_label) == ("csv list", True)
    assert "several labels a video are allowed, but no video has two; '|' stands between them in a table" in index.notes


def test_one_class_there_or_not_is_enough(tmp_path: Path) -> None:
    touch(tmp_path, *TWO_CLASSES)
    rows = "".join(f"{name},{'alarm' if name.startswith('a') else ''}\n" for name in TWO_CLASSES)
    index = read_index(write(tmp_path, "l.csv", f"path,labels\n{rows}"))
    assert index.labels == ("alarm",)
    assert [sorted(len(item.classes) for item in index.splits[split]) for split in ("train", "val")] == [[0, 1], [0, 1]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a/1.mp4,x|y|x\n", ":2: label 'x' is there twice"),
        ("a/1.mp4,x||y\n", ":2: empty label; '|' stands between two labels of a video"),
        ("a/1.mp4,x\na/1.mp4,y|x\n", ":3: 'a/1.mp4' has the labels 'y|x', but 'x' at "),
        ("a/1.mp4,0|3\na/2.mp4,1\n", ":2: label number 3 is out of range; the numbers of 3 classes run from 0"),
        (",x\n", ":2: empty path"),
    ],
)
def test_wrong_rows_of_labels(tmp_path: Path, text: str, said: str) -> None:
    touch(tmp_path, *TWO_CLASSES)
    file = write(tmp_path, "list.csv", f"path,labels\n{text}")
    assert error(file).startswith(f"{file}{said}")


def test_the_order_of_labels_does_not_matter(tmp_path: Path) -> None:
    touch(tmp_path, *TWO_CLASSES)
    rows = "a/1.mp4,x|y\na/1.mp4,y|x\na/2.mp4,x\nb/1.mp4,y\nb/2.mp4,\n"
    index = read_index(write(tmp_path, "list.csv", f"path,labels\n{rows}"))
    assert "rows that repeat a video are left out: 1" in index.notes


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[{"path": "a/1.mp4", "labels": "x"}]', ':1: labels is "x"; needed: a list, empty for none of the classes'),
        ('[{"path": "a/1.mp4", "labels": ["x|y"]}]', ":1: label 'x|y' holds '|', which stands between two labels"),
        ('[{"path": "a/1.mp4", "labels": [true]}]', ":1: label is true; allowed: text or a whole number"),
        ('[{"path": "a/1.mp4", "labels": []},\n{"path": "a/2.mp4"}]', ":2: missing 'labels'; given: path"),
        ('[{"path": "a/1.mp4", "labels": [""]}]', ":1: empty label"),
    ],
)
def test_wrong_json_of_labels(tmp_path: Path, text: str, said: str) -> None:
    touch(tmp_path, *TWO_CLASSES)
    file = write(tmp_path, "list.json", text)
    assert error(file).startswith(f"{file}{said}")


def test_wrong_sets_of_labels(tmp_path: Path) -> None:
    touch(tmp_path, *TWO_CLASSES)
    nothing = write(tmp_path, "l.csv", "path,labels\n" + "".join(f"{name},\n" for name in TWO_CLASSES))
    assert "has no video with a label in train" in error(nothing)
    write(tmp_path, "labels.txt", "x|y\nz\n")
    numbers = write(tmp_path, "l.csv", "path,labels\na/1.mp4,0\na/2.mp4,1\nb/1.mp4,0|1\nb/2.mp4,1\n")
    assert "the class 'x|y' holds '|', which stands between two labels of a video" in error(numbers)
    write(tmp_path, "train.csv", "path,labels\na/1.mp4,x|y\na/2.mp4,y\n")
    val = write(tmp_path, "val.csv", "path,label\nb/1.mp4,x\n")
    train = tmp_path / "train.csv"
    assert error(tmp_path) == (
        f"{val}:2: this list has the column 'label', but that of {train}:2 has 'labels'; give all lists the same"
    )


def test_a_frame_list_is_no_list_of_labels(tmp_path: Path) -> None:
    file = write(tmp_path, "train.csv", f'{FRAME_LIST}9 0 1 9/1.jpg ""\n')
    assert "missing column 'label'" in error(file)


def some_items(seed: int, num_videos: int) -> list[VideoItem]:
    """Videos with any of six classes, of which the last is rare."""
    draw = random.Random(seed)
    videos = []
    for number in range(num_videos):
        shown = [k for k, chance in enumerate((0.5, 0.4, 0.3, 0.2, 0.1, 0.02)) if draw.random() < chance] or [-1]
        videos.append(VideoItem(Path(f"{number}.mp4"), shown[0], f"{number}.mp4", also=tuple(shown[1:])))
    return videos


@pytest.mark.parametrize("seed", range(8))
def test_several_labels_are_split_so_that_all_can_be_learned(seed: int) -> None:
    videos = some_items(seed, 120)
    chosen = val_names(videos, seed)
    assert chosen == val_names(random.Random(seed).sample(videos, len(videos)), seed)
    for label in (-1, 0, 1, 2, 3, 4, 5):
        members = [item.name for item in videos if label in (item.classes or (-1,))]
        share = len(chosen.intersection(members)) / max(len(members), 1)
        assert len(members) < 2 or 0 < share < 1
        assert len(members) < 10 or 0.1 < share < 0.4
    assert 0.15 * 120 <= len(chosen) <= 0.35 * 120


def test_a_class_of_one_video_stays_in_train() -> None:
    videos = [VideoItem(Path(f"{k}.mp4"), 0, f"{k}.mp4", also=(1,) if k == 3 else ()) for k in range(10)]
    for seed in range(20):
        assert "3.mp4" not in val_names(videos, seed)


# ------------------------------------------------------------------------------------------------- not for training


@pytest.mark.parametrize("split", ["val", "test"])
def test_without_training_any_split_will_do(tmp_path: Path, split: str) -> None:
    names_of = {"folders": f"{split}/a/1.mp4", "list": "1.mp4", "lists": "1.mp4"}
    for kind, name in names_of.items():
        touch(tmp_path / kind, name)
    write(tmp_path, "list/index.csv", f"path,label,split\n1.mp4,a,{split}\n")
    write(tmp_path, f"lists/{split}.csv", "path,label\n1.mp4,a\n")
    for kind, name in names_of.items():
        index = read_index(tmp_path / kind, for_training=False)
        assert names(index) == {split: [(name, "a")]}
        assert index.labels == ("a",)
    assert "no folder 'train'" in error(tmp_path / "folders")
    assert "has no video in the split 'train', only in" in error(tmp_path / "list")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(DataError, match="is empty"):
        read_index(tmp_path / "nothing", for_training=False)


def test_what_can_be_trained_on_is_read_the_same_without_training(tmp_path: Path) -> None:
    touch(tmp_path / "one", *TWO_CLASSES)
    touch(tmp_path / "two", *(f"{split}/{name}" for split in ("train", "val") for name in TWO_CLASSES))
    write(tmp_path, "two/test.csv", "x/1.mp4,a\n")  # of something else
    touch(tmp_path / "three", *TWO_CLASSES)
    write(tmp_path, "three/index.csv", "path,labels\n" + "".join(f"{name},{name[0]}\n" for name in TWO_CLASSES))
    write(tmp_path, "three/val.csv", "a/1.mp4,b\n")
    for name in ("one", "two", "three"):
        assert read_index(tmp_path / name, for_training=False) == read_index(tmp_path / name)


def test_a_test_may_show_classes_that_train_lacks_and_numbers_with_gaps(tmp_path: Path) -> None:
    touch(tmp_path, *TWO_CLASSES)
    file = write(tmp_path, "l.csv", "a/1.mp4,0,train\na/2.mp4,5,test\nb/1.mp4,2,test\n")
    index = read_index(file, for_training=False)
    assert index.labels == ("0", "1", "2", "3", "4", "5")
    assert names(index)["val"] == [("a/2.mp4", "5"), ("b/1.mp4", "2")]
    assert "label number 5 is out of range" in error(file)


def test_something_something_may_be_tested_without_its_training_videos(tmp_path: Path) -> None:
    something_v2(tmp_path)
    touch(tmp_path, f"20bn-{V2}/9.webm")
    index = read_index(tmp_path, for_training=False)
    assert names(index) == {"val": [(f"20bn-{V2}/9.webm", "Pushing something")]}
    assert "train: 2 of 2 videos are not there and are left out" in index.notes
    assert "the video '7' is not there (2 of 2 in train are not)" in error(tmp_path)
