"""Norms that are part of convolutions, and the plain form: the same values for every system."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.optimize.networks import NETWORKS, clips, network
from vov3d.layers import BatchNorm, CausalDepthwiseConv3d, DepthwiseConv3d
from vov3d.models import MODELS
from vov3d.optimize.folding import folded
from vov3d.optimize.plain import plain_trunk


def test_every_kind_of_network_of_the_catalogue_is_here() -> None:
    with torch.device("meta"):
        kinds = {type(build(num_classes=2)) for build in MODELS.values()}
        here = {type(build()) for build in NETWORKS.values()}
    assert kinds <= here | {kind for kind in kinds if kind.__name__ == "TSN"}, "TSN is TSM without the shift"


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_folding_and_the_plain_form_change_no_value(name: str) -> None:
    model, example = network(name).double(), clips(frames=5, width=61).double()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    expected = model(example)
    faster = folded(model)
    assert not any(isinstance(module, nn.BatchNorm3d) for module in faster.modules())
    scale = float(expected.abs().max())
    assert float((faster(example) - expected).abs().max()) <= 1e-10 * scale
    maps = plain_trunk(faster)(example)
    assert float((faster.head.classify(maps) - expected).abs().max()) <= 1e-10 * scale
    window = (4, 1, 1)
    of_maps = faster.head.classify_positions(maps, window)
    assert float((of_maps - model.position_logits(example, window)).abs().max()) <= 1e-10 * scale
    assert torch.equal(model(example), expected)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_a_norm_after_something_else_stays() -> None:
    model = network("vov3d")
    model.stem.norm = nn.Sequential(nn.ReLU(), model.stem.norm)
    left = [module for module in folded(model).modules() if isinstance(module, BatchNorm)]
    assert len(left) == 1
    torch.testing.assert_close(folded(model)(clips()), model(clips()), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", [DepthwiseConv3d, CausalDepthwiseConv3d])
def test_a_depthwise_convolution_adds_its_bias_once(kind: type[DepthwiseConv3d]) -> None:
    convolution, seen = kind(4, kernel_size=(5, 3)), torch.randn(2, 4, 6, 7, 7)
    without = convolution(seen)
    convolution.bias = nn.Parameter(torch.randn(4))
    torch.testing.assert_close(convolution(seen), without + convolution.bias.view(1, -1, 1, 1, 1))
    if kind is DepthwiseConv3d:
        strided = DepthwiseConv3d(4, temporal_stride=2)
        strided.bias = convolution.bias
        torch.testing.assert_close(strided(seen), nn.Conv3d.forward(strided, seen))
