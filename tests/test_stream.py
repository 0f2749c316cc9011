"""A video shown frame by frame: the answers are those of the clips so far."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

import vov3d
from tests.tiny import LABELS, tiny_recipe, write_video
from vov3d.build import build_model
from vov3d.checkpoint import write_checkpoint
from vov3d.cli.frame import main
from vov3d.data.transforms import normalise
from vov3d.data.video import Window, open_video
from vov3d.errors import ArgumentError
from vov3d.recipe import Recipe
from vov3d.stream import Moment
from vov3d.trained import describe, load_trained


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 frames of 48x64 pixels at 30 a second."""
    return write_video(tmp_path_factory.mktemp("video") / "moving.mp4", "moving", 1, num_frames=40)


def write_causal(path: Path, recipe: Recipe) -> Path:
    model = build_model(recipe, len(LABELS))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.ones_(module.weight)
    nn.init.normal_(model.head.classifier.weight, std=0.3)
    write_checkpoint(path, model.state_dict(), describe(recipe, LABELS))
    return path


def expected(checkpoint: Path, video: Path, frames: list[int]) -> torch.Tensor:
    """Probabilities of the clip of these frames; 48x64 is resized to 32x42, of which columns 5 to 37 are the middle."""
    with open_video(video) as opened:
        pixels = opened.frames(frames, (32, 42), Window(0, 5, 32, 32))
    trained = load_trained(checkpoint)
    with torch.no_grad():
        clip = normalise(pixels, trained.recipe.clip.mean, trained.recipe.clip.std)
        probs: torch.Tensor = trained.model(clip[None])[0].softmax(-1)
    return probs


@pytest.mark.parametrize(
    ("sampling", "step", "frames"),
    [
        ("segment", None, [5, 15, 25, 35]),  # 40 frames over clips of 4
        ("dense", None, [2, 7, 12, 17, 22, 27, 32, 37]),  # one in 5
        ("segment", 16.0, [8, 24]),
        ("segment", 100.0, [39]),
    ],
)
def test_answers_are_those_of_the_clips_so_far(
    tmp_path: Path, video: Path, sampling: str, step: float | None, frames: list[int]
) -> None:
    settings = {"model.name": "vov3d_s", "model.causal": "true", "clip.sampling": sampling, "clip.frame_stride": "5"}
    checkpoint = write_causal(tmp_path / "causal.safetensors", tiny_recipe(settings))
    found = list(vov3d.stream(checkpoint, video, step=step, top_k=9, device="cpu"))
    assert [moment.frame for moment in found] == frames
    assert found[-1].seconds == pytest.approx(frames[-1] / 30)
    for place, moment in enumerate(found):
        probs = expected(checkpoint, video, frames[: place + 1])
        assert {label for label, _ in moment.top} == set(LABELS)
        for label, probability in moment.top:
            assert probability == pytest.approx(probs[LABELS.index(label)].item(), abs=1e-5)
    assert len({moment.top for moment in found}) == len(found)


def test_the_verb_answers_every_few_frames_and_at_the_end(
    tmp_path: Path, video: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = write_causal(tmp_path / "c.safetensors", tiny_recipe({"model.name": "x3d_s", "model.causal": "true"}))
    command = ["stream", str(checkpoint), str(video), "--step", "8", "--every", "2", "--device", "cpu"]
    assert main(command) == 0
    first, _, last, summary = capsys.readouterr().out.splitlines()
    assert first.startswith("    0.40 s  frame     12  ") and last.startswith("    1.20 s  frame     36  ")
    assert summary == "3 answers"
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [moment["frame"] for moment in found] == [12, 28, 36]
    ((label, probability),) = found[-1]["top"]
    assert f"{label} {100 * probability:.1f} %" in last
    (moment,) = vov3d.stream(checkpoint, video, step=8, every=100, device="cpu")
    assert moment == Moment(36, 36 / 30, ((label, probability),))


def test_what_cannot_be_streamed_is_told_in_one_line(
    tmp_path: Path, video: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    around = write_causal(tmp_path / "around.safetensors", tiny_recipe({"model.name": "vov3d_s"}))
    assert main(["stream", str(around), str(video), "--device", "cpu"]) == 2
    told = capsys.readouterr().err
    assert told.startswith(
        f"vov3d: the network of {str(around)!r} sees frames before they come; train one with --model"
    )
    assert told.count("\n") == 1
    with pytest.raises(ArgumentError, match="every is 0, top_k 1, step None; they must be above 0"):
        next(vov3d.stream(around, video, every=0))
