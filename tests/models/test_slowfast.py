"""SlowFast: its costs, which frames each pathway sees, and where they meet."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from vov3d.models.counting import count_gmacs, count_parameters
from vov3d.models.slowfast import (
    Join,
    LateralConnection,
    SlowFast,
    TwoStages,
    TwoStems,
    slowfast_r50_4x16,
    slowfast_r50_8x8,
    slowfast_r50_16x8,
)

TINY = (1, 1, 1, 1)


@pytest.mark.parametrize(
    ("build", "num_classes", "parameters", "num_frames", "gmacs"),
    [
        (slowfast_r50_4x16, 400, 34_480_216, 32, {224: 27.64, 256: 36.10}),  # Table 7: 34.4M, 36.1
        (slowfast_r50_8x8, 400, 34_566_488, 32, {256: 65.71}),  # PyTorchVideo: 34.57M, 65.71
        (slowfast_r50_16x8, 174, 34_045_558, 64, {224: 100.62, 256: 131.42}),  # Table 6: 34.0M, 131.4
    ],
)
def test_costs(
    build: Callable[[int], SlowFast], num_classes: int, parameters: int, num_frames: int, gmacs: dict[int, float]
) -> None:
    with torch.device("meta"):
        model = build(num_classes)
    assert count_parameters(model) == parameters
    for crop, expected in gmacs.items():
        assert count_gmacs(model, num_frames, crop) == pytest.approx(expected, abs=5e-3)


def stem_of(model: SlowFast) -> TwoStems:
    assert isinstance(model.stem, TwoStems)
    return model.stem


@pytest.mark.parametrize(("num_frames", "seen"), [(1, [0]), (4, [0]), (5, [0, 4]), (8, [0, 4]), (9, [0, 4, 8])])
def test_the_slow_pathway_sees_every_alpha_th_frame(num_frames: int, seen: list[int]) -> None:
    stem = stem_of(SlowFast(TINY, alpha=4)).eval()
    clips = torch.randn(1, 3, num_frames, 32, 32, requires_grad=True)
    slow, fast = stem(clips)
    assert (slow.shape[2], fast.shape[2]) == (len(seen), num_frames)
    stem.slow(clips).sum().backward()
    assert clips.grad is not None
    assert clips.grad.abs().sum((0, 1, 3, 4)).nonzero().flatten().tolist() == seen


def test_a_lateral_connection_looks_around_each_slow_frame() -> None:
    torch.manual_seed(0)
    lateral = LateralConnection(8, ratio=2, frames=5, alpha=8).eval()
    fast = torch.randn(1, 8, 20, 2, 2, requires_grad=True)
    slow = torch.randn(1, 16, 3, 2, 2)
    joined = lateral(slow, fast)
    assert joined.shape == (1, 32, 3, 2, 2)
    assert torch.equal(joined[:, :16], slow)
    joined[:, 16:].sum().backward()
    assert fast.grad is not None
    seen = fast.grad.abs().sum((0, 1, 3, 4)).nonzero().flatten().tolist()
    assert seen == [0, 1, 2, 6, 7, 8, 9, 10, 14, 15, 16, 17, 18]


def test_the_fast_pathway_hears_nothing_of_the_slow_one() -> None:
    torch.manual_seed(0)
    model = SlowFast(TINY, alpha=4, num_classes=0).eval()
    clips = torch.randn(1, 3, 8, 32, 32)
    with torch.no_grad():
        before = model(clips)
        for stage in (model.stem, *model.stages):
            if isinstance(stage, TwoStems | TwoStages):
                for parameter in stage.slow.parameters():
                    parameter.normal_()
        after = model(clips)
    assert torch.equal(before[:, 2048:], after[:, 2048:])
    assert not torch.allclose(before[:, :2048], after[:, :2048], atol=1e-3)


@pytest.mark.parametrize("num_frames", [1, 3, 8, 11])
def test_the_joined_map_has_the_means_of_both(num_frames: int) -> None:
    slow, fast = torch.rand(2, 5, -(-num_frames // 4), 2, 3), torch.rand(2, 3, num_frames, 2, 3)
    joined = Join(4)((slow, fast))
    assert joined.shape == (2, 8, slow.shape[2], 2, 3)
    means = torch.cat([slow.mean((2, 3, 4)), fast.mean((2, 3, 4))], dim=1)
    torch.testing.assert_close(joined.mean((2, 3, 4)), means)
    if num_frames == 8:
        torch.testing.assert_close(joined[:, 5:, 1], fast[:, :, 4:].mean(2))


def test_pathways_are_recomputed_together() -> None:
    torch.manual_seed(0)
    model = SlowFast(TINY, num_classes=3, dropout=0.0)
    clips = torch.randn(2, 3, 9, 32, 32)
    gradients = []
    for model.gradient_checkpointing in (False, True):
        model.zero_grad()
        model(clips).square().sum().backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None])
    assert len(gradients[0]) == len(list(model.parameters()))
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))
