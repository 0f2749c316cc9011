"""An optimiser that was stored and restored takes the very steps of one that was not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from vov3d.optim import optimizer_tensors, parameter_groups, restore_optimizer

OPTIMIZERS: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "sgd": lambda model: torch.optim.SGD(
        parameter_groups(model, {"0.weight"}, 0.1), lr=0.1, momentum=0.9, nesterov=True
    ),
    "adamw": lambda model: torch.optim.AdamW(parameter_groups(model, {"0.weight"}, 0.1), lr=0.1),
}


def steps(model: nn.Module, optimizer: torch.optim.Optimizer, seeds: range) -> None:
    for seed in seeds:
        optimizer.zero_grad()
        inputs = torch.randn(5, 4, generator=torch.Generator().manual_seed(seed))
        model(inputs).square().sum().backward()
        optimizer.step()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_restored_equals_uninterrupted(name: str) -> None:
    torch.manual_seed(0)
    whole = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2))
    optimizer = OPTIMIZERS[name](whole)
    assert optimizer_tensors(optimizer, whole) == {}
    steps(whole, optimizer, range(3))
    stored = {key: tensor.clone() for key, tensor in optimizer_tensors(optimizer, whole).items()}
    again = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2))
    again.load_state_dict(whole.state_dict())
    other = OPTIMIZERS[name](again)
    restore_optimizer(other, again, stored)
    steps(whole, optimizer, range(3, 6))
    steps(again, other, range(3, 6))
    for ours, theirs in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(ours, theirs)
