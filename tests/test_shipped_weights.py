"""The weights in the package themselves: they say what they are, and know what they say."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch

from vov3d.checkpoint import read_checkpoint
from vov3d.data.motion import MOTION_CLASSES, MOTION_VERSION, MotionBatches
from vov3d.models import ClipClassifier, create_model
from vov3d.predict import load
from vov3d.trained import load_trained
from vov3d.weights import FOLDER, weights_in

SHIPPED = {one.model: one for one in weights_in(FOLDER)}
MODELS = ("vov3d_s", "vov3d_m")
NUM_CLIPS = 90


def test_these_are_shipped() -> None:
    assert sorted(SHIPPED) == sorted(MODELS)


@pytest.mark.parametrize("model", MODELS)
def test_a_file_says_how_it_was_made_and_what_it_knows(model: str) -> None:
    description = read_checkpoint(SHIPPED[model].path).description
    about = description["weights"]
    assert isinstance(about, dict)
    assert about.keys() == {
        *("name", "made_by", "motion_version", "seed", "clips", "top1", "top1_shuffled", "licence"),
    }
    assert about["licence"] == "Apache-2.0"
    assert about["motion_version"] == MOTION_VERSION
    assert description["labels"] == list(MOTION_CLASSES)
    trained = load_trained(SHIPPED[model].path)
    assert trained.recipe.model.name == model
    assert trained.recipe.train.seed == about["seed"]


@cache
def right(model: str, *, shuffled: bool) -> float:
    """Top-1 on clips of the motion set that no training saw."""
    trained = load_trained(SHIPPED[model].path)
    batches = MotionBatches(NUM_CLIPS, split="val", size=trained.recipe.test.crop, frames="centre", seed=7)
    clips, labels = batches.batch(0)
    if shuffled:
        clips = clips[:, :, torch.randperm(16, generator=torch.Generator().manual_seed(0))]
    found = [answers(trained.model, part) for part in ((clips.float() / 255 - 0.45) / 0.225).split(15)]
    return float((torch.cat(found) == labels).float().mean())


@torch.inference_mode()
def answers(model: ClipClassifier, clips: torch.Tensor) -> torch.Tensor:
    """The most probable classes."""
    return model(clips).argmax(1)


@pytest.mark.parametrize("model", MODELS)
def test_it_knows_motion_and_nothing_without_order(model: str) -> None:
    about = read_checkpoint(SHIPPED[model].path).description["weights"]
    assert right(model, shuffled=False) > 0.6 * about["top1"]["motion_set"]  # type: ignore[index, call-overload, operator]
    assert right(model, shuffled=False) > 8 / len(MOTION_CLASSES)
    assert right(model, shuffled=True) < 0.5 * right(model, shuffled=False)


@pytest.mark.parametrize("model", MODELS)
def test_a_network_starts_from_its_own(model: str) -> None:
    network = create_model(model, num_classes=3, causal=True, pretrained="motion")
    state, given = network.state_dict(), read_checkpoint(SHIPPED[model].path).tensors
    fresh = [name for name, tensor in state.items() if not torch.equal(tensor, given[name].to(tensor.dtype))]
    assert fresh == ["head.classifier.weight", "head.classifier.bias"]


def test_real_hands_that_move_left_and_right_are_told_apart(shared: Path) -> None:
    classifier = load("motion", device="cpu")
    found = []
    for side in ("left", "right"):
        for one in classifier.predict_each(sorted((shared / "data/air_gestures" / side).iterdir()), top_k=45):
            told = dict(one.top)
            found.append((told["move_left"] > told["move_right"]) == (side == "left"))
    assert len(found) == 20
    assert sum(found) >= 16
