"""Stochastic depth leaves out branches clip by clip, in training alone, and keeps their mean."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

import vov3d
from vov3d.errors import ArgumentError
from vov3d.layers import Residual, StochasticDepth, depth_probabilities
from vov3d.models import X3D, ClipClassifier, VoV3D

NETWORKS: dict[str, Callable[[float], ClipClassifier]] = {
    "vov3d": lambda p: VoV3D(16, (1, 2, 1, 1), num_units=2, num_classes=3, dropout=0.0, stochastic_depth=p),
    "x3d": lambda p: X3D(0.4, num_classes=3, dropout=0.0, stochastic_depth=p),
}


def outer_residuals(model: ClipClassifier) -> list[Residual]:
    blocks = [block for stage in model.stages for block in stage]  # type: ignore[attr-defined]
    assert all(isinstance(block, Residual) for block in blocks)
    return blocks


@pytest.mark.parametrize("probability", [0.2, 0.75])
def test_branches_are_left_out_this_often_and_keep_their_mean(probability: float) -> None:
    torch.manual_seed(0)
    branch = torch.ones(20_000, 2, 1, 1, 2)
    left = StochasticDepth(probability)(branch)
    values = left.flatten(1)
    assert (values == values[:, :1]).all(), "a clip stays or goes as a whole"
    assert values[:, 0].unique().tolist() == pytest.approx([0, 1 / (1 - probability)])
    out = float((values[:, 0] == 0).float().mean())
    assert out == pytest.approx(probability, abs=0.015)  # five standard deviations
    assert float(left.mean()) == pytest.approx(1, abs=0.07)


def test_clips_are_drawn_by_themselves() -> None:
    torch.manual_seed(0)
    layer = StochasticDepth(0.5)
    kept = torch.stack([layer(torch.ones(2, 1, 1, 1, 1)).flatten() > 0 for _ in range(4000)])
    together = (kept[:, 0] & kept[:, 1]).float().mean()
    assert float(together) == pytest.approx(0.25, abs=0.04)


def test_evaluation_and_zero_do_nothing() -> None:
    clips, state = torch.randn(2, 3, 1, 4, 4), torch.random.get_rng_state()
    assert StochasticDepth(0.5).eval()(clips) is clips
    assert StochasticDepth(0.0)(clips) is clips
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_block_that_is_left_out_is_its_shortcut() -> None:
    torch.manual_seed(0)
    clips = torch.rand(64, 3, 2, 4, 4)
    block = Residual(nn.Conv3d(3, 3, 1), nn.Identity(), stochastic_depth=0.5)
    got, branch = block(clips), block.branch(clips)
    is_shortcut = torch.tensor([torch.equal(one, clip) for one, clip in zip(got, clips, strict=True)])
    assert 0 < int(is_shortcut.sum()) < 64
    torch.testing.assert_close(got[~is_shortcut], (clips + 2 * branch).relu()[~is_shortcut])


def test_probabilities_rise_evenly() -> None:
    assert depth_probabilities(0.3, 4) == pytest.approx([0, 0.1, 0.2, 0.3])
    assert depth_probabilities(0.3, 1) == [0.0]
    for wrong in (-0.1, 1.0):
        with pytest.raises(ArgumentError, match=f"stochastic_depth is {wrong}; it must be at least 0 and below 1"):
            depth_probabilities(wrong, 3)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_outer_block_has_its_share_and_no_inner_one(name: str) -> None:
    model = NETWORKS[name](0.4)
    outer = outer_residuals(model)
    assert [block.depth.probability for block in outer] == pytest.approx(depth_probabilities(0.4, len(outer)))
    inner = [m for m in model.modules() if isinstance(m, Residual) and m not in outer]
    assert len(inner) == (10 if name == "vov3d" else 0)
    assert all(block.depth.probability == 0 for block in inner)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_network_is_the_same_network(name: str) -> None:
    torch.manual_seed(0)
    plain = NETWORKS[name](0.0)
    torch.manual_seed(0)
    deep = NETWORKS[name](0.9)
    assert list(plain.state_dict()) == list(deep.state_dict())
    clips = torch.randn(4, 3, 2, 32, 32)
    for model in (plain, deep):
        for block in outer_residuals(model):
            norm = block.branch.aggregate.norm if name == "vov3d" else block.branch.project.norm
            nn.init.ones_(norm.weight)
    with torch.no_grad():
        assert torch.equal(plain.eval()(clips), deep.eval()(clips))
        plain.train(), deep.train()
        assert not torch.allclose(plain(clips), deep(clips))
        torch.manual_seed(1)
        once = deep(clips)
        torch.manual_seed(1)
        assert torch.equal(deep(clips), once), "the draws are those of torch's generator"


def test_by_name() -> None:
    model = vov3d.create_model("x3d_xs", num_classes=2, stochastic_depth=0.1)
    assert outer_residuals(model)[-1].depth.probability == pytest.approx(0.1)
    with pytest.raises(ArgumentError, match="stochastic_depth is 1"):
        vov3d.create_model("vov3d_s", num_classes=2, stochastic_depth=1.0)
