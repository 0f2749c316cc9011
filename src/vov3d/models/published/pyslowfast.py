"""The names of VoV3D's own checkpoints and of PySlowFast's X3D; ``.pyth`` files of ``{"model_state": ...}``."""

from __future__ import annotations

from torch import nn

from vov3d.models.published.layout import Layout, Rule, all_renamed, renamed

_BLOCK = "s{stage}.pathway0_res{block}."
_MIDDLE = {"norm": "b_bn", "gate.fc1": "se.fc1", "gate.fc2": "se.fc2"}

RULES = (
    Rule(r"stem\.(.+)", "s1.pathway0_stem.", {"spatial": "conv_xy", "temporal": "conv", "norm": "bn"}),
    Rule(
        r"head\.(.+)",
        "head.",
        {"expand.conv": "conv_5", "expand.norm": "conv_5_bn", "hidden": "lin_5", "classifier": "projection"},
    ),
    Rule(r"stages\.(\d)\.(\d+)\.shortcut\.(.+)", _BLOCK, {"conv": "branch1", "norm": "branch1_bn"}),
    Rule(
        r"stages\.(\d)\.(\d+)\.branch\.units\.(\d)\.branch\.(.+)",
        _BLOCK + "branch2.layers.{unit}.",
        {
            **_MIDDLE,
            "expand.conv": "a.0",
            "expand.norm": "a.1",
            "operator.spatial": "b1",
            "operator.temporal": "b2",
            "project.conv": "c.0",
            "project.norm": "c.1",
        },
    ),
    Rule(r"stages\.(\d)\.(\d+)\.branch\.aggregate\.(.+)", _BLOCK + "branch2.", {"conv": "c", "norm": "c_bn"}),
    Rule(
        r"stages\.(\d)\.(\d+)\.branch\.(.+)",
        _BLOCK + "branch2.",
        {
            **_MIDDLE,
            "expand.conv": "a",
            "expand.norm": "a_bn",
            "operator": "b",
            "project.conv": "c",
            "project.norm": "c_bn",
        },
    ),
)


def published_name(key: str) -> str | None:
    """Return the name that VoV3D's and X3D's published checkpoints have for one of our keys, or ``None``."""
    return renamed(key, RULES, first_stage=2)


def _names(model: nn.Module) -> dict[str, str]:
    return all_renamed(model, RULES, first_stage=2)


PYSLOWFAST = Layout("VoV3D's authors and PySlowFast", _names, "head.projection", written=True)
