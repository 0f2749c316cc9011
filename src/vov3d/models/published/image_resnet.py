"""The names of timm's and torchvision's 2D ResNets, which are the same; what trunks over time are inflated from."""

from __future__ import annotations

from torch import nn

from vov3d.models.i3d_nl import NonLocalI3D
from vov3d.models.published.layout import Backbone, Layout, Rule, all_renamed, renamed
from vov3d.models.region_graph import RegionGraphI3D
from vov3d.models.stm import STM
from vov3d.models.tpn import TPN
from vov3d.models.tsm import TSM
from vov3d.models.tsn import TSN

RULES = (
    Rule(r"stem\.(.+)", "", {"conv": "conv1", "norm": "bn1"}),
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
            "reduce.conv": "conv1",
            "reduce.norm": "bn1",
            "middle.conv": "conv2",
            "middle.norm": "bn2",
            "middle.cstm.conv": "conv2",
            "middle.cstm.norm": "bn2",
            "project.conv": "conv3",
            "project.norm": "bn3",
        },
    ),
)


def _names(model: nn.Module) -> dict[str, str]:
    return all_renamed(model, RULES, first_stage=1) if isinstance(model, TSN) else {}


def _trunk_name(key: str) -> str | None:
    return None if key.startswith("head.") else renamed(key, RULES, first_stage=1)


IMAGE_RESNET = Layout("timm and torchvision", _names, "fc")
RESNET = Backbone(
    "a ResNet of timm or torchvision",
    (TSN, TSM, STM, TPN, NonLocalI3D, RegionGraphI3D),
    _trunk_name,
    skipped=("fc.",),
)
