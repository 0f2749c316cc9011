"""Forward and training numbers of the published networks (tests/golden/README.md says how they were made)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.filling import fill, filled_value, golden_clips
from vov3d.models import MODELS, create_model, published_names
from vov3d.optim import decayed_names, parameter_groups

# frames, height, width, clips, seed
INPUTS = {
    "T16_S224_N2": (2, 16, 224, 224, 11),
    "T16_S256_N1": (1, 16, 256, 256, 12),
    "T32_S224_N1": (1, 32, 224, 224, 13),
}
FORWARD = [
    "vov3d_l_T16_S224_N2",
    "vov3d_m_T16_S224_N2",
    "vov3d_m_T16_S256_N1",
    "vov3d_m_T32_S224_N1",
    "x3d_m_T16_S224_N2",
]
TRAINING = ["vov3d_m_train_T8_S112_N2", "x3d_m_train_T8_S112_N2"]


def test_all_golden_files_are_tested(golden: Path) -> None:
    assert sorted(path.stem for path in golden.glob("*.npz")) == sorted(FORWARD + TRAINING)


@pytest.mark.parametrize("name", ["vov3d_m", "vov3d_l", "x3d_m", "x3d_l"])
def test_names_and_shapes_are_the_published_ones_in_order(golden: Path, name: str) -> None:
    model = MODELS[name](num_classes=174)
    expected = json.loads((golden / f"{name}.keys.json").read_text())
    state = model.state_dict()
    assert [[published, list(state[ours].shape)] for ours, published in published_names(model).items()] == expected


def test_the_fill_is_the_golden_one(golden: Path) -> None:
    check = json.loads((golden / "fill_check.json").read_text())["models"]["vov3d_m"]
    keys = json.loads((golden / "vov3d_m.keys.json").read_text())
    digest = hashlib.sha256()
    for key, shape in keys:
        if not key.endswith("num_batches_tracked"):
            digest.update(np.ascontiguousarray(filled_value(key, tuple(shape))).tobytes())
    assert digest.hexdigest() == check["sha256_all_float32_in_order"]


@pytest.mark.parametrize("case", FORWARD)
def test_forward_in_float32(golden: Path, case: str) -> None:
    _check_forward(golden, case, torch.float32, 1e-5)


@pytest.mark.parametrize("case", ["vov3d_m_T16_S256_N1", "x3d_m_T16_S224_N2"])
def test_forward_in_float64(golden: Path, case: str) -> None:
    _check_forward(golden, case, torch.float64, 1e-10)


def _check_forward(golden: Path, case: str, dtype: torch.dtype, tolerance: float) -> None:
    name, _, tag = case.partition("_T")
    num_clips, num_frames, height, width, seed = INPUTS[f"T{tag}"]
    numbers = np.load(golden / f"{case}.npz")
    prefix = "f32_" if dtype == torch.float32 else "f64_"
    model = create_model(name, num_classes=174)
    fill(model)
    model.to(dtype).eval()
    clips = golden_clips(num_clips, num_frames, height, width, seed).to(dtype)
    with torch.no_grad():
        features = clips.contiguous(memory_format=torch.channels_last_3d)
        for index, stage in enumerate([model.stem, *model.stages], start=1):
            features = stage(features)
            sample = features[0].flatten()[torch.from_numpy(numbers[f"s{index}_index"])]
            expected = torch.from_numpy(numbers[f"{prefix}s{index}_sample0"])
            torch.testing.assert_close(sample, expected.to(dtype), rtol=0, atol=tolerance)
        logits = model.head.position_logits(features, (num_frames, 7, 7))
    expected = torch.from_numpy(numbers[f"{prefix}proj_logits"]).flatten(1, 3).to(dtype)
    torch.testing.assert_close(logits, expected, rtol=0, atol=tolerance)
    averaged = torch.from_numpy(numbers[f"{prefix}head_out"]).to(dtype)
    torch.testing.assert_close(logits.softmax(-1).mean(1), averaged, rtol=0, atol=tolerance)


@pytest.mark.parametrize("case", TRAINING)
def test_two_training_steps_in_float64(golden: Path, case: str) -> None:
    numbers = np.load(golden / f"{case}.npz")
    model = create_model(case.partition("_train")[0], num_classes=174, dropout=0.0)
    fill(model)
    model.double().train()
    names = published_names(model)
    parameters = {names[ours]: parameter for ours, parameter in model.named_parameters()}
    ordered = [parameters[str(name)] for name in numbers["param_names"]]
    decayed = decayed_names(model, "published", names)
    assert {names[name] for name in decayed} == {
        str(name) for name, free in zip(numbers["param_names"], numbers["in_bn_group"], strict=True) if not free
    }
    optimizer = torch.optim.SGD(parameter_groups(model, decayed, 5e-5), lr=1e-3, momentum=0.9, nesterov=True)
    clips, labels = golden_clips(2, 8, 112, 112, 77).double(), torch.from_numpy(numbers["labels"])

    def step() -> torch.Tensor:
        optimizer.zero_grad()
        logits = model(clips)
        loss = F.cross_entropy(logits, labels)
        loss.backward()
        if step.first:  # type: ignore[attr-defined]
            _close(logits, numbers["f64_logits"])
            _close(torch.stack([p.grad.norm() for p in ordered]), numbers["f64_gradnorm"])
            for key in (key for key in numbers.files if key.startswith("f64_grad/")):
                _close(parameters[key.removeprefix("f64_grad/")].grad, numbers[key])
        optimizer.step()
        return loss.detach()

    step.first = True  # type: ignore[attr-defined]
    _close(step(), numbers["f64_loss"])
    step.first = False  # type: ignore[attr-defined]
    _close(torch.stack([p.norm() for p in ordered]), numbers["f64_paramnorm_after"])
    _close(step(), numbers["f64_loss_after"])
    _close(torch.stack([p.norm() for p in ordered]), numbers["f64_paramnorm_after2"])


def _close(found: torch.Tensor, expected: np.ndarray) -> None:
    torch.testing.assert_close(found.detach(), torch.as_tensor(expected), rtol=1e-6, atol=1e-12)
