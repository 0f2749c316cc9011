"""The names of MMAction2's 3D ResNets: CSN, whose files are its authors' weights, and non-local I3D."""

from __future__ import annotations

from torch import nn

from vov3d.models.csn import CSN
from vov3d.models.i3d_nl import NonLocalI3D
from vov3d.models.published.layout import Layout, Rule, all_renamed
from vov3d.models.published.temporal_shift import MMACTION2_RULES

_BLOCK = "backbone.layer{stage}.{block}."
_UNIT = {"conv": "conv", "norm": "bn"}
_DEPTHWISE = {"depthwise": "conv", "norm": "bn"}


def _csn_rules(depthwise: str) -> tuple[Rule, ...]:
    return (
        Rule(
            r"stages\.(\d)\.(\d+)\.branch\.middle\.interact\.(.+)", _BLOCK + "conv2.0.", {"conv": "conv", "norm": "bn"}
        ),
        Rule(r"stages\.(\d)\.(\d+)\.branch\.middle\.(.+)", f"{_BLOCK}{depthwise}.", _DEPTHWISE),
        *MMACTION2_RULES,
    )


IR_RULES, IP_RULES = _csn_rules("conv2.0"), _csn_rules("conv2.1")
NON_LOCAL_RULES = (
    Rule(
        r"stages\.(\d)\.(\d+)\.non_local\.(.+)",
        _BLOCK + "non_local_block.",
        {
            "theta": "theta.conv",
            "phi": "phi.0.conv",
            "g": "g.0.conv",
            "project.conv": "conv_out.conv",
            "project.norm": "conv_out.bn",
        },
    ),
    *MMACTION2_RULES,
)


def _names(model: nn.Module) -> dict[str, str]:
    if isinstance(model, CSN):
        preserves_interactions = any("interact" in name for name in model.state_dict())
        return all_renamed(model, IP_RULES if preserves_interactions else IR_RULES, first_stage=1)
    return all_renamed(model, NON_LOCAL_RULES, first_stage=1) if isinstance(model, NonLocalI3D) else {}


MMACTION2_RESNET3D = Layout("MMAction2's 3D ResNets", _names, "cls_head.fc_cls")
