"""Targets are mixed in the very proportion that clips are, and all draws are those of the generator."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from vov3d.data.mixing import mix

BOTH = {"mixup": {"mixup": 0.8, "cutmix": 0.0}, "cutmix": {"mixup": 0.0, "cutmix": 1.0}}


def numbered(num_clips: int, height: int = 12, width: int = 20, num_frames: int = 3) -> tuple[Tensor, Tensor]:
    """Clip n is 2^n everywhere, and its class is n."""
    values = (2.0 ** torch.arange(num_clips)).view(-1, 1, 1, 1, 1)
    return values.expand(-1, 3, num_frames, height, width).clone(), one_hot(torch.arange(num_clips)).float()


def test_nothing_asked_nothing_done() -> None:
    clips, targets = numbered(3)
    rng = np.random.default_rng(0)
    mixed = mix(clips, targets, mixup=0.0, cutmix=0.0, rng=rng)
    assert mixed[0] is clips and mixed[1] is targets
    assert rng.random() == np.random.default_rng(0).random(), "nothing is drawn"


@pytest.mark.parametrize("alphas", BOTH.values(), ids=BOTH)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_targets_are_the_shares_of_the_pixels(alphas: dict[str, float], dtype: torch.dtype) -> None:
    """The mean of a mixed clip is the sum of its classes' numbers, each as often as its target says."""
    clips, targets = (tensor.to(dtype) for tensor in numbered(5))
    before = clips.clone(), targets.clone()
    moved = 0
    for seed in range(40):
        mixed, answers = mix(clips, targets, **alphas, rng=np.random.default_rng(seed))
        assert mixed.shape == clips.shape and answers.shape == targets.shape
        assert mixed.dtype == answers.dtype == dtype
        torch.testing.assert_close(answers.sum(1), torch.ones(5, dtype=dtype))
        torch.testing.assert_close(mixed.mean((1, 2, 3, 4)), answers @ clips[:, 0, 0, 0, 0], rtol=1e-5, atol=1e-5)
        assert torch.equal(mixed, mixed[:, :1, :1].expand_as(mixed)), "all frames and channels alike"
        moved += int((answers.max(1).values < 1).sum())
    assert moved > 100
    assert torch.equal(clips, before[0]) and torch.equal(targets, before[1]), "the batch itself is not touched"


def test_cutmix_pastes_one_box() -> None:
    clips, targets = numbered(6)
    for seed in range(40):
        mixed, _ = mix(clips, targets, mixup=0.0, cutmix=1.0, rng=np.random.default_rng(seed))
        foreign = (mixed != clips)[:, 0, 0]
        boxes = {tuple(map(tuple, one.nonzero().tolist())) for one in foreign if one.any()}
        assert len(boxes) <= 1, "the same box in all clips"
        for box in boxes:
            rows, columns = (sorted({place[axis] for place in box}) for axis in (0, 1))
            assert len(box) == len(rows) * len(columns)
            assert rows == list(range(rows[0], rows[-1] + 1)) and columns == list(range(columns[0], columns[-1] + 1))


def test_proportions_are_from_the_beta_law() -> None:
    """Alpha 1 is even; alpha 0.2 is mostly near 0 or 1; the variance of Beta(a, a) is 1 / (4 (2a + 1))."""
    clips, targets = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1, 1).expand(2, 3, 1, 2, 2), torch.eye(2)
    for alpha in (0.2, 1.0, 5.0):
        kept = []
        for seed in range(1200):
            _, answers = mix(clips, targets, mixup=alpha, cutmix=0.0, rng=np.random.default_rng((7, seed)))
            kept.append(float(answers[0, 0]))
        drawn = np.array([value for value in kept if value != 1])  # where the permutation exchanged the two
        assert 500 < len(drawn) < 700
        assert drawn.mean() == pytest.approx(0.5, abs=0.05)
        assert drawn.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.15)


def test_boxes_of_cutmix_lie_anywhere() -> None:
    """Their share is even at alpha 1, their middle is even, and what lies outside is lost."""
    clips, targets = numbered(2, 64, 64, 1)
    kept = []
    for seed in range(800):
        _, answers = mix(clips, targets, mixup=0.0, cutmix=1.0, rng=np.random.default_rng((8, seed)))
        if answers[0, 0] != 1:
            kept.append(float(answers[0, 0]))
    sides = np.sqrt(np.random.default_rng(0).random((200_000, 1)))
    middles = np.random.default_rng(1).random((200_000, 2))
    inside = np.minimum(middles + sides / 2, 1) - np.maximum(middles - sides / 2, 0)
    assert np.mean(kept) == pytest.approx(1 - inside.prod(1).mean(), abs=0.025)


def test_with_both_each_batch_draws_one() -> None:
    clips, targets = numbered(4)
    pasted = 0
    for seed in range(300):
        mixed, _ = mix(clips, targets, mixup=1.0, cutmix=1.0, rng=np.random.default_rng(seed))
        whole = torch.isin(mixed, clips[:, 0, 0, 0, 0]).all()
        pasted += bool(whole)
    assert 110 < pasted < 200


def test_several_labels_are_mixed_too() -> None:
    clips, targets = numbered(2)[0], torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    mixed = [mix(clips, targets, mixup=1.0, cutmix=0.0, rng=np.random.default_rng(seed))[1] for seed in range(10)]
    assert all(torch.equal(answers[:, 1:], targets[:, 1:]) for answers in mixed)
    assert any(0 < float(answers[0, 0]) < 1 for answers in mixed)


@pytest.mark.parametrize("alphas", BOTH.values(), ids=BOTH)
def test_one_clip_stays_as_it_is(alphas: dict[str, float]) -> None:
    clips, targets = numbered(1)
    for seed in range(5):
        mixed, answers = mix(clips, targets, **alphas, rng=np.random.default_rng(seed))
        assert torch.equal(mixed, clips) and torch.equal(answers, targets)


@pytest.mark.parametrize("alphas", [*BOTH.values(), {"mixup": 0.8, "cutmix": 1.0}])
def test_draws_are_those_of_the_generator(alphas: dict[str, float]) -> None:
    clips, targets = torch.randn(4, 3, 2, 9, 9), torch.eye(4)
    state = torch.random.get_rng_state()
    once, again, other = (mix(clips, targets, **alphas, rng=np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))
    assert not torch.equal(once[0], other[0])
    assert torch.equal(torch.random.get_rng_state(), state)
