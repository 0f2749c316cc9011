"""The names of PyTorchVideo's SlowFast (``create_slowfast``) and CSN (``create_csn``); ``.pyth`` files, as its X3D."""

from __future__ import annotations

from torch import nn

from vov3d.models.csn import CSN
from vov3d.models.published.layout import Layout, Rule, all_renamed
from vov3d.models.slowfast import SlowFast

_UNIT = {"conv": "conv", "norm": "norm"}
_SHORTCUT = {"conv": "branch1_conv", "norm": "branch1_norm"}
_BRANCH = {
    "reduce.conv": "conv_a",
    "reduce.norm": "norm_a",
    "middle.conv": "conv_b",  # SlowFast's
    "middle.depthwise": "conv_b",  # CSN's
    "middle.norm": "norm_b",
    "project.conv": "conv_c",
    "project.norm": "norm_c",
}
_LATERAL = {"conv": "conv_fast_to_slow", "norm": "norm"}


def _trunk(ours: str, theirs: str) -> tuple[Rule, ...]:
    """Return the rules of a stem and four stages.

    Args:
        ours: our name of the pathway, with a dot; a regular expression.
        theirs: what stands between their stage and what belongs to the pathway.
    """
    block = "blocks.{stage}." + theirs + "res_blocks.{block}."
    return (
        Rule(rf"stem\.{ours}(conv|norm)", f"blocks.0.{theirs}", _UNIT),
        Rule(rf"stages\.(\d)\.{ours}(\d+)\.shortcut\.(.+)", block, _SHORTCUT),
        Rule(rf"stages\.(\d)\.{ours}(\d+)\.branch\.(.+)", block + "branch2.", _BRANCH),
    )


SLOWFAST_RULES = (
    *_trunk(r"slow\.", "multipathway_blocks.0."),
    *_trunk(r"fast\.", "multipathway_blocks.1."),
    Rule(r"stem\.lateral\.bring\.(.+)", "blocks.0.multipathway_fusion.", _LATERAL),
    Rule(r"stages\.(\d)\.lateral\.bring\.(.+)", "blocks.{stage}.multipathway_fusion.", _LATERAL),
    Rule(r"head\.(.+)", "blocks.6.", {"classifier": "proj"}),
)
CSN_RULES = (*_trunk("", ""), Rule(r"head\.(.+)", "blocks.5.", {"classifier": "proj"}))


def _of_slowfast(model: nn.Module) -> dict[str, str]:
    return all_renamed(model, SLOWFAST_RULES, first_stage=1) if isinstance(model, SlowFast) else {}


def _of_csn(model: nn.Module) -> dict[str, str]:
    return all_renamed(model, CSN_RULES, first_stage=1) if isinstance(model, CSN) else {}


PYTORCHVIDEO_SLOWFAST = Layout("PyTorchVideo's SlowFast", _of_slowfast, "blocks.6.proj")
PYTORCHVIDEO_CSN = Layout("PyTorchVideo's CSN", _of_csn, "blocks.5.proj")
