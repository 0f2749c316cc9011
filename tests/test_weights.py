"""The weights in the package: found by name, whole, and what a small data set starts from."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path

import pytest
import torch

import vov3d.build
import vov3d.weights
from tests.tiny import LABELS, tiny_recipe, write_filled
from vov3d.build import with_start
from vov3d.checkpoint import read_checkpoint, write_checkpoint
from vov3d.cli import main
from vov3d.errors import ArgumentError, CheckpointError, RunFolderError
from vov3d.info import info
from vov3d.models import create_model
from vov3d.predict import predict
from vov3d.recipe import load_recipe, override, to_yaml
from vov3d.train import train
from vov3d.weights import Weights, find_weights, weights_in

pytestmark = pytest.mark.usefixtures("small")


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Weights:
    """Weights of the small network in the place of those in the package."""
    folder = tmp_path / "weights"
    folder.mkdir()
    path = folder / "vov3d_m_motion.safetensors"
    whole = read_checkpoint(write_filled(tmp_path / "filled.safetensors", tiny_recipe()))
    halves = {name: tensor.half() if tensor.dim() > 1 else tensor for name, tensor in whole.tensors.items()}
    write_checkpoint(path, halves, {**whole.description, "weights": {"licence": "Apache-2.0", "top1": {"hands": 0.25}}})
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "index.json").write_text(json.dumps({"motion": {"vov3d_m": digest, "vov3d_s": "of a later test"}}))
    monkeypatch.setattr(vov3d.weights, "FOLDER", folder)
    return weights_in(folder)[0]


def test_a_network_starts_from_them_in_float32(weights: Weights) -> None:
    model = create_model("vov3d_m", pretrained="motion")
    assert model.num_classes == len(LABELS)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    halves = read_checkpoint(weights.path).tensors
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, halves[name].to(tensor.dtype)), name


def test_with_other_classes_the_classifier_alone_is_fresh(weights: Weights) -> None:
    model = create_model("vov3d_m", num_classes=7, pretrained="motion")
    halves = read_checkpoint(weights.path).tensors
    fresh = [name for name, tensor in model.state_dict().items() if tensor.shape != halves[name].shape]
    assert fresh == ["head.classifier.weight", "head.classifier.bias"]
    assert torch.equal(model.state_dict()["stem.spatial.weight"], halves["stem.spatial.weight"].float())


def test_the_causal_form_starts_from_the_same(weights: Weights) -> None:
    plain = create_model("vov3d_s", num_classes=3)
    write_checkpoint(weights.path.with_name("vov3d_s_motion.safetensors"), plain.state_dict(), {"model": "vov3d_s"})
    model = create_model("vov3d_s", pretrained="motion", causal=True)
    assert model.causal
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in plain.state_dict().items())


def test_a_network_without_says_which_have_some(weights: Weights) -> None:
    with pytest.raises(
        ArgumentError,
        match=r"^tsn_r50 has no weights 'motion' in this package; networks that have: vov3d_m, vov3d_s\.",
    ):
        create_model("tsn_r50", pretrained="motion")
    with pytest.raises(ArgumentError, match=r"^vov3d_m_r2plus1d has no weights 'motion'"):
        create_model("vov3d_m_r2plus1d", pretrained="motion")


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_damaged_list_of_them_is_one_line_and_harms_nothing_else(
    weights: Weights, content: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    index = weights.path.with_name("index.json")
    index.unlink() if content is None else index.write_text(content)
    weights_in.cache_clear()
    with pytest.raises(CheckpointError, match=r"index\.json' is missing or damaged; install vov3d again$"):
        create_model("vov3d_m", pretrained="motion")
    assert read_checkpoint(weights.path).description["labels"] == list(LABELS)
    assert main(["info", "motion"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_they_predict_and_are_measured_by_name(
    weights: Weights, videos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = next((videos / "val" / LABELS[0]).iterdir())
    (by_name,) = predict("motion", video, device="cpu")
    assert by_name == predict(weights.path, video, device="cpu")[0]
    assert {label for label, _ in by_name.top} == set(LABELS)
    assert main(["predict", "motion", str(video), "--device", "cpu", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["top"][0]["label"] == by_name.top[0][0]
    found = info("motion", frames=4, crop=32, measure=False)
    said = f"licence Apache-2.0, top1 hands 0.250, sha256 {weights.sha256}"
    assert (found.name, found.num_classes, found.weights) == ("vov3d_m", 3, said)


def test_a_folder_or_file_of_that_name_is_meant_by_its_path(
    weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("motion").mkdir()
    assert read_checkpoint(Path("motion")).description["labels"] == list(LABELS)
    assert find_weights("./motion") is None


def test_few_videos_start_from_them_where_the_recipe_leaves_it_open(weights: Weights) -> None:
    recipe = load_recipe("folder/vov3d_m_16")
    assert recipe.model.init == "auto"
    few = vov3d.build.FEW_VIDEOS
    assert with_start(recipe, few).model.init == "motion"
    assert with_start(recipe, few + 1).model.init is None
    for asked, found in (
        ({"model.init": "null"}, None),
        ({"model.init": "a.safetensors"}, "a.safetensors"),
        ({"model.name": "tsn_r50"}, None),
        ({"model.name": "tsn_r50", "model.backbone_init": "r50.pth"}, None),
        ({"model.operator": "r2plus1d"}, None),
        ({"model.causal": "true"}, "motion"),
    ):
        assert with_start(override(recipe, asked), few).model.init == found, asked


def test_a_run_says_where_it_starts_and_writes_it_down(
    weights: Weights, videos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out, recipe = tmp_path / "run", tiny_recipe({"model.init": "auto", "train.epochs": "1", "optim.lr": "1e-12"})
    with caplog.at_level(logging.INFO, logger="vov3d"):
        train(recipe, videos, out, device="cpu", workers=0, quiet=True)
    assert "starts from the motion weights in the package" in caplog.text
    assert "--from-scratch starts from random weights" in caplog.text
    assert load_recipe(out / "recipe.yaml").model.init == "motion"
    ended, begun = read_checkpoint(out / "last.safetensors").tensors, read_checkpoint(weights.path).tensors
    assert torch.allclose(ended["stem.spatial.weight"], begun["stem.spatial.weight"].float(), atol=1e-6)
    with pytest.raises(RunFolderError, match=r"model\.init motion, now null"):
        train(override(recipe, {"model.init": "null"}), videos, out, device="cpu", workers=0, quiet=True, resume=True)


def test_a_run_says_that_it_starts_from_random_weights(
    weights: Weights,
    videos: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = tiny_recipe({"model.init": "auto", "train.epochs": "1"})
    monkeypatch.setattr(vov3d.build, "FEW_VIDEOS", 1)
    with caplog.at_level(logging.INFO, logger="vov3d"):
        train(recipe, videos, tmp_path / "many", device="cpu", workers=0, quiet=True)
        assert "starts from random weights, as there are more than" in caplog.text
        (weights.path.parent / "index.json").write_text('{"motion": {}}')
        weights_in.cache_clear()
        train(recipe, videos, tmp_path / "none", device="cpu", workers=0, quiet=True)
    assert "starts from random weights: the package has none of this network" in caplog.text


def test_a_run_from_before_there_were_weights_goes_on(weights: Weights, videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    train(tiny_recipe({"train.epochs": "1"}), videos, out, device="cpu", workers=0, quiet=True)
    before = read_checkpoint(out / "last.safetensors").tensors
    again = tiny_recipe({"train.epochs": "1", "model.init": "auto"})
    train(again, videos, out, device="cpu", workers=0, quiet=True, resume=True)
    after = read_checkpoint(out / "last.safetensors").tensors
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert load_recipe(out / "recipe.yaml").model.init is None


def test_from_scratch_refuses(
    weights: Weights, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(to_yaml(tiny_recipe({"model.init": "auto", "train.epochs": "1"})))
    words = ["train", str(recipe), "--data", str(videos), "--out", str(tmp_path / "run"), "--device", "cpu", "--quiet"]
    assert main([*words, "--from-scratch", "--model.init", "motion"]) == 2
    assert "--from-scratch and --model.init say two things about the start" in capsys.readouterr().err
    assert main([*words, "--workers", "0", "--from-scratch"]) == 0
    assert "motion weights" not in capsys.readouterr().err
    assert load_recipe(tmp_path / "run" / "recipe.yaml").model.init is None
    fine_tuning = ["train", "ssv1/vov3d_m_16_k400", *words[2:4], "--out", str(tmp_path / "no"), "--model.name", "foo"]
    assert main(fine_tuning) == 2
    assert "starts from k400 weights" in capsys.readouterr().err
    assert main([*fine_tuning, "--from-scratch"]) == 2
    assert "unknown model 'foo'" in capsys.readouterr().err
