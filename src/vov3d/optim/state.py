"""What an optimiser remembers, as tensors with names, so that it can be stored beside the weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def optimizer_tensors(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, Tensor]:
    """Return what the optimiser remembers of each parameter, as ``"<what>/<name>"``; at first nothing."""
    return {
        f"{what}/{name}": torch.as_tensor(value)
        for name, parameter in model.named_parameters()
        for what, value in optimizer.state.get(parameter, {}).items()
        if value is not None
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Give the optimiser back what `optimizer_tensors` returned."""
    parameters = dict(model.named_parameters())
    for key, value in tensors.items():
        what, _, name = key.partition("/")
        parameter = parameters[name]
        optimizer.state[parameter][what] = value.to(parameter.device) if value.dim() else value.clone()
