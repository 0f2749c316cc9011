"""CSN: its costs, and which channels and frames its convolutions see."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from vov3d.models.counting import count_gmacs, count_parameters
from vov3d.models.csn import CSN, ChannelSeparated, ip_csn_152, ir_csn_101, ir_csn_152


@pytest.mark.parametrize(
    ("build", "parameters", "gmacs"),
    [
        (ip_csn_152, 33_016_592, {224: 83.29, 256: 108.79}),  # Table 7: 32.8M, 109
        (ir_csn_152, 29_703_568, {224: 74.05, 256: 96.72}),  # Table 6, as ip: 29.7M, 74.0
        (ir_csn_101, 22_213_776, {}),  # PyTorchVideo: 22.21M
    ],
)
def test_costs(build: Callable[[], CSN], parameters: int, gmacs: dict[int, float]) -> None:
    with torch.device("meta"):
        model = build()
    assert count_parameters(model) == parameters
    for crop, expected in gmacs.items():
        assert count_gmacs(model, 32, crop) == pytest.approx(expected, abs=1e-2)


@pytest.mark.parametrize(("preserves_interactions", "seen"), [(True, [0, 1, 2, 3, 4]), (False, [2])])
def test_channels_interact_in_ip_alone(preserves_interactions: bool, seen: list[int]) -> None:
    torch.manual_seed(0)
    unit = ChannelSeparated(5, stride=1, temporal_stride=1, preserves_interactions=preserves_interactions).eval()
    clips = torch.randn(1, 5, 3, 4, 4, requires_grad=True)
    unit(clips)[0, 2].sum().backward()
    assert clips.grad is not None
    assert clips.grad.abs().sum((0, 2, 3, 4)).nonzero().flatten().tolist() == seen


def test_nothing_bends_between_the_halves_of_a_pair() -> None:
    torch.manual_seed(0)
    unit = ChannelSeparated(4, stride=2, temporal_stride=2, preserves_interactions=True).eval()
    clips = torch.randn(1, 4, 5, 6, 6)
    with torch.no_grad():
        torch.testing.assert_close(unit(-clips), -unit(clips))


def test_three_stages_halve_time_and_space() -> None:
    with torch.device("meta"):
        model = CSN((1, 1, 1, 1), preserves_interactions=False)
    features = model.stem(torch.empty(1, 3, 32, 224, 224, device="meta"))
    shapes = [features.shape[1:]]
    for stage in model.stages:
        features = stage(features)
        shapes.append(features.shape[1:])
    assert shapes == [(64, 32, 56, 56), (256, 32, 56, 56), (512, 16, 28, 28), (1024, 8, 14, 14), (2048, 4, 7, 7)]


@pytest.mark.parametrize(("build", "eps"), [(ip_csn_152, 1e-3), (ir_csn_152, 1e-3), (ir_csn_101, 1e-5)])
def test_norms_add_what_the_published_ones_do(build: Callable[[], CSN], eps: float) -> None:
    with torch.device("meta"):
        model = build()
    assert {module.eps for module in model.modules() if isinstance(module, nn.BatchNorm3d)} == {eps}
