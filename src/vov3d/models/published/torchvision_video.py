"""The names of torchvision's video ResNets, which other repositories' R(2+1)D-34 has too."""

from __future__ import annotations

from torch import nn

from vov3d.models.published.layout import Layout, Rule, all_renamed
from vov3d.models.r2plus1d import R2Plus1DNet

RULES = (
    Rule(r"stem\.0\.(.+)", "stem.", {"spatial": "0", "mid_norm": "1", "temporal": "3", "norm": "4"}),
    Rule(r"head\.(.+)", "", {"classifier": "fc"}),
    Rule(
        r"stages\.(\d)\.(\d+)\.shortcut\.(.+)",
        "layer{stage}.{block}.",
        {"conv": "downsample.0", "norm": "downsample.1"},
    ),
    Rule(
        r"stages\.(\d)\.(\d+)\.branch\.(.+)",
        "layer{stage}.{block}.",
        {
            f"{ours}.{piece}": f"{theirs}.{name}"
            for ours, theirs in (("first", "conv1"), ("second", "conv2"))
            for piece, name in (("spatial", "0.0"), ("mid_norm", "0.1"), ("temporal", "0.3"), ("norm", "1"))
        },
    ),
)


def _names(model: nn.Module) -> dict[str, str]:
    return all_renamed(model, RULES, first_stage=1) if isinstance(model, R2Plus1DNet) else {}


TORCHVISION_VIDEO = Layout("torchvision's video ResNets", _names, "fc")
