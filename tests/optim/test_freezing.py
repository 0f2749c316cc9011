"""What is frozen stays as it is, through steps, norms and modes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.tiny import small_network
from vov3d.errors import ArgumentError
from vov3d.models import VoV3D
from vov3d.optim import parameter_groups, recompute_norm_statistics


@pytest.fixture
def model() -> VoV3D:
    torch.manual_seed(0)
    return small_network(3, dropout=0.0)


def step(model: VoV3D) -> None:
    groups = parameter_groups(model, {name for name, _ in model.named_parameters()}, 0.1)
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
    for _ in range(2):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(torch.randn(3, 3, 2, 32, 32)), torch.arange(3)).backward()
        optimizer.step()


@pytest.mark.parametrize(
    "names", [["stem"], ["stem", "stages.0", "stages.1"], ["stages"], ["stages.1.0.branch", "head.expand"]]
)
def test_the_named_parts_stay_and_the_others_learn(model: VoV3D, names: list[str]) -> None:
    model.freeze(names)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.train()
    step(model)
    recompute_norm_statistics(model, [torch.randn(2, 3, 2, 32, 32) + 1])
    stays = {name for name in before if any(name.startswith(f"{part}.") for part in names)}
    same = {name for name, tensor in model.state_dict().items() if torch.equal(tensor, before[name])}
    assert stays <= same
    learnt = {name for name, _ in model.named_parameters()} - stays
    dead = {name for name in same & learnt if "branch" in name}  # blocks begin as their shortcut: no gradient inside
    assert same & learnt == dead
    counted = [name for name in before if name.endswith("running_mean") and name not in stays]
    assert counted and not same & set(counted)


def test_modes_come_and_go_but_for_what_is_frozen(model: VoV3D) -> None:
    model.eval()
    model.freeze(["stages.0"])
    assert not any(module.training for module in model.modules())
    for network in (model.train(), model.eval().train()):
        assert {name for name, module in network.named_modules() if not module.training} == {
            f"stages.0{name and '.'}{name}" for name, _ in model.stages[0].named_modules()
        }
    assert model.train(False) is model
    recompute_norm_statistics(model, [torch.randn(2, 3, 2, 32, 32)])
    assert not any(module.training for module in model.modules())


def test_a_frozen_block_is_never_left_out() -> None:
    model = VoV3D(16, (1, 1, 1, 2), num_units=2, num_classes=2, dropout=0.0, stochastic_depth=0.9)
    model.freeze(["stem", "stages"])
    clips = torch.randn(2, 3, 2, 32, 32)
    assert torch.equal(model.train().forward_features(clips), model.eval().forward_features(clips))


def test_freezing_adds_up(model: VoV3D) -> None:
    model.freeze(["stem"])
    model.freeze(["stages.0", "stem"])
    assert model.frozen == ("stem", "stages.0")
    assert not model.stem.training and not model.stages[0].training and model.head.training
    model.freeze([])
    assert model.frozen == ("stem", "stages.0")


def test_wrong_names_are_named(model: VoV3D) -> None:
    with pytest.raises(ArgumentError, match=r"no part 'stage\.0' to freeze; did you mean 'stages\.0'") as caught:
        model.freeze(["stem", "stage.0"])
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200
    assert all(parameter.requires_grad for parameter in model.parameters()), "nothing is done by halves"
    for wrong in ("", "head.relu", "stem.norm.weight", "everything"):
        with pytest.raises(ArgumentError, match=f"no part '{wrong}' to freeze"):
            model.freeze([wrong])


def test_something_must_be_left_to_train(model: VoV3D) -> None:
    for names in (["stem", "stages", "head"], ["head", "stages", "stem.norm", "stem"]):
        with pytest.raises(ArgumentError, match=r"leaves no parameter to train"):
            model.freeze(names)
    assert model.frozen == () and all(parameter.requires_grad for parameter in model.parameters())
    model.freeze(["stem", "stages", "head.expand", "head.hidden"])
    assert [name for name, p in model.named_parameters() if p.requires_grad] == [
        "head.classifier.weight",
        "head.classifier.bias",
    ]
