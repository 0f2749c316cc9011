"""Prediction: from files, folders, patterns and frames to the names of classes."""

from __future__ import annotations

import glob
import os
import re
import shutil
import sys
import unicodedata
from pathlib import Path

import av
import pytest
import torch

from tests.tiny import LABELS, break_video, tiny_recipe, write_filled, write_video
from vov3d.bound import Clock
from vov3d.data.video import VideoInfo
from vov3d.data.views import Views
from vov3d.errors import ArgumentError, CheckpointError, DataError, DecodeError
from vov3d.evaluate import evaluate
from vov3d.inference import video_probabilities
from vov3d.layers import BatchNorm
from vov3d.predict import Prediction, find_videos, load, predict

pytestmark = pytest.mark.usefixtures("small")


def predict_here(checkpoint: Path, sources: object, **arguments: int) -> list[Prediction]:
    return predict(checkpoint, sources, device="cpu", **arguments)  # type: ignore[arg-type]


@pytest.fixture
def folder(videos: Path, tmp_path: Path) -> Path:
    """Videos in folders, other files beside them."""
    root = tmp_path / "my videos"
    (root / "sub folder").mkdir(parents=True)
    shutil.copy(videos / "val" / "dark" / "0.mp4", root / "b dark.mp4")
    shutil.copy(videos / "val" / "light" / "0.mp4", root / "sub folder" / "klar é [1].MP4")
    shutil.copy(videos / "val" / "moving" / "0.mp4", root / "a moving.mp4")
    shutil.copy(videos / "val" / "moving" / "0.mp4", root / ".hidden.mp4")
    (root / "notes.txt").write_text("nothing to see")
    return root


@pytest.fixture
def frames(videos: Path, tmp_path: Path) -> Path:
    """The frames of a video as images; in the order of their numbers, not of their letters."""
    out = tmp_path / "frames of it"
    out.mkdir()
    with av.open(str(videos / "val" / "moving" / "1.mp4")) as container:
        for number, frame in enumerate(container.decode(video=0)):
            frame.to_image().save(out / f"{number}.png")
    return out


def test_probabilities_of_all_classes_sum_to_one(checkpoint: Path, videos: Path) -> None:
    video = videos / "val" / "dark" / "0.mp4"
    (one,) = predict_here(checkpoint, video)
    assert one.source == str(video)
    assert {label for label, _ in one.top} == set(LABELS)
    values = [value for _, value in one.top]
    assert values == sorted(values, reverse=True)
    assert sum(values) == pytest.approx(1)
    assert (one.num_frames, one.duration_seconds, one.error) == (12, pytest.approx(0.4), None)
    assert predict_here(checkpoint, video, top_k=2)[0].top == one.top[:2]
    with pytest.raises(ArgumentError, match="top_k is 0; it must be 1 or more"):
        predict_here(checkpoint, video, top_k=0)


def test_prediction_is_what_evaluation_finds(checkpoint: Path, videos: Path) -> None:
    for views in ({}, {"clips": 2, "crops": 1}):
        found = evaluate(checkpoint, videos, device="cpu", workers=0, **views)
        said = predict_here(checkpoint, [one.item.path for one in found.scores], **views)
        assert len(said) == 6
        for one, truth in zip(said, found.scores, strict=True):
            for label, value in one.top:
                assert value == pytest.approx(float(truth.probs[LABELS.index(label)]), abs=1e-6)


def test_norms_are_folded_and_answers_stay(checkpoint: Path, videos: Path) -> None:
    folding = load(checkpoint, device="cpu")
    assert not any(isinstance(module, BatchNorm) for module in folding.network.modules())
    plain = load(checkpoint, device="cpu")
    plain.__dict__["network"] = plain.trained.model
    one, other = (dict(each.predict(videos / "val" / "moving" / "0.mp4").top) for each in (folding, plain))
    assert one == pytest.approx(other, abs=1e-6)


def test_a_folder_is_searched_whole_and_by_name(checkpoint: Path, folder: Path) -> None:
    said = predict_here(checkpoint, str(folder))
    names = ["a moving.mp4", "b dark.mp4", "sub folder/klar é [1].MP4"]
    assert [one.source for one in said] == [str(folder / name) for name in names]
    assert all(one.error is None and len(one.top) == 3 for one in said)


def test_a_pattern_stands_for_its_files(folder: Path) -> None:
    assert [video.name for video in find_videos([str(folder / "*.mp4")])] == ["a moving.mp4", "b dark.mp4"]
    assert [video.name for video in find_videos([str(folder / "**" / "*.MP4")])] == ["klar é [1].MP4"]
    assert [video.name for video in find_videos([f"{glob.escape(str(folder))}/sub*"])] == ["klar é [1].MP4"]


def test_a_name_that_looks_like_a_pattern_is_a_file(checkpoint: Path, folder: Path) -> None:
    odd = folder / "sub folder" / "klar é [1].MP4"
    assert predict_here(checkpoint, odd)[0].error is None


@pytest.mark.skipif(sys.platform == "win32", reason="some of these names are not allowed there")
@pytest.mark.parametrize(
    "name", ["with space.mp4", "100%.mp4", "#1 'best' \"cut\".mp4", "пример 例 🎬.mp4", "-first.mp4", "a:b?.mp4"]
)
def test_any_file_name_will_do(checkpoint: Path, tmp_path: Path, name: str) -> None:
    video = write_video(tmp_path / name, "light", seed=3)
    (one,) = predict_here(checkpoint, video)
    assert (one.source, one.error, len(one.top)) == (str(video), None, 3)


def test_a_decomposed_name_is_found(tmp_path: Path, checkpoint: Path) -> None:
    video = write_video(tmp_path / unicodedata.normalize("NFD", "café.mp4"), "dark", seed=3)
    assert predict_here(checkpoint, tmp_path)[0].source == str(video)


def test_a_folder_of_frames_is_one_video(checkpoint: Path, frames: Path, videos: Path) -> None:
    (one,) = predict_here(checkpoint, frames)
    assert (one.source, one.num_frames) == (str(frames), 12)
    (film,) = predict_here(checkpoint, videos / "val" / "moving" / "1.mp4")
    assert dict(one.top) == pytest.approx(dict(film.top), abs=0.05)
    assert find_videos([frames.parent / "frames*"]) == [frames]


def test_a_picture_beside_videos_is_no_video(folder: Path, frames: Path) -> None:
    shutil.copy(frames / "0.png", folder / "cover.png")
    assert [video.name for video in find_videos([folder])] == ["a moving.mp4", "b dark.mp4", "klar é [1].MP4"]


def test_a_broken_video_is_reported_in_its_place(checkpoint: Path, folder: Path) -> None:
    break_video(folder / "b dark.mp4")
    first, broken, last = predict_here(checkpoint, folder)
    assert (first.error, last.error) == (None, None)
    assert broken.source == str(folder / "b dark.mp4")
    assert broken.top == () and broken.error and "\n" not in broken.error
    with pytest.raises(DecodeError, match=r"cannot decode .*b dark.mp4"):
        load(checkpoint, device="cpu").predict(folder / "b dark.mp4")
    with pytest.raises(DecodeError, match=r"absent.mp4"):
        load(checkpoint, device="cpu").predict("absent.mp4")


def test_a_video_shorter_than_a_clip_is_shown_slower(checkpoint: Path, tmp_path: Path) -> None:
    video = write_video(tmp_path / "short.mp4", "moving", seed=5, num_frames=1)
    (one,) = predict_here(checkpoint, video)
    assert (one.num_frames, one.error, len(one.top)) == (1, None, 3)


def test_each_video_comes_once_in_the_order_given(folder: Path) -> None:
    last = folder / "sub folder" / "klar é [1].MP4"
    assert find_videos([last, folder, last]) == [last, folder / "a moving.mp4", folder / "b dark.mp4"]


def test_a_source_that_is_not_there_is_an_error(checkpoint: Path, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"source '.*absent\.mp4' does not exist; give video files"):
        predict_here(checkpoint, [folder, tmp_path / "absent.mp4"])
    with pytest.raises(DataError, match=r"source '.*\*\.avi' does not exist"):
        predict_here(checkpoint, str(folder / "*.avi"))
    with pytest.raises(DataError, match=r"source '.*empty' holds no video"):
        predict_here(checkpoint, tmp_path / "empty")
    with pytest.raises(CheckpointError, match=r"checkpoint '.*none.safetensors' is not a file"):
        predict_here(tmp_path / "none.safetensors", folder)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the administrator may read anything")
def test_a_video_that_may_not_be_read_is_reported(checkpoint: Path, folder: Path) -> None:
    (folder / "b dark.mp4").chmod(0)
    assert predict_here(checkpoint, folder)[1].error == "Permission denied"


def test_with_several_labels_each_class_has_its_own_probability(videos: Path, tmp_path: Path) -> None:
    several = write_filled(tmp_path / "several.safetensors", tiny_recipe({"train.loss": "sigmoid"}))
    found = evaluate(several, videos, device="cpu", workers=0)
    said = predict_here(several, [one.item.path for one in found.scores])
    for one, truth in zip(said, found.scores, strict=True):
        assert dict(one.top) == pytest.approx(dict(zip(LABELS, truth.probs.tolist(), strict=True)), abs=1e-6)
        assert one.top == tuple(sorted(one.top, key=lambda entry: -entry[1]))
        assert one.exclusive is False
    sums = [sum(value for _, value in one.top) for one in said]
    assert min(sums) < 0.98 and max(sums) > 1.02


def test_with_one_label_the_probabilities_exclude_each_other(checkpoint: Path, videos: Path) -> None:
    assert predict_here(checkpoint, videos / "val" / "dark" / "0.mp4")[0].exclusive is True


def test_videos_decoded_ahead_are_answered_as_each_alone(checkpoint: Path, folder: Path, videos: Path) -> None:
    """While the network is slow, threads decode: order, values and errors are those of one video after another."""
    break_video(folder / "b dark.mp4")
    sources = [*sorted(videos.rglob("*.mp4")), *find_videos([folder])]
    classifier = load(checkpoint, device="cpu")
    found = list(classifier.predict_each(sources, clips=2, crops=3, clock=Clock(3)))
    assert [one.source for one in found] == [str(source) for source in sources]
    for one in found:
        if one.source.endswith("b dark.mp4"):
            assert one.error and not one.top
        else:
            assert one == classifier.predict(one.source, clips=2, crops=3)


def test_what_bounds_it_is_told(checkpoint: Path, videos: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "vov3d")
    predict_here(checkpoint, videos)
    (said,) = [record.getMessage() for record in caplog.records]
    assert re.fullmatch(r"bounded by (decoding|the model): decoding took \d+% of the time, the model waited \d+%", said)


@pytest.mark.parametrize(("frames", "crop", "seen"), [(16, 256, [1, 2, 2]), (16, 208, [3, 2]), (4, 32, [5])])
def test_small_views_are_computed_together_and_large_ones_by_twos(frames: int, crop: int, seen: list[int]) -> None:
    """Two videos of three views and of two, on a CPU."""

    numbers: list[int] = []

    class Counting(torch.nn.Module):
        dtype = torch.float32

        def forward(self, clips: torch.Tensor) -> torch.Tensor:
            numbers.append(len(clips))
            return clips.flatten(1)[:, :3]

    def views(number: int) -> Views:
        pictures = torch.arange(number, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, crop, crop)
        places = torch.arange(number)[:, None].expand(-1, frames)
        info = VideoInfo(Path("video.mp4"), number, 25.0, number / 25, crop, crop, "h264")
        return Views(pictures, places, ((0, 0),) * number, crop, 0.0, 1 / 255, -1, 0, info)

    probs = video_probabilities(Counting(), [views(3), views(2)], torch.device("cpu"), None, "sigmoid")
    assert numbers == seen
    expected = [torch.arange(number).double().sigmoid().mean().item() for number in (3, 2)]
    assert [one[0].item() for one in probs] == pytest.approx(expected)
