"""Which parameters weight decay pulls on."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vov3d.errors import ArgumentError
from vov3d.models import create_model, published_name
from vov3d.optim import decayed_names, optimizer_tensors, parameter_groups, restore_optimizer


@pytest.fixture(scope="module")
def model() -> nn.Module:
    with torch.device("meta"):
        return create_model("vov3d_m", num_classes=174)


def kinds(model: nn.Module, names: set[str]) -> dict[str, int]:
    """How many norms, weights and biases are among the names."""
    norms = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.BatchNorm3d)}
    norms_biases = {name.replace(".weight", ".bias") for name in norms}
    return {
        "norms": len(names & norms),
        "weights": sum(name.endswith(".weight") for name in names - norms),
        "biases": sum(name.endswith(".bias") for name in names - norms_biases),
    }


def test_all(model: nn.Module) -> None:
    names = decayed_names(model, "all")
    assert names == {name for name, _ in model.named_parameters()}
    assert kinds(model, names)["norms"] == 134


def test_weights_leave_norms_and_biases_free(model: nn.Module) -> None:
    names = decayed_names(model, "weights")
    every = kinds(model, decayed_names(model, "all"))
    assert kinds(model, names) == {"norms": 0, "weights": every["weights"], "biases": 0}


def test_the_published_rule_goes_by_name(model: nn.Module) -> None:
    published = {name: published_name(name) or "" for name, _ in model.named_parameters()}
    names = decayed_names(model, "published", published)
    every = kinds(model, decayed_names(model, "all"))
    assert kinds(model, names) == {"norms": 80, "weights": every["weights"], "biases": every["biases"]}
    free = {name for name, _ in model.named_parameters()} - names
    assert free == {name for name, theirs in published.items() if "bn" in theirs}


def test_rules_that_make_no_sense(model: nn.Module) -> None:
    with pytest.raises(ArgumentError, match="unknown decay_groups 'weight'; did you mean 'weights'"):
        decayed_names(model, "weight")
    with pytest.raises(ArgumentError, match="needs a published network; use 'weights'"):
        decayed_names(model, "published")


def test_groups_hold_each_trained_parameter_once() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    model[0].bias.requires_grad_(False)
    decayed, free = parameter_groups(model, {"0.weight", "0.bias"}, 0.1)
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.1, 0)
    assert decayed["params"] == [model[0].weight]
    assert free["params"] == [model[1].weight, model[1].bias]
    assert len(parameter_groups(model, set(), 0.1)) == 1


def test_only_the_decayed_shrink() -> None:
    model = nn.Linear(2, 2)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer = torch.optim.SGD(parameter_groups(model, {"weight"}, 0.1), lr=0.5)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    torch.testing.assert_close(model.weight.detach(), before["weight"] * (1 - 0.5 * 0.1))
    assert torch.equal(model.bias, before["bias"])


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
def test_an_optimiser_that_was_put_away_goes_on_as_if_not(kind: type[torch.optim.Optimizer]) -> None:
    arguments = {"momentum": 0.9} if kind is torch.optim.SGD else {}

    def begin() -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
        return model, kind(parameter_groups(model, {"0.weight"}, 0.1), lr=0.1, **arguments)

    def step(model: nn.Module, optimizer: torch.optim.Optimizer, number: int) -> None:
        optimizer.zero_grad()
        model(torch.full((1, 3), float(number))).square().sum().backward()
        optimizer.step()

    model, optimizer = begin()
    assert optimizer_tensors(optimizer, model) == {}
    for number in range(2):
        step(model, optimizer, number)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    kept = {name: tensor.clone() for name, tensor in optimizer_tensors(optimizer, model).items()}
    step(model, optimizer, 2)
    twin, other = begin()
    twin.load_state_dict(weights)
    restore_optimizer(other, twin, kept)
    step(twin, other, 2)
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in twin.state_dict().items())
