"""The multi-view test: its probabilities, its classes, its files and its control."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.test_metrics import steps_of_the_curve
from tests.tiny import LABELS, NUM_VAL, break_video, read_rows, tiny_recipe, write_filled, write_video
from vov3d.build import build_views
from vov3d.checkpoint import read_checkpoint, write_checkpoint
from vov3d.data.dataset import FrameOrder
from vov3d.data.sampling import segment_clips
from vov3d.data.sources import read_index
from vov3d.data.video import open_video
from vov3d.distributed import Item, ProcessGroup
from vov3d.errors import CheckpointError, DataError, DecodeError
from vov3d.evaluate import evaluate
from vov3d.evaluation import Evaluation
from vov3d.models import VoV3D
from vov3d.scoring import score_videos
from vov3d.trained import load_trained

pytestmark = pytest.mark.usefixtures("small")


def evaluate_here(checkpoint: Path, data: Path, **arguments: object) -> Evaluation:
    return evaluate(checkpoint, data, device="cpu", workers=0, **arguments)  # type: ignore[arg-type]


def probs_by_name(evaluation: Evaluation) -> dict[str, list[float]]:
    """Probabilities of each video by class name."""
    labels = evaluation.metrics.labels
    return {
        one.item.name: [value for _, value in sorted(zip(labels, one.probs.tolist(), strict=True))]
        for one in evaluation.scores
    }


def softmax(logits: torch.Tensor) -> torch.Tensor:
    return logits.softmax(-1)


def by_hand(
    checkpoint: Path,
    video: Path,
    *,
    num_clips: int,
    crop: int,
    order: slice = slice(None),
    activation: Callable[[torch.Tensor], torch.Tensor] = softmax,
) -> torch.Tensor:
    """The plain loop: three square crops of each clip, softmax at every 32-pixel cell, the mean of it all."""
    model = load_trained(checkpoint).model
    probs = []
    with open_video(video) as reader, torch.no_grad():
        for indices in segment_clips(reader.info.num_frames, 4, num_clips):
            frames = reader.frames(indices.tolist()[order], (crop, crop * 64 // 48))  # 48 x 64 pixels in the file
            for x in (0, (frames.shape[3] - crop + 1) // 2, frames.shape[3] - crop):
                view = frames[..., x : x + crop].float().div(255).sub(0.45).div(0.225).permute(1, 0, 2, 3)
                features = model.forward_features(view[None])
                for row in range(features.shape[3]):
                    for column in range(features.shape[4]):
                        cell = features[..., row : row + 1, column : column + 1]
                        probs.append(activation(model.head(cell).double())[0])
    return torch.stack(probs).mean(0)


@pytest.mark.parametrize(("order", "name"), [(slice(None), "given"), (slice(None, None, -1), "reversed")])
def test_probabilities_are_those_of_a_plain_loop(videos: Path, tmp_path: Path, order: slice, name: FrameOrder) -> None:
    checkpoint = write_filled(tmp_path / "filled.safetensors", tiny_recipe({"test.window": "published"}))
    found = evaluate_here(checkpoint, videos, clips=2, crops=3, crop=64, frame_order=name)  # 2 x 2 positions a view
    assert (found.metrics.num_clips, found.metrics.num_crops, found.metrics.crop) == (2, 3, 64)
    assert len(found.scores) == 6
    for one in found.scores[::3]:
        expected = by_hand(checkpoint, one.item.path, num_clips=2, crop=64, order=order)
        torch.testing.assert_close(one.probs, expected, rtol=1e-4, atol=1e-5)


def test_the_probabilities_of_videos_differ_and_sum_to_one(checkpoint: Path, videos: Path) -> None:
    probs = torch.stack([one.probs for one in evaluate_here(checkpoint, videos).scores])
    assert probs.dtype == torch.float64
    torch.testing.assert_close(probs.sum(1), torch.ones(6, dtype=torch.float64))
    assert probs.std(0).min() > 1e-3


def test_how_many_videos_are_computed_at_once_does_not_matter(checkpoint: Path, videos: Path) -> None:
    alone, together = (evaluate_here(checkpoint, videos, batch_size=size) for size in (1, 4))
    for one, other in zip(alone.scores, together.scores, strict=True):
        assert one.item == other.item
        torch.testing.assert_close(one.probs, other.probs, rtol=1e-4, atol=1e-6)


def test_workers_change_nothing(checkpoint: Path, videos: Path) -> None:
    here = evaluate_here(checkpoint, videos)
    there = evaluate(checkpoint, videos, device="cpu", workers=2)
    assert [one.item for one in there.scores] == [one.item for one in here.scores]
    assert all(torch.equal(one.probs, other.probs) for one, other in zip(there.scores, here.scores, strict=True))


def test_many_views_are_computed_in_parts(checkpoint: Path, videos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    forward = VoV3D.forward

    def counted(model: VoV3D, clips: torch.Tensor) -> torch.Tensor:
        seen.append(len(clips))
        return forward(model, clips)

    monkeypatch.setattr(VoV3D, "forward", counted)
    parts = evaluate_here(checkpoint, videos, clips=10, crops=3)
    assert seen[1:] == [7, 8, 7, 8] * 6  # before them a small clip shows which norms fold
    seen.clear()
    whole = evaluate_here(checkpoint, videos, clips=10, crops=3, batch_size=1)
    assert seen[1:] == [30] * 6
    for one, other in zip(parts.scores, whole.scores, strict=True):
        torch.testing.assert_close(one.probs, other.probs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("workers", [0, 2])
def test_what_bounds_it_is_told(checkpoint: Path, videos: Path, workers: int) -> None:
    found = evaluate(checkpoint, videos, device="cpu", workers=workers).metrics
    assert found.bound is not None and found.bound.decoders == max(1, workers)
    assert found.bound.decoding_seconds > 0 and found.bound.model_seconds > 0
    assert found.bound.waiting_seconds + found.bound.model_seconds <= found.seconds
    if workers == 0:
        assert found.bound.decoding_seconds <= found.bound.waiting_seconds


def test_progress_counts_the_videos(checkpoint: Path, videos: Path) -> None:
    seen: list[tuple[int, int]] = []
    evaluate_here(checkpoint, videos, split="train", on_progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (12, 12)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


# ---- the order of frames ---------------------------------------------------------------------------------------------


def test_the_controls_keep_the_frames_and_take_their_order(checkpoint: Path, videos: Path, tmp_path: Path) -> None:
    orders: tuple[FrameOrder, ...] = ("given", "shuffled", "reversed")
    ordered = {order: probs_by_name(evaluate_here(checkpoint, videos, frame_order=order)) for order in orders}
    trained = read_checkpoint(checkpoint)
    for tensor in trained.tensors.values():
        if tensor.dim() == 5 and tensor.shape[2] > 1:  # leave only the tap that sees the frame itself
            middle = tensor.shape[2] // 2
            tensor[:, :, :middle] = tensor[:, :, middle + 1 :] = 0
    blind = tmp_path / "blind.safetensors"
    write_checkpoint(blind, trained.tensors, trained.description)
    unordered = {order: probs_by_name(evaluate_here(blind, videos, frame_order=order)) for order in orders}
    for order in orders[1:]:
        for name, probs in ordered["given"].items():
            assert unordered[order][name] == pytest.approx(unordered["given"][name], abs=1e-5)
            if "moving" in name:
                assert np.abs(np.subtract(ordered[order][name], probs)).max() > 1e-4
    assert ordered["shuffled"] == probs_by_name(evaluate_here(checkpoint, videos, frame_order="shuffled"))


# ---- classes ---------------------------------------------------------------------------------------------------------


def test_classes_are_told_apart_by_name_and_not_by_number(checkpoint: Path, videos: Path, tmp_path: Path) -> None:
    known = read_checkpoint(checkpoint)
    order = [2, 0, 1]
    tensors = {name: t[order] if "head.classifier" in name else t for name, t in known.tensors.items()}
    labels = [LABELS[number] for number in order]
    other = tmp_path / "other.safetensors"
    write_checkpoint(other, tensors, {**known.description, "labels": labels})
    one, two = evaluate_here(checkpoint, videos), evaluate_here(other, videos)
    assert two.metrics.labels == ("moving", "dark", "light")
    for name, probs in probs_by_name(one).items():
        assert probs_by_name(two)[name] == pytest.approx(probs, abs=1e-5)
    assert (two.metrics.top1, two.metrics.macro_top1) == (one.metrics.top1, one.metrics.macro_top1)
    assert two.metrics.loss == pytest.approx(one.metrics.loss, rel=1e-5)
    assert set(two.metrics.per_class) == set(one.metrics.per_class)
    moved = [[two.metrics.confusion[order.index(i)][order.index(j)] for j in range(3)] for i in range(3)]
    assert moved == [list(row) for row in one.metrics.confusion]


def test_a_data_set_may_show_only_some_of_the_classes(checkpoint: Path, videos: Path, tmp_path: Path) -> None:
    rows = [
        f"{videos / 'val' / label / f'{number}.mp4'},{label},val" for label in ("moving", "light") for number in (0, 1)
    ]
    rows += [f"{videos / 'train' / label / '0.mp4'},{label},train" for label in ("moving", "light")]
    file = tmp_path / "some.csv"
    file.write_text("path,label,split\n" + "\n".join(rows) + "\n")
    everything, some = evaluate_here(checkpoint, videos), evaluate_here(checkpoint, file)
    assert some.metrics.num_videos == 4
    assert (some.metrics.num_classes, some.metrics.labels) == (3, LABELS)
    assert [one.num_videos for one in some.metrics.per_class] == [0, 2, 2]
    assert some.metrics.per_class[0].top1 is None
    assert some.metrics.per_class[1:] == everything.metrics.per_class[1:]


def test_a_class_that_the_network_does_not_know_is_an_error(checkpoint: Path, own_videos: Path) -> None:
    for split in ("train", "val"):
        (own_videos / split / "light").rename(own_videos / split / "bright")
    with pytest.raises(DataError, match=r"1 of the classes in .* first 'bright'; it knows 'dark', 'light', 'moving'"):
        evaluate_here(checkpoint, own_videos)


def test_a_missing_split_is_an_error_that_names_those_there_are(checkpoint: Path, videos: Path) -> None:
    with pytest.raises(DataError, match=r"no videos in the split 'test'; it has train \(12 videos\), val \(6 videos\)"):
        evaluate_here(checkpoint, videos, split="test")


def test_the_classes_of_a_published_file_take_the_names_of_the_data_set(
    checkpoint: Path, videos: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    known = read_checkpoint(checkpoint)
    nameless = tmp_path / "nameless.safetensors"
    write_checkpoint(nameless, known.tensors, {key: known.description[key] for key in ("model", "recipe")})
    found = evaluate_here(nameless, videos)
    assert found.metrics.labels == LABELS
    assert found.metrics.confusion == evaluate_here(checkpoint, videos).metrics.confusion


def test_the_state_of_a_run_is_no_checkpoint(run: Path, videos: Path) -> None:
    state = next((run / "resume").glob("*.safetensors"))
    with pytest.raises(CheckpointError, match="the state of a run, for --resume alone"):
        evaluate_here(state, videos)


# ---- videos that cannot be decoded -----------------------------------------------------------------------------------


def test_a_video_that_cannot_be_decoded_is_named(checkpoint: Path, own_videos: Path, tmp_path: Path) -> None:
    broken = break_video(own_videos / "val" / "light" / "1.mp4")
    with pytest.raises(DecodeError, match="--allow-missing leaves such videos out") as caught:
        evaluate_here(checkpoint, own_videos, out=tmp_path / "out")
    assert caught.value.path == broken
    assert not (tmp_path / "out").exists()
    found = evaluate_here(checkpoint, own_videos, out=tmp_path / "out", allow_missing=True).metrics
    assert [missing.path for missing in found.missing] == [str(broken)]
    assert found.missing[0].reason
    assert found.num_videos == 5
    assert [one.num_videos for one in found.per_class] == [2, 1, 2]
    assert sum(map(sum, found.confusion)) == 5
    written = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert written["missing"] == [{"path": str(broken), "reason": found.missing[0].reason}]


def test_a_split_of_nothing_but_broken_videos_is_an_error(checkpoint: Path, own_videos: Path) -> None:
    for video in (own_videos / "val").rglob("*.mp4"):
        break_video(video)
    with pytest.raises(DataError, match=r"none of the 6 videos of .* could be decoded: "):
        evaluate_here(checkpoint, own_videos, allow_missing=True)


@dataclass(frozen=True)
class TwoThreads(ProcessGroup):
    """Two threads in place of two processes; one that waits for the other in vain fails."""

    meeting: threading.Barrier = field(default_factory=lambda: threading.Barrier(2, timeout=60))
    brought: dict[tuple[int, int], list[object]] = field(default_factory=dict)

    def gather(self, items: list[Item]) -> list[Item]:
        number = sum(rank == self.rank for rank, _ in self.brought)
        self.brought[self.rank, number] = list(items)
        self.meeting.wait()
        return [item for rank in (0, 1) for item in self.brought[rank, number]]  # type: ignore[misc]

    def largest(self, value: int) -> int:
        return max(self.gather([value]))


@pytest.mark.parametrize("spoilt", [("dark/1.mp4",), ("moving/1.mp4", "dark/1.mp4", "light/0.mp4"), ()])
def test_every_process_hears_of_a_video_that_one_cannot_decode(
    checkpoint: Path, own_videos: Path, spoilt: tuple[str, ...]
) -> None:
    """Rank 0 has the videos 0, 2 and 4, rank 1 the others; of several broken ones all name the first."""
    broken = [break_video(own_videos / "val" / name) for name in spoilt]
    first = TwoThreads(0, 2, torch.device("cpu"))
    second = TwoThreads(1, 2, torch.device("cpu"), first.meeting, first.brought)
    trained = [load_trained(checkpoint) for _ in range(2)]
    views = build_views(trained[0].recipe, read_index(own_videos), "val", num_clips=1, num_crops=1)

    def told(group: TwoThreads) -> Path | int:
        model = trained[group.rank].model.train()
        try:
            scores, _ = score_videos(model, views, group, window=None, workers=0, allow_missing=False)
        except DecodeError as error:
            return error.path
        finally:
            assert model.training  # its mode is restored whatever happens
        return len(scores)

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(told, (first, second)))
    assert found == [min(broken, default=6)] * 2


# ---- files -----------------------------------------------------------------------------------------------------------


def test_the_files_agree_with_each_other(checkpoint: Path, own_videos: Path, tmp_path: Path) -> None:
    write_video(own_videos / "val" / "dark" / 'a "quoted", name é.mp4', "moving", seed=1)
    out = tmp_path / "evaluation"
    found = evaluate_here(checkpoint, own_videos, out=out, clips=2, crops=1)
    names = {"metrics.json", "predictions.csv", "per_class.csv", "confusion.csv", "confusion.svg"}
    assert {file.name for file in out.iterdir()} == names
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert set(metrics) == {
        *("checkpoint", "data", "split", "num_videos", "num_classes", "top1", "top5", "macro_top1", "loss"),
        *("num_clips", "num_crops", "crop", "frame_order", "labels", "per_class", "confusion", "missing"),
        *("chance", "seconds", "multi_label", "mean_average_precision", "bound", "engine"),
    }
    assert (metrics["multi_label"], metrics["mean_average_precision"]) == (False, None)
    assert (found.metrics.headline, found.metrics.headline_name) == (metrics["top1"], "top-1")
    assert (metrics["checkpoint"], metrics["data"], metrics["split"]) == (str(checkpoint), str(own_videos), "val")
    assert (metrics["num_videos"], metrics["num_classes"], metrics["chance"]) == (7, 3, pytest.approx(1 / 3))
    assert (metrics["num_clips"], metrics["num_crops"], metrics["frame_order"]) == (2, 1, "given")

    predictions = read_rows(out / "predictions.csv")
    assert [Path(row["path"]) for row in predictions] == [one.item.path for one in found.scores]
    assert all(row["correct"] == str(row["label"] == row["predicted"]).lower() for row in predictions)
    right = sum(row["correct"] == "true" for row in predictions)
    assert metrics["top1"] == pytest.approx(right / 7)
    for row, one in zip(predictions, found.scores, strict=True):
        assert row["label"] == one.item.path.parent.name
        assert float(row["probability"]) == pytest.approx(float(one.probs.max()), abs=1e-4)

    confusion = read_rows(out / "confusion.csv")
    assert [row["label"] for row in confusion] == metrics["labels"] == list(LABELS)
    counts = [[int(row[label]) for label in LABELS] for row in confusion]
    assert counts == metrics["confusion"]
    pairs = [(row["label"], row["predicted"]) for row in predictions]
    assert counts == [[pairs.count((true, taken)) for taken in LABELS] for true in LABELS]

    classes = read_rows(out / "per_class.csv")
    assert [row["label"] for row in classes] == list(LABELS)
    assert [int(row["num_videos"]) for row in classes] == [NUM_VAL + 1, NUM_VAL, NUM_VAL]
    own = [counts[number][number] / sum(counts[number]) for number in range(3)]
    assert [float(row["top1"]) for row in classes] == pytest.approx(own, abs=1e-4)
    assert metrics["macro_top1"] == pytest.approx(sum(own) / 3)
    assert "<svg" in (out / "confusion.svg").read_text()


def test_nothing_is_written_unless_asked_for(checkpoint: Path, videos: Path, tmp_path: Path) -> None:
    before = sorted(videos.rglob("*"))
    assert evaluate_here(checkpoint, videos).out is None
    assert sorted(videos.rglob("*")) == before


# ---- several labels a video ------------------------------------------------------------------------------------------

SEVERAL = {
    "val/dark/0.mp4": ("dark",),
    "val/dark/1.mp4": (),
    "val/light/0.mp4": ("light",),
    "val/light/1.mp4": ("light", "moving"),
    "val/moving/0.mp4": ("dark", "moving"),
    "val/moving/1.mp4": ("dark", "light", "moving"),
}


@pytest.fixture
def several(videos: Path, tmp_path: Path) -> Path:
    """A list that gives the videos any number of labels; its classes are not in the order of the network's."""
    rows = [f"{videos / name},{'|'.join(labels)},val" for name, labels in SEVERAL.items()]
    rows += [f"{videos / 'train' / label / '0.mp4'},{label},train" for label in LABELS]
    file = tmp_path / "several.csv"
    file.write_text("path,labels,split\n" + "\n".join(rows) + "\n")
    return file


@pytest.fixture
def sigmoid(tmp_path: Path) -> Path:
    """A checkpoint for several labels a video, with the classes in an order of its own."""
    recipe = tiny_recipe({"train.loss": "sigmoid", "test.window": "published"})
    return write_filled(tmp_path / "sigmoid.safetensors", recipe, ("moving", "dark", "light"))


def test_several_labels_from_data_to_files(sigmoid: Path, several: Path, videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "evaluation"
    found = evaluate_here(sigmoid, several, clips=2, crops=3, crop=64, out=out)
    labels = found.metrics.labels
    assert labels == ("moving", "dark", "light")
    truth = np.array([[label in SEVERAL[name] for label in labels] for name in SEVERAL])
    assert [str(one.item.path) for one in found.scores] == [str(videos / name) for name in SEVERAL]
    assert [sorted(labels[label] for label in one.item.classes) for one in found.scores] == [
        *map(list, SEVERAL.values())
    ]
    for one in found.scores[::5]:
        expected = by_hand(sigmoid, one.item.path, num_clips=2, crop=64, activation=torch.sigmoid)
        torch.testing.assert_close(one.probs, expected, rtol=1e-4, atol=1e-5)

    probs = torch.stack([one.probs for one in found.scores]).numpy()
    precisions = [steps_of_the_curve(probs[:, k], truth[:, k]) for k in range(3)]
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["multi_label"] is True
    assert metrics["mean_average_precision"] == pytest.approx(sum(precisions) / 3) == found.metrics.headline
    assert found.metrics.headline_name == "mAP"
    assert (metrics["confusion"], metrics["macro_top1"], metrics["num_videos"]) == ([], None, 6)
    hits = truth[np.arange(6), probs.argmax(1)]
    assert metrics["top1"] == pytest.approx(hits.sum() / 5)  # one video has no label
    crossed = np.where(truth, np.log(probs), np.log(1 - probs))
    assert metrics["loss"] == pytest.approx(-crossed.mean())

    assert {file.name for file in out.iterdir()} == {"metrics.json", "predictions.csv", "per_class.csv"}
    classes = read_rows(out / "per_class.csv")
    assert [(row["label"], int(row["num_videos"])) for row in classes] == [("moving", 3), ("dark", 3), ("light", 3)]
    assert [float(row["average_precision"]) for row in classes] == pytest.approx(precisions, abs=1e-4)
    rows = read_rows(out / "predictions.csv")
    for row, prob, true, hit in zip(rows, probs, SEVERAL.values(), hits, strict=True):
        assert sorted(row["labels"].split("|")) == sorted(true or [""])
        assert (row["predicted"], row["correct"]) == (labels[prob.argmax()], str(hit).lower())
        assert float(row["probability"]) == pytest.approx(prob.max(), abs=1e-4)
        assert row["found"] == "|".join(label for label, value in zip(labels, prob, strict=True) if value >= 0.5)


def test_a_network_that_knows_one_label_a_video_is_not_tested_on_several(checkpoint: Path, several: Path) -> None:
    with pytest.raises(DataError, match=r"several labels a video, and train\.loss softmax knows one; .*sigmoid"):
        evaluate_here(checkpoint, several)


def test_a_network_of_own_probabilities_may_be_tested_on_one_label_a_video(sigmoid: Path, videos: Path) -> None:
    found = evaluate_here(sigmoid, videos)
    probs = torch.stack([one.probs for one in found.scores])
    assert found.metrics.multi_label is False and sum(map(sum, found.metrics.confusion)) == 6
    truth = torch.tensor([one.item.label for one in found.scores])
    assert found.metrics.top1 == float((probs.argmax(1) == truth).double().mean())
    loss = torch.nn.functional.binary_cross_entropy(probs, torch.nn.functional.one_hot(truth, 3).double())
    assert found.metrics.loss == pytest.approx(float(loss))


# ---- data for a test alone -------------------------------------------------------------------------------------------


def test_a_test_needs_no_training_videos(checkpoint: Path, videos: Path, tmp_path: Path) -> None:
    """One class alone, in a split of its own."""
    alone = tmp_path / "alone"
    (alone / "test").mkdir(parents=True)
    (alone / "test" / "moving").symlink_to(videos / "val" / "moving")
    found = evaluate_here(checkpoint, alone, split="test").metrics
    assert (found.num_videos, [one.num_videos for one in found.per_class]) == (2, [0, 0, 2])
    assert found.per_class[2] == evaluate_here(checkpoint, videos).metrics.per_class[2]
    with pytest.raises(DataError, match=r"no videos in the split 'val'; it has test \(2 videos\)"):
        evaluate_here(checkpoint, alone)
