"""The names of mmaction2's TSM + TPN, whose auxiliary head is left out."""

from __future__ import annotations

from torch import nn

from vov3d.models.published.layout import Layout, Rule, all_renamed
from vov3d.models.published.temporal_shift import MMACTION2_RULES, wrapped
from vov3d.models.tpn import TPN

_FUSION = {"low": "downsamples.0.conv", "high": "downsamples.1.conv", "fuse": "fusion_conv"}
_MODULES = {
    "space": "spatial_modulation.spatial_modulation.0.0",
    "project": "pyramid_fusion",
    **{f"fuse_down.{ours}": f"level_fusion_1.{theirs}" for ours, theirs in _FUSION.items()},
    **{f"fuse_up.{ours}": f"level_fusion_2.{theirs}" for ours, theirs in _FUSION.items()},
}
RULES = (
    *MMACTION2_RULES,
    Rule(
        r"stages\.4\.(.+)",
        "neck.",
        {
            **{f"{ours}.conv": f"{theirs}.conv" for ours, theirs in _MODULES.items()},
            **{f"{ours}.norm": f"{theirs}.bn" for ours, theirs in _MODULES.items()},
            "low_time.conv": "temporal_modulation_ops.0.conv.conv",
            "high_time.conv": "temporal_modulation_ops.1.conv.conv",
            "up": "downsample_ops.0.conv.conv",
        },
    ),
)


def _names(model: nn.Module) -> dict[str, str]:
    return wrapped(model, all_renamed(model, RULES, first_stage=1)) if isinstance(model, TPN) else {}


MMACTION2_TPN = Layout("mmaction2", _names, "cls_head.fc_cls", left_out=("neck.aux_head.",))
