"""The names of TSM's checkpoints: those of its authors' repository and those of mmaction2, which has TSN's too.

Both wrap the convolution that a shift stands before, and call what is wrapped ``net``.
"""

from __future__ import annotations

from torch import nn

from vov3d.layers import TemporalShift
from vov3d.models.published.image_resnet import RULES as IMAGE_RULES
from vov3d.models.published.layout import Layout, Rule, all_renamed
from vov3d.models.tsm import TSM
from vov3d.models.tsn import TSN

AUTHORS_RULES = (
    Rule(r"head\.(.+)", "", {"classifier": "new_fc"}),
    *(Rule(rule.pattern, f"base_model.{rule.prefix}", rule.pieces) for rule in IMAGE_RULES),
)
MMACTION2_RULES = (
    Rule(r"stem\.(.+)", "backbone.conv1.", {"conv": "conv", "norm": "bn"}),
    Rule(r"head\.(.+)", "cls_head.", {"classifier": "fc_cls"}),
    Rule(
        r"stages\.(\d)\.(\d+)\.shortcut\.(.+)",
        "backbone.layer{stage}.{block}.downsample.",
        {"conv": "conv", "norm": "bn"},
    ),
    Rule(
        r"stages\.(\d)\.(\d+)\.branch\.(.+)",
        "backbone.layer{stage}.{block}.",
        {
            f"{ours}.{piece}": f"{theirs}.{name}"
            for ours, theirs in (("reduce", "conv1"), ("middle", "conv2"), ("project", "conv3"))
            for piece, name in (("conv", "conv"), ("norm", "bn"))
        },
    ),
)


def wrapped(model: nn.Module, names: dict[str, str]) -> dict[str, str]:
    """Return the names, ``net`` put in where a shift stands before the convolution."""
    shifts = [name.removesuffix("before") for name, part in model.named_modules() if isinstance(part, TemporalShift)]
    for key in (f"{branch}reduce.conv.weight" for branch in shifts):
        names[key] = names[key].removesuffix("weight") + "net.weight"
    return names


def _of_the_authors(model: nn.Module) -> dict[str, str]:
    return wrapped(model, all_renamed(model, AUTHORS_RULES, first_stage=1)) if isinstance(model, TSM) else {}


def _of_mmaction2(model: nn.Module) -> dict[str, str]:
    return wrapped(model, all_renamed(model, MMACTION2_RULES, first_stage=1)) if isinstance(model, TSM | TSN) else {}


TSM_AUTHORS = Layout("TSM's authors", _of_the_authors, "new_fc")
MMACTION2_TSM = Layout("mmaction2", _of_mmaction2, "cls_head.fc_cls")
