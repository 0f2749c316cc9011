"""What is left of the accuracy at another pace: the numbers are those of single tests, and nothing is half-written."""

from __future__ import annotations

import csv
import json
import math
import shutil
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.tiny import LABELS, break_video, tiny_recipe, write_filled, write_video
from vov3d.cli import main
from vov3d.data.dataset import ViewDataset
from vov3d.errors import ArgumentError, CheckpointError, DecodeError
from vov3d.evaluate import evaluate
from vov3d.models import ClipClassifier
from vov3d.tempo import Tempo, tempo, testing

pytestmark = pytest.mark.usefixtures("small")


@pytest.fixture(scope="module")
def long_videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos of 40 frames in a set without splits, long enough for strides to differ."""
    root = tmp_path_factory.mktemp("long")
    for number, label in enumerate(LABELS):
        for index in range(3):
            write_video(root / label / f"{index}.mp4", label, seed=10 * number + index, num_frames=40)
    return root


def of_stride(stride: int, folder: Path) -> Path:
    """A network of dense clips; of another stride it has the same weights."""
    recipe = tiny_recipe({"clip.sampling": "dense", "clip.frame_stride": str(stride)})
    return write_filled(folder / f"stride{stride}.safetensors", recipe)


@pytest.fixture
def dense(tmp_path: Path) -> Path:
    return of_stride(2, tmp_path).rename(tmp_path / "dense.safetensors")


def here(checkpoints: list[Path], data: Path, **arguments: object) -> Tempo:
    return tempo(checkpoints, data, split="all", device="cpu", workers=0, crops=1, **arguments)  # type: ignore[arg-type]


def test_each_number_is_that_of_a_test_of_its_own(dense: Path, long_videos: Path, tmp_path: Path) -> None:
    paces = {
        "strides": (1, 2, 5, 2),
        "speeds": (0.5, 2, 2.0),
        "orders": ("reversed", "reversed"),
    }  # each is tested once
    found = here([dense], long_videos, **paces).networks[0]
    common = {"split": "all", "device": "cpu", "workers": 0, "crops": 1}
    trained = evaluate(dense, long_videos, **common)
    assert (found.name, found.sampling, found.frame_stride, found.num_frames) == ("dense", "dense", 2, 4)
    assert (found.score_name, found.score, found.num_videos) == ("top-1", trained.metrics.top1, 9)
    alone = [
        *(evaluate(of_stride(stride, tmp_path), long_videos, **common) for stride in (1, 2, 5, 1, 4)),
        evaluate(dense, long_videos, frame_order="reversed", **common),
    ]
    tested = (*found.strides, *found.speeds)
    assert [pace.name for pace in tested] == ["stride 1", "stride 2", "stride 5", "x0.5", "x2", "reversed"]
    for pace, test in zip(tested, alone, strict=True):
        assert (pace.top1, pace.top5, pace.score) == (test.metrics.top1, test.metrics.top5, test.metrics.top1)
        assert pace.change == pytest.approx(test.metrics.top1 - trained.metrics.top1)
        right, before = (
            np.array([one.probs.argmax() == one.item.label for one in each.scores], float) for each in (test, trained)
        )
        assert pace.change_margin == pytest.approx(1.96 * (right - before).std() / math.sqrt(9))
    probs = [np.stack([one.probs for one in test.scores]) for test in alone]
    assert all(np.abs(probs[1] - other).max() > 1e-4 for other in (probs[0], *probs[2:]))


def test_what_is_the_same_is_tested_once(
    dense: Path, checkpoint: Path, long_videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    score = testing.score_videos

    def spy(model: ClipClassifier, views: ViewDataset, *others: object, **settings: object) -> object:
        asked.append((views.sampling, views.frame_stride, views.speed, views.frame_order))
        return score(model, views, *others, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(testing, "score_videos", spy)
    seen: list[tuple[int, int]] = []
    tell = lambda *counts: seen.append(counts)  # noqa: E731
    here([dense, checkpoint], long_videos, strides=(2, 4), speeds=(1, 2), on_progress=tell)
    assert asked == [
        *(("dense", 2, 1.0, "given"), ("dense", 4, 1.0, "given")),  # stride 4 is speed 2
        *(("dense", 2, 1.0, "reversed"), ("dense", 2, 1.0, "shuffled")),
        *(("segment", 1, 1.0, "given"), ("segment", 1, 2, "given")),
        *(("segment", 1, 1.0, "reversed"), ("segment", 1, 1.0, "shuffled")),
    ]
    assert seen[-1] == (72, 72)
    assert seen == sorted(seen)


def test_segments_have_no_stride_and_the_answer_says_so(checkpoint: Path, long_videos: Path) -> None:
    found = here([checkpoint], long_videos, orders=())
    (network,) = found.networks
    assert (network.sampling, network.frame_stride, network.strides) == ("segment", None, ())
    assert [pace.name for pace in network.speeds] == ["x0.5", "x1", "x2"]
    assert (network.speeds[1].change, network.speeds[1].change_margin) == (0, 0)
    assert found.notes == (
        "filled sees segments of the whole video: it has no stride to change, only speeds are tested",
    )
    assert here([checkpoint], long_videos, strides=(), speeds=(), orders=()).notes == ()


def test_files_of_several_networks(dense: Path, checkpoint: Path, long_videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = here([dense, checkpoint], long_videos, strides=(1, 5), out=out)
    assert sorted(path.name for path in out.iterdir()) == ["speeds.svg", "strides.svg", "tempo.csv", "tempo.json"]
    written = json.loads((out / "tempo.json").read_text())
    assert [network["name"] for network in written["networks"]] == ["dense", "filled"]
    assert written["networks"][0]["strides"][1]["change"] == found.networks[0].strides[1].change
    with (out / "tempo.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["pace"] for row in rows if row["network"] == "filled"] == ["x0.5", "x1", "x2", "reversed", "shuffled"]
    assert float(rows[1]["change"]) == found.networks[0].strides[1].change
    strides, speeds = (ElementTree.parse(out / name).getroot() for name in ("strides.svg", "speeds.svg"))
    said = [element.text for element in strides.iter("{http://www.w3.org/2000/svg}text")]
    assert {"dense", "1", "2", "5", "change of top-1, points"} <= set(said) and "filled" not in said
    assert "filled, top-1" in [element.text for element in speeds.iter("{http://www.w3.org/2000/svg}text")]


def test_several_labels_a_video_are_scored_by_map(long_videos: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe({"train.loss": "sigmoid"})
    network = write_filled(tmp_path / "sigmoid.safetensors", recipe)
    shown = {"dark/0": "dark|light", "dark/1": "dark", "light/0": "light", "moving/0": "moving"}
    rows = [f"{long_videos / name}.mp4,{labels},val" for name, labels in shown.items()]
    rows += [f"{long_videos / label / '2.mp4'},{label},train" for label in LABELS]
    (tmp_path / "several.csv").write_text("\n".join(["path,labels,split", *rows]) + "\n")
    found = tempo([network], tmp_path / "several.csv", strides=(), device="cpu", workers=0, crops=1).networks[0]
    assert found.score_name == "mAP"
    assert all(pace.score == pace.mean_average_precision and pace.change_margin is None for pace in found.speeds)
    assert [pace.change for pace in found.speeds] == [pace.score - found.score for pace in found.speeds]


def test_nothing_is_written_before_all_is_done(dense: Path, own_videos: Path, tmp_path: Path) -> None:
    break_video(own_videos / "val" / "light" / "1.mp4")
    out = tmp_path / "out"
    with pytest.raises(DecodeError, match="--allow-missing"):
        here([dense], own_videos, out=out)
    assert not out.exists()
    found = here([dense], own_videos, strides=(), speeds=(), out=out, allow_missing=True)
    assert found.notes == ("dense: videos that cannot be decoded are left out: 1",)
    assert not (out / "strides.svg").exists() and (out / "speeds.svg").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"strides": (0,)}, "a stride of 0 frames"),
        ({"speeds": (0.0,)}, "a speed of 0 is not possible"),
        ({"speeds": (math.nan,)}, "a speed of nan"),
    ],
)
def test_mistakes_are_named(dense: Path, long_videos: Path, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        here([dense], long_videos, **arguments)


def test_all_networks_are_read_before_any_is_tested(
    dense: Path, long_videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(testing, "score_videos")
    broken = break_video(tmp_path / "broken.safetensors")
    with pytest.raises(CheckpointError, match="broken"):
        here([dense, broken], long_videos)
    with pytest.raises(ArgumentError, match="7 checkpoints; one plot shows 1 to 6"):
        here([dense] * 7, long_videos)
    with pytest.raises(ArgumentError, match="is given twice"):
        here([dense, dense.parent / ".." / dense.parent.name / dense.name], long_videos)


def test_the_command_line(
    dense: Path, checkpoint: Path, long_videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["tempo", str(dense), str(checkpoint), "--data", str(long_videos), "--split", "all", "--device", "cpu"]
    words += ["--workers", "0", "--crops", "1", "--strides", "2,3", "--speeds", "x2,reversed"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    heads = next(line for line in lines if line.startswith("pace"))
    assert heads.split() == ["pace", "dense", "change", "filled", "change"]
    assert "dense   4 frames, stride 2" in lines and "filled  4 frames, segments of the whole video" in lines
    rows = {line.split("  ")[0]: line for line in lines}
    assert list(rows)[-5:] == ["as trained", "stride 2", "stride 3", "x2", "reversed"]
    assert rows["stride 3"].split()[-2:] == ["-", "-"]
    assert "+0.0 ± 0.0" in rows["stride 2"]
    assert any(line.startswith("note") and "no stride to change" in line for line in lines)
    assert main([*words[:-1], "x0"]) == 2
    assert "argument --speeds: 'x0' is neither a speed from 0.01 to 100 nor reversed nor sh" in capsys.readouterr().err


def test_one_run_keeps_its_results(
    checkpoint: Path, videos: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run = tmp_path / "first"
    run.mkdir()
    (run / "recipe.yaml").touch()
    shutil.copy(checkpoint, run / "last.safetensors")
    words = ["tempo", str(run / "last.safetensors"), "--data", str(videos), "--workers", "0", "--crops", "1"]
    assert main([*words, "--device", "cpu", "--speeds", "2", "--strides", "", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown == json.loads((run / "tempo" / "tempo.json").read_text())
    assert shown["networks"][0]["name"] == "first"
