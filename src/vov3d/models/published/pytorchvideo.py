"""The names of PyTorchVideo's X3D (``create_x3d``); ``.pyth`` files of ``{"model_state": ...}``."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vov3d.layers import BatchNorm, ConvNorm
from vov3d.models.published.layout import Layout, Rule, all_renamed
from vov3d.models.x3d import X3D

_BLOCK = "blocks.{stage}.res_blocks.{block}."

RULES = (
    Rule(
        r"stem\.(.+)",
        "blocks.0.",
        {"spatial": "conv.conv_t", "temporal": "conv.conv_xy", "norm": "norm"},  # their names, the wrong way round
    ),
    Rule(
        r"head\.(.+)",
        "blocks.5.",
        {
            "expand.conv": "pool.pre_conv",
            "expand.norm": "pool.pre_norm",
            "hidden": "pool.post_conv",
            "classifier": "proj",
        },
    ),
    Rule(r"stages\.(\d)\.(\d+)\.shortcut\.(.+)", _BLOCK, {"conv": "branch1_conv", "norm": "branch1_norm"}),
    Rule(
        r"stages\.(\d)\.(\d+)\.branch\.(.+)",
        _BLOCK + "branch2.",
        {
            "expand.conv": "conv_a",
            "expand.norm": "norm_a",
            "operator": "conv_b",
            "norm": "norm_b.0",
            "gate.fc1": "norm_b.1.block.0",
            "gate.fc2": "norm_b.1.block.2",
            "project.conv": "conv_c",
            "project.norm": "norm_c",
        },
    ),
)


def _names(model: nn.Module) -> dict[str, str]:
    if not isinstance(model, X3D):
        return {}
    lacking = _lacking(model)
    return {
        ours: name
        for ours, name in all_renamed(model, RULES, first_stage=1).items()
        if ours.rpartition(".")[0] not in lacking
    }


def _lacking(model: X3D) -> dict[str, BatchNorm]:
    """Return the norms that such a file lacks: of shortcuts that keep the number of channels, as the first stage's."""
    return {
        f"{name}.norm": shortcut.norm
        for name, shortcut in model.named_modules()
        if name.endswith("shortcut") and isinstance(shortcut, ConvNorm)
        if shortcut.conv.in_channels == shortcut.conv.out_channels
    }


def _identities(model: nn.Module) -> dict[str, Tensor]:
    """Return statistics and weights by which the norms that such a file lacks do nothing."""
    entries: dict[str, Tensor] = {}
    for name, norm in (_lacking(model) if isinstance(model, X3D) else {}).items():
        zeros = torch.zeros(norm.num_features)
        entries |= {
            f"{name}.weight": zeros + 1,
            f"{name}.bias": zeros,
            f"{name}.running_mean": zeros,
            f"{name}.running_var": zeros + (1 - norm.eps),
            f"{name}.num_batches_tracked": torch.tensor(0),
        }
    return entries


PYTORCHVIDEO_X3D = Layout("PyTorchVideo", _names, "blocks.5.proj", added=_identities)
