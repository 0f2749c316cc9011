"""R(2+1)D: its counts and its rule."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from vov3d.models.counting import count_gmacs, count_parameters
from vov3d.models.r2plus1d import Conv2Plus1D, R2Plus1DNet, r2plus1d_18, r2plus1d_34, ruled_mid_channels


@pytest.mark.parametrize(
    ("build", "parameters", "num_frames", "gmacs"),
    [
        (r2plus1d_18, 31_505_325, 16, 40.519),  # torchvision's
        (r2plus1d_34, 63_697_175, 32, 152.356),  # Table 7: 63.6M, 152
        (r2plus1d_34, 63_697_175, 16, 76.178),  # what its row says: 16 frames
    ],
)
def test_counts(build: Callable[[], R2Plus1DNet], parameters: int, num_frames: int, gmacs: float) -> None:
    with torch.device("meta"):
        model = build()
    assert count_parameters(model) == parameters
    assert count_gmacs(model, num_frames, 112) == pytest.approx(gmacs, abs=1e-3)


@pytest.mark.parametrize(("in_channels", "out_channels"), [(64, 64), (64, 128), (256, 256), (256, 512)])
def test_both_factors_have_the_parameters_of_the_one(in_channels: int, out_channels: int) -> None:
    mid_channels = ruled_mid_channels(in_channels, out_channels)
    unit = Conv2Plus1D(in_channels, mid_channels, out_channels)
    factors = unit.spatial.weight.numel() + unit.temporal.weight.numel()
    dense = 27 * in_channels * out_channels
    assert dense - (9 * in_channels + 3 * out_channels) < factors <= dense


def test_the_factors_are_not_one_linear_map() -> None:
    torch.manual_seed(0)
    unit = Conv2Plus1D(4, 9, 4).eval()
    clips = torch.randn(1, 4, 3, 6, 6)
    with torch.no_grad():
        assert not torch.allclose(unit(-clips), -unit(clips), atol=1e-3)


def test_three_stages_halve_time_and_space() -> None:
    with torch.device("meta"):
        model = r2plus1d_18()
    features = model.stem(torch.empty(1, 3, 9, 111, 112, device="meta"))
    shapes = [features.shape[1:]]
    for stage in model.stages:
        features = stage(features)
        shapes.append(features.shape[1:])
    assert shapes == [(64, 9, 56, 56), (64, 9, 56, 56), (128, 5, 28, 28), (256, 3, 14, 14), (512, 2, 7, 7)]
