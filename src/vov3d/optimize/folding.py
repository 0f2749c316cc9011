"""Batch norms, folded into the convolutions before them."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from vov3d.layers import BatchNorm
from vov3d.models import ClipClassifier


@torch.no_grad()
def folded(model: ClipClassifier) -> ClipClassifier:
    """Return a copy for inference in which every norm that follows a convolution is part of it.

    A norm y = g (x - m) / sqrt(v + eps) + b of what a convolution gives is a factor of its weights and a bias. The
    arithmetic is in float64. Norms that follow something else stay.

    Args:
        model: the network, in evaluation mode; it is not changed.
    """
    network = copy.deepcopy(model).requires_grad_(False)
    network.gradient_checkpointing = False
    names = {module: name for name, module in network.named_modules()}
    for convolution, norm in _pairs(network):
        scale, bias = norm.scale_and_shift()
        if convolution.bias is not None:
            bias += convolution.bias.double() * scale
        weight = convolution.weight.double() * scale.view(-1, 1, 1, 1, 1)
        convolution.weight.copy_(weight)
        convolution.bias = nn.Parameter(bias.to(convolution.weight.dtype), requires_grad=False)
        parent, _, leaf = names[norm].rpartition(".")
        setattr(network.get_submodule(parent), leaf, nn.Identity().eval())
    return network


def _pairs(network: ClipClassifier) -> list[tuple[nn.Conv3d, BatchNorm]]:
    """Each convolution whose output goes into a norm, found by showing the network a small clip."""
    made: dict[int, nn.Conv3d] = {}
    alive: list[Tensor] = []  # an id is of one tensor as long as that is there
    found: list[tuple[nn.Conv3d, BatchNorm]] = []

    def convolved(module: nn.Module, _inputs: object, output: Tensor) -> None:
        assert isinstance(module, nn.Conv3d)
        made[id(output)] = module
        alive.append(output)

    def normalised(module: nn.Module, inputs: tuple[Tensor]) -> None:
        assert isinstance(module, BatchNorm)
        if id(inputs[0]) in made:
            found.append((made[id(inputs[0])], module))

    hooks = [
        module.register_forward_hook(convolved)
        if isinstance(module, nn.Conv3d)
        else module.register_forward_pre_hook(normalised)
        for module in network.modules()
        if isinstance(module, nn.Conv3d | BatchNorm)
    ]
    network(torch.zeros(1, 3, 4, 32, 32).to(next(network.parameters())))
    for hook in hooks:
        hook.remove()
    return found
