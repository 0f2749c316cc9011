"""A training step of the folded arithmetic has the gradients of torch's own Conv3d on contiguous memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from networks import as_plain
from torch import nn
from torch.nn import functional as F

from tests.filling import golden_clips
from vov3d.models import ClipClassifier, create_model

TOLERANCES = {torch.float32: 1e-4, torch.float64: 1e-8}
Change = Callable[[nn.Module], object]


def gradients(
    name: str, clips: torch.Tensor, branches: tuple[float, float], change: Change = nn.Module.train
) -> dict[str, torch.Tensor]:
    """The gradients of a network whose branches count as much as this; at first they count nothing."""
    torch.manual_seed(0)
    model: ClipClassifier = create_model(name, num_classes=5, dropout=0.0).to(clips.dtype)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d) and not module.weight.any():
            nn.init.uniform_(module.weight, *branches)
    change(model)
    F.cross_entropy(model(clips), torch.arange(len(clips))).backward()
    return {key: parameter.grad for key, parameter in model.named_parameters() if parameter.grad is not None}


def distances(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> dict[str, float]:
    assert found.keys() == expected.keys() and len(found) > 80
    return {key: float((found[key].double() - one.double()).norm() / one.norm()) for key, one in expected.items()}


@pytest.mark.parametrize("name", ["vov3d_m", "x3d_m"])
@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize(("frames", "side"), [(4, 64), pytest.param(16, 112, marks=pytest.mark.slow)], ids=str)
def test_gradients_are_those_of_plain_modules(name: str, dtype: torch.dtype, frames: int, side: int) -> None:
    """Within the tolerance, or twice as far as those of plain modules are from the exact ones, where a ReLU flips."""
    clips = golden_clips(2, frames, side, side, seed=3)
    exact = gradients(name, clips.double(), (0.01, 0.02), as_plain)
    plain = exact if dtype == torch.float64 else gradients(name, clips, (0.01, 0.02), as_plain)
    rounding = distances(plain, exact)
    found = distances(gradients(name, clips.to(dtype), (0.01, 0.02)), plain)
    for key, distance in found.items():
        assert distance <= max(TOLERANCES[dtype], 2 * rounding[key]), f"{key} is off by {distance:.1e}"
    assert sorted(found.values())[len(found) // 2] <= TOLERANCES[dtype]


@pytest.mark.parametrize("name", ["vov3d_m", pytest.param("x3d_m", marks=pytest.mark.slow)])
def test_rounding_is_no_worse_than_that_of_plain_modules(name: str) -> None:
    """Where all branches count, a deep network makes 1e-2 of float32's rounding, in whichever order it adds."""
    clips = golden_clips(2, 8, 96, 96, seed=3)
    exact = gradients(name, clips.double(), (0.5, 1.0))
    ours, plain = (
        torch.tensor(list(distances(gradients(name, clips, (0.5, 1.0), change), exact).values())).median()
        for change in (nn.Module.train, as_plain)
    )
    assert ours <= 2 * plain
