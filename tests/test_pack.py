"""`vov3d pack` copies every byte, names what it leaves out, and is there whole or not at all."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.tiny import break_video, tiny_recipe
from vov3d.check import check
from vov3d.cli import main
from vov3d.data.dataset import ClipDataset
from vov3d.data.items import Broken
from vov3d.data.opening import open_item
from vov3d.data.pack.format import signed
from vov3d.data.sources import VideoIndex, read_index
from vov3d.errors import ArgumentError, DataError, InUseError
from vov3d.evaluate import evaluate
from vov3d.pack import pack
from vov3d.train import train


@pytest.fixture(scope="module")
def packed(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack(videos, tmp_path_factory.mktemp("packed") / "set", shard_mib=0.03).out


def facts_of(index: VideoIndex) -> object:
    """All of an index that packing keeps."""
    splits = {split: [(item.name, item.label, item.also) for item in items] for split, items in index.splits.items()}
    return index.labels, index.multi_label, index.flip, index.frame_fps, splits


def all_members(out: Path) -> dict[str, bytes]:
    """Every member of every shard."""
    found = {}
    for shard in sorted(out.glob("*.tar")):
        with tarfile.open(shard) as tar:
            for member in tar:
                content = tar.extractfile(member)
                assert content is not None and member.name not in found
                found[member.name] = content.read()
    return found


def test_the_index_is_that_of_the_data_set(videos: Path, packed: Path) -> None:
    before, after = read_index(videos), read_index(packed)
    assert facts_of(before) == facts_of(after)
    assert after.kind == "packed class folders"
    assert after.notes[: len(before.notes)] == before.notes and "shards of together" in after.notes[-1]
    assert after.root == packed


def test_every_byte_is_there_once(videos: Path, packed: Path) -> None:
    members = all_members(packed)
    items = [item for split in ("train", "val") for item in read_index(videos).splits[split]]
    assert len(members) == 2 * len(items) == 36
    for key, item in enumerate(items):
        assert members[f"{key:06}.mp4"] == item.path.read_bytes()
        about = json.loads(members[f"{key:06}.json"])
        assert about["name"] == item.name and about["labels"] == [item.name.split("/")[1]]
        assert about["label_ids"] == [item.label] and about["split"] == item.name.split("/")[0]


def test_other_readers_of_webdataset_can_read_the_shards(packed: Path) -> None:
    import webdataset

    shards = sorted(str(shard) for shard in packed.glob("train-*.tar"))
    samples = list(webdataset.WebDataset(shards, shardshuffle=False).decode())
    assert len(samples) == 12
    assert {sample["json"]["labels"][0] for sample in samples} == {"dark", "light", "moving"}
    assert all(len(sample["mp4"]) > 1000 for sample in samples)


def test_training_videos_are_mixed_and_others_in_order(packed: Path) -> None:
    index = read_index(packed)
    physical = {
        split: [item.packed.key for item in sorted(items, key=lambda item: (item.path, item.packed.offset))]
        for split, items in index.splits.items()
        if all(item.packed is not None for item in items)
    }
    assert sorted(physical["train"]) == list(range(12)) != physical["train"]
    assert physical["val"] == list(range(12, 18))


def test_checksums_and_sizes(packed: Path) -> None:
    shards = json.loads((packed / "pack.json").read_text())["shards"]
    assert [row["file"] for row in shards] == sorted(file.name for file in packed.glob("*.tar"))
    for row in shards:
        content = (packed / row["file"]).read_bytes()
        assert (row["num_bytes"], row["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    sizes = [row["num_bytes"] for row in shards if row["file"].startswith("train")]
    assert len(sizes) > 2 and all(0.03 * 2**20 < size < 0.06 * 2**20 for size in sizes[:-1])


def test_packing_is_reproducible_and_the_seed_is_the_order(videos: Path, packed: Path, tmp_path: Path) -> None:
    again = pack(videos, tmp_path / "again", shard_mib=0.03, workers=1).out
    other = pack(videos, tmp_path / "other", shard_mib=0.03, seed=1).out
    names = sorted(file.name for file in packed.iterdir())
    assert [(again / name).read_bytes() for name in names] == [(packed / name).read_bytes() for name in names]
    assert (other / "train-000000.tar").read_bytes() != (packed / "train-000000.tar").read_bytes()
    assert facts_of(read_index(other)) == facts_of(read_index(packed))


def test_a_pack_can_be_packed_anew(packed: Path, tmp_path: Path) -> None:
    out = pack(packed, tmp_path / "one", shard_mib=100).out
    assert len(list(out.glob("*.tar"))) == 2
    assert facts_of(read_index(out)) == facts_of(read_index(packed))
    assert all_members(out) == all_members(packed)
    assert read_index(out).kind == "packed class folders"


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """Something-Something V1: folders of frames, with a test split that has no labels."""
    root = tmp_path / "something"
    names = ["Lifting [something] up", "Putting [something] left"]
    (root / "frames").mkdir(parents=True)
    (root / "something-something-v1-labels.csv").write_text("\n".join(names) + "\n")
    number = 0
    for split, count in (("train", 6), ("validation", 3), ("test", 2)):
        rows = []
        for _ in range(count):
            number += 1
            rows.append(str(number) if split == "test" else f"{number};{names[number % 2]}")
            folder = root / "frames" / str(number)
            folder.mkdir()
            for frame in range(1, 8):
                Image.new("RGB", (24, 16), (10 * number, 20 * frame, 0)).save(folder / f"{frame:05}.jpg")
        (root / f"something-something-v1-{split}.csv").write_text("\n".join(rows) + "\n")
    return root


def test_folders_of_frames(frames: Path, tmp_path: Path) -> None:
    out = pack(frames, tmp_path / "out", shard_mib=0.01).out
    before, after = read_index(frames), read_index(out)
    assert facts_of(before) == facts_of(after)
    assert {split: len(items) for split, items in after.splits.items()} == {"train": 6, "val": 3, "test": 2}
    assert after.frame_fps == 12 and after.flip == "none"
    for split, items in before.splits.items():
        for plain, item in zip(items, after.splits[split], strict=True):
            with open_item(plain, 12.0) as one, open_item(item, 12.0) as other:
                assert (other.info.num_frames, other.info.fps, other.info.codec) == (7, 12.0, "jpeg frames")
                assert torch.equal(one.frames(range(7)), other.frames(range(7)))
    one, other = (ClipDataset(index, "train", num_frames=4, short_side=(16, 18), crop=16) for index in (before, after))
    for number in range(6):
        plain_clip, clip = one[1, number], other[1, number]
        assert not isinstance(plain_clip, Broken) and not isinstance(clip, Broken)
        assert torch.equal(plain_clip.clip, clip.clip)
    members = all_members(out)
    assert [name for name in members if name.startswith("000000.")] == [
        *(f"000000.{number:06}.jpg" for number in range(7)),
        "000000.json",
    ]
    assert members["000000.000003.jpg"] == (frames / "frames/1/00004.jpg").read_bytes()


def test_several_labels_a_video(videos: Path, tmp_path: Path) -> None:
    root = tmp_path / "several"
    root.mkdir()
    rows = ["path,labels,split"]
    for number, name in enumerate(("train/dark/0", "train/light/0", "train/moving/0", "val/dark/0", "val/light/1")):
        shutil.copy(videos / f"{name}.mp4", root / f"{number}.mp4")
        rows.append(f"{number}.mp4,{('a|b', 'b', 'c|a|b', 'a', '')[number]},{name.split('/')[0]}")
    (root / "index.csv").write_text("\n".join(rows) + "\n")
    out = pack(root, tmp_path / "out").out
    before, after = read_index(root), read_index(out)
    assert facts_of(before) == facts_of(after)
    assert after.multi_label and [item.classes for item in after.splits["train"]] == [(0, 1), (1,), (0, 1, 2)]
    assert json.loads(all_members(out)["000002.json"])["labels"] == ["a", "b", "c"]


def test_odd_names(own_videos: Path, tmp_path: Path) -> None:
    names = ["a b.mp4", "ä ☃.mp4", "line\nbreak.mp4", "100% {0}.MP4", "dots.tar.gz.mp4", "-x.mp4"]
    for name in names:
        shutil.copy(own_videos / "train/dark/0.mp4", own_videos / "train/dark" / name)
    out = pack(own_videos, tmp_path / "50% %d é").out
    before, after = read_index(own_videos), read_index(out)
    assert facts_of(before) == facts_of(after)
    assert {Path(item.name).name for item in after.splits["train"]} >= set(names)
    assert not check(out).broken


def test_videos_that_do_not_open_are_left_out_and_named(
    own_videos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    break_video(own_videos / "train/light/1.mp4")
    (own_videos / "val/dark/0.mp4").write_bytes(b"")
    out = tmp_path / "out"
    with caplog.at_level(logging.WARNING, "vov3d"):
        assert main(["pack", "--data", str(own_videos), str(out), "--quiet"]) == 1
    text = capsys.readouterr().out
    for name, reason in (("train/light/1.mp4", "Invalid data"), ("val/dark/0.mp4", "empty")):
        line = next(line for line in text.splitlines() if name in line)
        assert "left out" in line and reason in line
        assert any(name in record.getMessage() for record in caplog.records)
    left_out = json.loads((out / "pack.json").read_text())["left_out"]
    assert [(one["split"], one["name"]) for one in left_out] == [
        ("train", "train/light/1.mp4"),
        ("val", "val/dark/0.mp4"),
    ]
    before, after = read_index(own_videos), read_index(out)
    assert [item.name for item in after.splits["train"]] == [
        item.name for item in before.splits["train"] if item.name != "train/light/1.mp4"
    ]
    assert "left out: 2, the first 'train/light/1.mp4': Invalid data" in after.notes[-1]
    assert not check(out).broken


def test_no_training_video_opens(own_videos: Path, tmp_path: Path) -> None:
    for video in (own_videos / "train").rglob("*.mp4"):
        break_video(video)
    with pytest.raises(DataError, match="none of the 12 training videos opens; the first: Invalid data"):
        pack(own_videos, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["own_videos"]


def test_the_command(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "a" / "set"
    spaced = tmp_path / "a set"
    assert main(["pack", "--data", str(videos), str(spaced), "--quiet"]) == 0
    assert f"next     vov3d train RECIPE --data '{spaced}' --out RUN\n" in capsys.readouterr().out
    assert main(["pack", "--data", str(videos), str(out), "--json", "--seed", "3"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["num_videos"] == {"train": 12, "val": 6} and result["num_shards"] == 2
    assert result["num_bytes"] == sum(file.stat().st_size for file in out.glob("*.tar"))
    assert main(["pack", "--data", str(videos), str(out)]) == 2
    assert capsys.readouterr().err == f"vov3d: {str(out)!r} exists already; give a folder that does not, or remove it\n"
    assert main(["pack", "--data", str(videos), str(tmp_path / "x"), "--shard-mib", "0"]) == 2
    assert main(["check", "--data", "nothing://here"]) == 2
    assert "nothing://here" in capsys.readouterr().err


def test_check_of_a_pack_says_what_check_of_the_videos_says(own_videos: Path, tmp_path: Path) -> None:
    shutil.copy(own_videos / "train/dark/0.mp4", own_videos / "val/dark/leak.mp4")
    before, after = check(own_videos), check(pack(own_videos, tmp_path / "out").out)
    assert before.leaked == after.leaked == (("train/dark/0.mp4", "val/dark/leak.mp4"),)
    assert before.splits == after.splits and before.verdicts == after.verdicts and before.codecs == after.codecs


@pytest.mark.usefixtures("small")
def test_evaluation_and_training_on_a_pack(videos: Path, packed: Path, checkpoint: Path, tmp_path: Path) -> None:
    one, other = (
        evaluate(checkpoint, data, out=tmp_path / name, device="cpu", workers=0)
        for name, data in (("plain", videos), ("packed", packed))
    )
    assert [score.probs.tolist() for score in one.scores] == [score.probs.tolist() for score in other.scores]
    assert one.metrics.top1 == other.metrics.top1
    rows = (tmp_path / "packed/predictions.csv").read_text().splitlines()
    assert rows[1].startswith("val/dark/0.mp4,val-000000.tar/000012 (val/dark/0.mp4),dark,")
    result = train(tiny_recipe({"train.epochs": "1"}), packed, tmp_path / "run", device="cpu", workers=2, quiet=True)
    assert result.epochs == 1 and result.quarantined == 0


def test_out_must_not_be_there(videos: Path, packed: Path, tmp_path: Path) -> None:
    for out in (packed, tmp_path):
        with pytest.raises(ArgumentError, match="exists already"):
            pack(videos, out)
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(ArgumentError, match="exists already"):
        pack(videos, tmp_path / "link")
    with pytest.raises(ArgumentError, match="shard_mib is 0"):
        pack(videos, tmp_path / "out", shard_mib=0)


def test_a_full_disk_leaves_nothing_and_is_one_line(videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = (
        "import resource, sys\n"
        "from vov3d.cli import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"  # as a disk that is full there
        f"sys.exit(main(['pack', '--data', {str(videos)!r}, {str(out)!r}, '--quiet']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (2, f"vov3d: File too large: {str(out)!r}\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_what_a_killed_packing_left_is_removed_by_the_next(videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = (
        "import sys, time, vov3d.data.pack.write as write\n"
        "add, seen = write.SplitWriter.add, []\n"
        "def slow(self, *arguments):\n"
        "    add(self, *arguments)\n"
        "    seen.append(None)\n"
        "    if len(seen) == 5: print('now', flush=True); time.sleep(60)\n"
        "write.SplitWriter.add = slow\n"
        f"from vov3d.pack import pack\npack({str(videos)!r}, {str(out)!r}, shard_mib=0.01)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "now\n"
        with pytest.raises(InUseError, match=f"out' is in use: process {process.pid} on "):
            pack(videos, out)
        process.kill()
    assert not out.exists()
    assert list((tmp_path / ".out.unfinished").glob("*.tar"))
    pack(videos, out)
    assert list(tmp_path.iterdir()) == [out]
    assert len(read_index(out).splits["train"]) == 12


def changed(packed: Path, out: Path, key: str, value: object) -> Path:
    shutil.copytree(packed, out)
    content = json.loads((out / "pack.json").read_text())
    del content["digest"]
    content[key] = value
    (out / "pack.json").write_text(signed(content))
    return out


def test_a_pack_that_is_not_right(packed: Path, tmp_path: Path) -> None:
    columns = json.loads((packed / "pack.json").read_text())["splits"]
    shards = json.loads((packed / "pack.json").read_text())["shards"]
    wrong = {
        "version": (1, "has version 1 of the format"),
        "labels": (["dark"], "a label of train is no class"),
        "shards": ([{**shards[0], "file": "../secret.tar"}, *shards[1:]], "is damaged: shard '../secret.tar'"),
        "kind": (None, "is damaged"),
        "splits": ({"train": {**columns["train"], "offsets": [10**12] * 12}}, "outside its shard"),
        "splits of huge numbers": ({"train": {**columns["train"], "offsets": [10**30] * 12}}, "is damaged"),
        "splits without names": ({"train": {**columns["train"], "names": [7] * 12}}, "a name of train is no text"),
    }
    for key, (value, message) in wrong.items():
        with pytest.raises(DataError, match=message.replace("(", r"\(")) as caught:
            read_index(changed(packed, tmp_path / key, key.split()[0], value))
        assert "\n" not in str(caught.value)
    cut = Path(shutil.copytree(packed, tmp_path / "cut"))
    whole = (packed / "pack.json").read_bytes()
    for num_bytes in (1, 700):
        (cut / "pack.json").write_bytes(whole[:num_bytes])
        with pytest.raises(DataError, match=r"pack\.json is damaged"):
            read_index(cut)


def test_a_changed_label_in_a_pack_is_noticed(packed: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(packed, tmp_path / "out"))
    content = json.loads((out / "pack.json").read_text())
    (out / "pack.json").write_text(json.dumps(content, indent=1))  # another form of the same
    assert facts_of(read_index(out)) == facts_of(read_index(packed))
    labels = content["splits"]["train"]["labels"]
    labels[0] = 1 - labels[0]
    (out / "pack.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"pack\.json is damaged: its content is not what was written$"):
        read_index(out)


def test_a_pack_without_training_videos_is_not_trained_on(packed: Path, tmp_path: Path) -> None:
    columns = json.loads((packed / "pack.json").read_text())["splits"]
    out = changed(packed, tmp_path / "val", "splits", {"val": columns["val"]})
    with pytest.raises(DataError, match="no video with a label in train"):
        read_index(out)
    assert len(read_index(out, for_training=False).splits["val"]) == 6


def test_another_pack_json_is_none_of_ours(own_videos: Path) -> None:
    (own_videos / "pack.json").write_text('{"name": "a package"}')
    assert read_index(own_videos).kind == "class folders"


def test_only_packing_needs_webdataset(
    videos: Path, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "webdataset", None)
    monkeypatch.setattr(sys.modules["vov3d.pack"], "find_spec", {}.get)
    with pytest.raises(DataError, match=r"which is not installed; pip install 'vov3d\[pack\]'"):
        pack(videos, tmp_path / "out")
    with open_item(read_index(packed).splits["train"][0], None) as video:
        assert video.info.num_frames == 12
