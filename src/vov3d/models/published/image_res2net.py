"""The names of timm's 2D Res2Nets, which are those of their authors; what TEA starts from."""

from __future__ import annotations

from vov3d.models.published.image_resnet import RULES as RESNET_RULES
from vov3d.models.published.layout import Backbone, Rule, renamed
from vov3d.models.tea import TEA

RULES = (
    *RESNET_RULES,
    Rule(
        r"stages\.(\d)\.(\d+)\.branch\.aggregate\.spatial\.(.+)",
        "layer{stage}.{block}.",
        {
            f"{unit}.{ours}": f"{theirs}.{unit}"
            for unit in range(3)
            for ours, theirs in (("conv", "convs"), ("norm", "bns"))
        },
    ),
)


def _trunk_name(key: str) -> str | None:
    return None if key.startswith("head.") else renamed(key, RULES, first_stage=1)


RES2NET = Backbone("timm's res2net50_26w_4s", (TEA,), _trunk_name, skipped=("fc.",))
