"""The page of a run: whole, in part, hostile and not a run at all."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from vov3d.checkpoint import write_checkpoint
from vov3d.errors import DataError
from vov3d.metrics import Scores, score, score_multi_label
from vov3d.recipe import recipe_from_mapping, to_yaml
from vov3d.report import report
from vov3d.report.examples import choose_examples
from vov3d.report.findings import frame_order, most_confused
from vov3d.report.reading import Evaluation, PredictedVideo

LABELS = ("left", "right", "up", "down", "still", "turn")
HOSTILE = "<script>alert(1)</script>\"'&"


def write_video(path: Path, colour: tuple[int, int, int], num_frames: int = 7) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(num_frames):
            picture = np.full((48, 64, 3), colour, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def write_evaluation(
    folder: Path, data: Path, order: str, truth: Sequence[int], answers: Sequence[int], labels: Sequence[str] = LABELS
) -> Scores:
    """Write an evaluation; the videos are ``data/v0.mp4`` and so on."""
    folder.mkdir(parents=True)
    probs = 0.01 + 0.9 * np.eye(len(labels))[list(answers)]
    scores = score(probs, list(truth), labels)
    about = {"checkpoint": "best.safetensors", "data": str(data), "split": "val", "loss": None, "seconds": 2.0}
    views = {"num_clips": 2, "num_crops": 3, "crop": 128, "frame_order": order}
    missing = [{"path": "lost.mp4", "reason": "no such file"}]
    metrics = {**about, **asdict(scores), **views, "missing": missing}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    with (folder / "predictions.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["name", "path", "label", "predicted", "probability", "correct"])
        for index, (label, answer) in enumerate(zip(truth, answers, strict=True)):
            name = f"v{index}.mp4"
            rows.writerow([name, data / name, labels[label], labels[answer], 0.91 - 0.01 * index, label == answer])
    return scores


TRUTH = [0, 1, 2, 3, 4, 5] * 5
ANSWERS = [*[0, 1, 2, 3, 4, 5] * 4, 1, 0, 2, 3, 4, 5]  # 28 of 30
BACKWARDS = [1, 0, 3, 2, 4, 5] * 5


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with everything in it, and 30 videos, of which four are there and one of these is broken."""
    folder, data = tmp_path / "run", tmp_path / "videos"
    write_evaluation(folder / "evaluation", data, "given", TRUTH, ANSWERS)
    write_evaluation(folder / "evaluation-shuffled", data, "shuffled", TRUTH, [4] * 30)
    write_evaluation(folder / "evaluation-reversed", data, "reversed", TRUTH, BACKWARDS)
    write_video(data / "v0.mp4", (200, 30, 30))
    write_video(data / "v24.mp4", (30, 200, 30))
    write_video(data / "v2.mp4", (30, 30, 200), num_frames=2)
    (data / "v1.mp4").write_bytes(b"no video")
    columns = "epoch,step,lr,train_loss,train_top1,val_loss,val_top1,val_top5,clips_per_second,seconds,quarantined"
    rows = ["1,9,0.1,1.75,0.2,,,,11.5,40,0", "2,18,0.1,1.25,0.4,1.5,0.5,1.0,12.5,50,1", "3,27,0.1,nan,0.6,,,,12,60,1"]
    (folder / "log.csv").write_text("\n".join([columns, "1,9,0.1,9.9,0.9,,,,1,1,0", *rows]) + "\n")
    (folder / "quarantine.csv").write_text("path,reason\nbad.mp4,no frames\n")
    recipe = {"model": {"name": "vov3d_m"}, "train": {"epochs": 3}}
    (folder / "recipe.yaml").write_text(to_yaml(recipe_from_mapping(recipe)))
    made = {"vov3d": "0.1.0", "torch": "2.9", "cores": 2, "processor": "Abacus 3", "command": "vov3d train --out 'a b'"}
    (folder / "environment.json").write_text(json.dumps(made))
    guess = {"source": str(data / "v0.mp4"), "top": [{"label": "left", "probability": 0.875}], "seconds": 0.5}
    (folder / "prediction.json").write_text(json.dumps(guess))
    tensors = {"a.weight": torch.zeros(1000, 1230), "a.running_mean": torch.zeros(10_000)}
    write_checkpoint(folder / "best.safetensors", tensors, {})
    return folder


class _Nesting(HTMLParser):
    """Fails on tags that are not closed in order, and keeps what a page must not do."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.outside: list[str] = []
        self.seen: list[str] = []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.outside += [
            f"{tag} {name}={value}"
            for name, value in attrs
            if name.startswith("on") or (name in {"src", "href"} and not (value or "").startswith(("data:image/", "#")))
        ]
        if tag not in {"meta", "img", "br", "link", "input"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read(path: Path) -> str:
    """The page, once it is known to be well-formed, self-contained and without scripts."""
    page = path.read_text(encoding="utf-8")
    nesting = _Nesting(page)
    assert not nesting.outside
    assert not {"script", "link", "iframe", "object"} & set(nesting.seen)
    assert "default-src 'none'" in page
    rest = page.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|@import|url\(", rest)
    return page


def text(page: str) -> str:
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]*>", " ", page, flags=re.DOTALL).split())


def sections(page: str) -> list[str]:
    return re.findall(r'<section id="([a-z-]+)"', page)


def write_several(folder: Path, data: Path, order: str, probs: np.ndarray, targets: np.ndarray) -> Scores:
    """Write an evaluation of several labels a video."""
    folder.mkdir(parents=True)
    scores = score_multi_label(probs, targets, LABELS)
    about = {"checkpoint": "best.safetensors", "data": str(data), "split": "val", "loss": 0.5, "seconds": 2.0}
    views = {"num_clips": 2, "num_crops": 3, "crop": 128, "frame_order": order}
    (folder / "metrics.json").write_text(json.dumps({**about, **asdict(scores), **views, "missing": []}))
    rows = ["name,path,labels,predicted,probability,correct,found"]
    for index, (prob, target) in enumerate(zip(probs, targets, strict=True)):
        best = int(prob.argmax())
        shown = "|".join(label for label, there in zip(LABELS, target, strict=True) if there)
        rows.append(f"v{index}.mp4,v{index}.mp4,{shown},{LABELS[best]},{prob[best]:.4f},{bool(target[best])},")
    (folder / "predictions.csv").write_text("\n".join(rows) + "\n")
    return scores


def test_the_page_of_several_labels_a_video(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    targets = (rng.random((40, 6)) < 0.4).astype(int)
    targets[0], targets[:, 5] = 0, 0
    probs = 0.2 + 0.5 * targets + 0.25 * rng.random((40, 6))
    probs[:20] = probs[:20, ::-1]
    folder = tmp_path / "run"
    given = write_several(folder / "evaluation", tmp_path, "given", probs, targets)
    shuffled = write_several(folder / "evaluation-shuffled", tmp_path, "shuffled", rng.random((40, 6)), targets)
    (folder / "log.csv").write_text(
        "epoch,train_loss,train_top1,val_loss,val_top1,val_map\n1,0.7,0.5,0.6,0.9,0.25\n2,0.6,0.6,0.5,0.8,0.75\n"
    )
    page = read(report(folder))
    assert sections(page) == ["time", "examples", "classes", "learning", "origin"]
    shown = text(page)
    assert given.mean_average_precision is not None and shuffled.mean_average_precision is not None
    precision, control = (f"{100 * one.mean_average_precision:.1f}%" for one in (given, shuffled))  # type: ignore[operator]
    for expected in (
        f"mean average precision {precision} mean of the classes hit at 1 {100 * given.top1:.1f}%",
        f"chance {100 * given.chance:.1f}% about; 6 classes",
        f"the mean average precision is {precision}, {control} with the frames of each clip in random order",
        "Average precision by class",
        "Best validation mAP: 75.0% in epoch 2.",
        "Mean average precision by epoch",
        "Hit at 1 by epoch",
    ):
        assert expected in shown, expected
    for absent in ("Confusion", "Most often mistaken", "top-1", "Top-1", "macro", "95% interval"):
        assert absent not in shown, absent
    for one in given.per_class[:5]:
        assert f"{100 * (one.average_precision or 0):.1f}%" in shown
        assert f"{one.num_videos} videos" in shown
    captions = re.findall(r"<figcaption>.*?</figcaption>", page.split('id="examples"')[1], re.DOTALL)
    assert len(captions) == 8
    assert 0 < sum("✕" in caption for caption in captions) < 8
    for caption in map(text, captions):
        number = int(re.search(r"· v(\d+)\.mp4", caption)[1])  # type: ignore[index]
        truth = [label for label, there in zip(LABELS, targets[number], strict=True) if there]
        assert number != 0
        assert (f"in truth {', '.join(truth)} ·" in caption) or re.match(rf"✓ {truth[0]} [0-9.]+% ·", caption)
        assert ("in truth" in caption) == ("✕" in caption or len(truth) > 1)


def test_the_page_of_several_labels_before_any_test(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("epoch,train_loss,train_top1,val_loss,val_top1,val_map\n1,0.7,0.5,0.6,0.9,0.25\n")
    assert "mean average precision 25.0% best validation, epoch 1" in text(read(report(tmp_path)))


def test_the_page_of_a_whole_run(run: Path) -> None:
    path = report(run)
    assert path == run / "report.html"
    page = read(path)
    assert sections(page) == ["time", "examples", "classes", "learning", "prediction", "left-out", "origin", "again"]
    assert set(re.findall(r'href="#([a-z-]+)"', page)) == set(sections(page))
    shown = text(page)
    for expected in (
        "vov3d_m on videos",
        "top-1 accuracy 93.3% 95% interval 78.7% to 98.2%",
        "chance 16.7% 6 classes",
        "videos 30 split: val",
        "parameters 1.23 M",  # running statistics do not count
        "in random order the same network scores 16.7% instead of 93.3%; chance is 16.7%",
        "all of its 76.7 points above chance come from the order",
        "Played backwards, the videos score 33.3%",
        "left becomes right (5 of 5), right becomes left (5 of 5), up becomes down (5 of 5).",
        "left → right 1 of 5",
        "Best validation top-1: 50.0% in epoch 2.",
        "epochs 3 of 3",
        "time 2 min",  # of an epoch that was run again, the last row
        "speed 12 clips per second",
        "loss not finite in 1 of 3 epochs",
        "2 clips × 3 crops at 128 px",
        "processor Abacus 3, 2 cores",
        "Set aside in training: 1 bad.mp4 no frames",
        "Missing from the test: 1 lost.mp4 no such file",
        "vov3d train --out &#39;a b&#39;",
        "--frame-order reversed --allow-missing",
        f"vov3d predict {run}/best.safetensors video.mp4",
        "schedule: cosine",
    ):
        assert expected in shown, expected


def test_examples_show_the_frames_of_their_videos(run: Path) -> None:
    page = read(report(run))
    figures = re.findall(r"<figure>.*?</figure>", page.split('id="examples"')[1].split("</section>")[0], re.DOTALL)
    by_name = {re.search(r"· (v\d+\.mp4)", figure)[1]: figure for figure in figures}  # type: ignore[index]
    assert list(by_name) == ["v0.mp4", "v1.mp4", "v2.mp4", "v3.mp4", "v4.mp4", "v5.mp4", "v24.mp4", "v25.mp4"]
    for name, colour in {"v0.mp4": (200, 30, 30), "v24.mp4": (30, 200, 30), "v2.mp4": (30, 30, 200)}.items():
        pictures = re.findall(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)", by_name[name])
        assert len(pictures) == 5
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(pictures[-1]))))
        assert picture.shape == (120, 160, 3)
        assert np.abs(picture.mean((0, 1)) - colour).max() < 12
    assert "the video cannot be decoded" in by_name["v1.mp4"]
    assert "the video is no longer there" in by_name["v3.mp4"]
    assert "in truth" not in text(by_name["v0.mp4"])
    assert "right 67.0%, in truth left" in text(by_name["v24.mp4"])


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        ("log.csv", ["learning", "origin"]),
        ("recipe.yaml", ["origin", "again"]),
        ("evaluation", ["examples", "classes", "left-out", "origin"]),
        ("evaluation-shuffled", []),
    ],
)
def test_any_part_of_a_run_gives_a_page(run: Path, tmp_path: Path, kept: str, expected: list[str]) -> None:
    part = tmp_path / "part"
    part.mkdir()
    (run / kept).rename(part / kept)
    page = read(report(part))
    assert sections(page) == expected
    assert ("<h1>vov3d_m" in page) == (kept == "recipe.yaml")


def test_a_recipe_of_another_version_is_shown_as_it_is(run: Path) -> None:
    (run / "recipe.yaml").write_text("model: {name: vov9d, unheard_of: 1}\n")
    page = read(report(run))
    assert "unheard_of: 1" in page
    assert "<h1>run on videos</h1>" in page


def test_a_second_report_replaces_the_first(run: Path) -> None:
    report(run)
    before = sorted(run.iterdir())
    (run / "log.csv").unlink()
    assert "learning" not in sections(read(report(run)))
    assert sorted(run.iterdir()) == [path for path in before if path.name != "log.csv"]


def test_hostile_names_are_only_text(tmp_path: Path) -> None:
    labels = [HOSTILE, "b"]
    folder = tmp_path / "run"
    write_evaluation(folder / "evaluation", tmp_path / HOSTILE.replace("/", "|"), "given", [0, 1, 0], [0, 1, 1], labels)
    write_evaluation(folder / "evaluation-reversed", tmp_path, "reversed", [0, 1, 0], [1, 0, 1], labels)
    (folder / "quarantine.csv").write_text(f'path,reason\n"{HOSTILE.replace(chr(34), "")}",x\n')
    (folder / "recipe.yaml").write_text(f"</pre>{HOSTILE}")
    (folder / "environment.json").write_text(json.dumps({"command": HOSTILE, "processor": HOSTILE}))
    (folder / "prediction.json").write_text(json.dumps({"source": HOSTILE, "top": [{"label": "b", "probability": 1}]}))
    page = read(report(folder))
    assert page.count("&lt;script&gt;") > 10


def test_four_hundred_classes_stay_a_small_page(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 400, 20_000)
    answers = np.where(rng.random(20_000) < 0.7, truth, rng.integers(0, 400, 20_000))
    labels = [f"Pushing something numbered {index} from left to right" for index in range(400)]
    write_evaluation(tmp_path / "evaluation", tmp_path, "given", truth.tolist(), answers.tolist(), labels)
    path = report(tmp_path)
    assert 50_000 < path.stat().st_size < 500_000
    page = text(read(path))
    assert "The 20 best classes" in page
    assert "The 20 worst classes" in page


def test_what_is_no_run_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no run folder .*nowhere'; give the folder that 'vov3d train'"):
        report(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"is not a run folder: expected log\.csv"):
        report(tmp_path)
    with pytest.raises(DataError, match=r"did you mean .*run'\?"):
        report(run / "evaluation")
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("evaluation/metrics.json", "{", "metrics.json' is damaged: content: Invalid JSON"),
        ("evaluation/metrics.json", "{}", "metrics.json' is damaged: data: "),
        ("log.csv", "epoch,train_loss\nfirst,1.0\n", "log.csv' is damaged: epoch: Input should be a valid integer"),
    ],
)
def test_a_damaged_file_is_named(run: Path, name: str, content: str, message: str) -> None:
    (run / name).write_text(content)
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        report(run)
    assert "\n" not in str(caught.value)


def test_metrics_that_contradict_themselves_are_named(run: Path) -> None:
    path = run / "evaluation" / "metrics.json"
    metrics = json.loads(path.read_text())
    path.write_text(json.dumps({**metrics, "confusion": metrics["confusion"][1:]}))
    with pytest.raises(DataError, match="contradicts itself"):
        report(run)


def video(name: str, label: str, predicted: str, probability: float) -> PredictedVideo:
    return PredictedVideo(name=name, path=name, label=label, predicted=predicted, probability=probability)


def test_examples_are_sure_diverse_and_of_both_kinds() -> None:
    right = [video(f"r{index}", "ab"[index % 2], "ab"[index % 2], 0.9 - index / 100) for index in range(20)]
    right += [video("rare", "c", "c", 0.3)]
    wrong = [video("w0", "a", "b", 0.5), video("w1", "a", "c", 0.6), video("w2", "b", "a", 0.4)]
    unknown = [video("u", "", "a", 1.0)]
    chosen = [one.name for one in choose_examples([*wrong, *unknown, *right])]
    assert chosen == ["r0", "r1", "rare", "r2", "r3", "w1", "w2", "w0"]
    assert [one.name for one in choose_examples(wrong)] == ["w1", "w2", "w0"]
    assert len(choose_examples(right)) == 8
    assert choose_examples(unknown) == []


def evaluation(num_right: int, num_videos: int, chance: float = 0.1) -> Evaluation:
    rows = ((num_right, num_videos - num_right), (0, 0))
    return Evaluation(
        data="",
        split="val",
        num_videos=num_videos,
        num_classes=2,
        top1=num_right / num_videos,
        top5=1.0,
        macro_top1=num_right / num_videos,
        num_clips=1,
        num_crops=1,
        crop=128,
        labels=("a", "b"),
        per_class=(),
        confusion=rows,
        missing=(),
        chance=chance,
    )


@pytest.mark.parametrize(
    ("order", "given", "control", "expected"),
    [
        ("shuffled", (80, 100), (30, 100), "So 50.0 of its 70.0 points above chance come from the order"),
        ("shuffled", (80, 100), (5, 100), "So all of its 70.0 points above chance come from the order"),
        ("shuffled", (80, 100), (74, 100), "can be luck with 100 videos, so this does not show"),
        ("shuffled", (50, 100), (90, 100), "has learned something wrong"),
        ("shuffled", (14, 100), (5, 100), "which 100 videos cannot tell from chance (10.0%)"),
        ("reversed", (80, 100), (20, 100), "direction of time: a becomes b (80 of 100)."),
        ("reversed", (80, 100), (79, 100), "That is no clear loss"),
        ("reversed", (80, 100), (60, 100), "The network depends on the direction of time."),
        ("shuffled", (80, 100), (8, 50), "different numbers of videos"),
    ],
)
def test_the_control_in_words(order: str, given: tuple[int, int], control: tuple[int, int], expected: str) -> None:
    sentences = frame_order({"given": evaluation(*given), order: evaluation(*control)})
    assert expected in " ".join(sentences)


def test_without_a_control_nothing_is_said() -> None:
    assert frame_order({"given": evaluation(8, 10)}) == []
    assert most_confused(evaluation(10, 10), 5) == []
