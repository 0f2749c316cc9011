"""Precise batch norm is the plain average over batches, and leaves all else as it is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.tiny import small_network
from vov3d.layers import BatchNorm
from vov3d.optim import recompute_norm_statistics


@pytest.fixture
def batches() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, 3, 4, 8, 8, generator=generator) * (1 + number) + number for number in range(3)]


def test_statistics_are_the_average_of_those_of_the_batches(batches: list[Tensor]) -> None:
    norm = nn.BatchNorm3d(3)
    norm(torch.randn(2, 3, 4, 8, 8) + 100)  # what was trailed before is forgotten
    assert recompute_norm_statistics(nn.Sequential(norm), batches) == 3
    axes = (0, 2, 3, 4)
    mean = torch.stack([batch.mean(axes) for batch in batches]).mean(0)
    variance = torch.stack([batch.var(axes, correction=1) for batch in batches]).mean(0)
    torch.testing.assert_close(norm.running_mean, mean)
    torch.testing.assert_close(norm.running_var, variance)


def test_with_one_batch_evaluation_is_what_training_saw() -> None:
    torch.manual_seed(0)
    model = small_network(3, dropout=0.0)
    clips = torch.randn(4, 3, 4, 64, 64)
    assert recompute_norm_statistics(model, [clips]) == 1
    with torch.no_grad():
        seen, tested = model.train()(clips), model.eval()(clips)
    torch.testing.assert_close(tested, seen, rtol=0.02, atol=0.002)  # the variance is unbiased in one of them


@pytest.mark.parametrize("training", [True, False])
def test_weights_mode_and_momentum_stay(batches: list[Tensor], training: bool) -> None:
    model = nn.Sequential(nn.Conv3d(3, 3, 1), nn.BatchNorm3d(3, momentum=0.03), nn.Dropout()).train(training)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    recompute_norm_statistics(model, batches)
    assert all(torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert [module.training for module in model.modules()] == [training] * 4
    assert model[1].momentum == 0.03


def test_without_batches_nothing_changes() -> None:
    norm = nn.BatchNorm3d(3)
    norm(torch.randn(2, 3, 4, 8, 8) + 100)
    before = {name: tensor.clone() for name, tensor in norm.state_dict().items()}
    assert recompute_norm_statistics(norm, []) == 0
    assert all(torch.equal(tensor, before[name]) for name, tensor in norm.state_dict().items())


def test_an_interruption_leaves_mode_and_momentum(batches: list[Tensor]) -> None:
    def interrupted() -> object:
        yield batches[0]
        raise KeyboardInterrupt

    norm = nn.BatchNorm3d(3).eval()
    with pytest.raises(KeyboardInterrupt):
        recompute_norm_statistics(norm, interrupted())  # type: ignore[arg-type]
    assert (norm.momentum, norm.training) == (0.1, False)


def test_processes_take_their_mean(batches: list[Tensor]) -> None:
    norm = nn.BatchNorm3d(3)
    alone = nn.BatchNorm3d(3)
    recompute_norm_statistics(alone, batches)
    assert alone.running_mean is not None and norm.running_mean is not None
    told = []

    def share(model: nn.Module, weight: float) -> None:
        told.append((model, weight))
        model.running_mean.div_(2)  # type: ignore[operator,union-attr]

    empty = torch.empty(0, 3, 4, 8, 8)
    recompute_norm_statistics(norm, batches, share)
    assert told == [(norm, float(len(batches)))]
    torch.testing.assert_close(norm.running_mean, alone.running_mean / 2)
    ours = BatchNorm(3)
    recompute_norm_statistics(ours, [empty, *batches, empty], share)  # as a process does that has no clips at times
    assert told[1][1] == len(batches)
    torch.testing.assert_close(ours.running_mean, norm.running_mean)
