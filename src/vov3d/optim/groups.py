"""Which parameters weight decay pulls on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from vov3d.errors import ArgumentError, unknown_name

DECAY_GROUPS = ("weights", "published", "all")


def decayed_names(model: nn.Module, rule: str, published: Mapping[str, str] | None = None) -> set[str]:
    """Return the names of the parameters that are decayed.

    Args:
        model: the network.
        rule: ``"weights"``: the weights of convolutions and linear layers, free of decay are all norms and biases;
            ``"published"``: all but what has "bn" in its published name, which decays the 80 of 134 norms of VoV3D-M
            that are named otherwise, and all biases (docs/faithfulness.md #9); ``"all"``: everything.
        published: our name -> published name, for the rule of that name.

    Raises:
        ArgumentError: for an unknown rule, or ``"published"`` for a network that was never published.
    """
    parameters = dict(model.named_parameters())
    if rule == "all":
        return set(parameters)
    if rule == "weights":
        return {name for name, parameter in parameters.items() if parameter.dim() > 1}
    if rule == "published":
        if published is None:
            raise ArgumentError("decay_groups 'published' needs a published network; use 'weights'")
        return {name for name in parameters if "bn" not in published[name]}
    raise ArgumentError(unknown_name("decay_groups", rule, DECAY_GROUPS))


def parameter_groups(model: nn.Module, decayed: set[str], weight_decay: float) -> list[dict[str, Any]]:
    """Return the trained parameters in two groups for an optimiser of torch, decayed and free of decay.

    Args:
        model: the network; frozen parameters are left out.
        decayed: names of the parameters that decay.
        weight_decay: strength of decay.
    """
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for name, p in trained if name in decayed], "weight_decay": weight_decay},
        {"params": [p for name, p in trained if name not in decayed], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
