"""The average is the recurrence of its definition, can be stored, and leaves the network alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.tiny import small_network
from vov3d.optim import average_tensors, moving_average, restore_average


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv3d(3, 2, 1), nn.BatchNorm3d(2), nn.Flatten(), nn.Linear(2 * 2 * 3 * 3, 2)).double()


def steps(model: nn.Module, seeds: range) -> None:
    """Move weights and statistics, as training does."""
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        model(torch.randn(4, 3, 2, 3, 3, dtype=torch.float64, generator=generator)).square().mean().backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.sub_(parameter.grad, alpha=0.1)
                parameter.grad = None


@pytest.mark.parametrize("decay", [0.3, 0.999])
def test_it_trails_with_a_decay_that_climbs(decay: float) -> None:
    model = network()
    average = moving_average(model, decay)
    expected: dict[str, torch.Tensor] = {}
    for n in range(6):
        steps(model, range(n, n + 1))
        average.update_parameters(model)
        keeps = min(decay, (1 + n) / (10 + n)) if n else 0.0
        for name, tensor in model.state_dict().items():
            before = expected.get(name, tensor)
            expected[name] = keeps * before + (1 - keeps) * tensor if tensor.is_floating_point() else tensor.clone()
    got = average.module.state_dict()
    assert list(got) == list(expected)
    for name, tensor in expected.items():
        torch.testing.assert_close(got[name], tensor, rtol=1e-12, atol=1e-14)
    assert int(got["1.num_batches_tracked"]) == 6
    assert not torch.equal(got["1.running_mean"], model.state_dict()["1.running_mean"])


def test_the_decay_stops_climbing() -> None:
    """After many updates it is the decay that was asked for."""
    model = nn.Linear(1, 1, bias=False).double()
    average = moving_average(model, 0.5)
    nn.init.ones_(model.weight)
    for _ in range(10):
        average.update_parameters(model)
    nn.init.zeros_(model.weight)
    average.update_parameters(model)
    assert float(average.module.weight) == pytest.approx(0.5, abs=1e-12)  # type: ignore[arg-type]


def test_stored_and_restored_it_goes_on_as_if_nothing_had_been() -> None:
    model = network()
    average = moving_average(model, 0.9)
    for number in range(3):
        steps(model, range(number, number + 1))
        average.update_parameters(model)
    stored = {key: tensor.clone() for key, tensor in average_tensors(average).items()}
    again = network()
    again.load_state_dict(model.state_dict())
    other = moving_average(network(), 0.9)
    restore_average(other, stored)
    for number in range(3, 6):
        steps(model, range(number, number + 1))
        steps(again, range(number, number + 1))
        average.update_parameters(model)
        other.update_parameters(again)
    for key, tensor in average_tensors(average).items():
        assert torch.equal(average_tensors(other)[key], tensor), key
    assert int(average.n_averaged) == 6


def test_the_network_is_left_alone_and_the_average_gets_no_gradient() -> None:
    torch.manual_seed(0)
    model = small_network(3, dropout=0.0)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    average = moving_average(model, 0.9)
    average.update_parameters(model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())
    clips = torch.randn(2, 3, 2, 32, 32)
    assert torch.equal(average.module.eval()(clips), model.eval()(clips))
    assert not average.module(clips).requires_grad
    shared = {p.data_ptr() for p in model.parameters()} & {p.data_ptr() for p in average.parameters()}
    assert not shared
