"""The names of Inception-v1: those of I3D's port to PyTorch, and of torchvision's GoogLeNet, which it is inflated from.

Every shape of that GoogLeNet fits: its third branches have 3x3 kernels, as I3D's (its paper says 5x5), and its
convolutions have norms. The published weights of both take pixels between -1 and 1.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from vov3d.models.i3d import I3D, STAGE_WIDTHS
from vov3d.models.published.layout import Backbone, Layout, Rule, all_renamed, renamed


def _rules(stem: Mapping[int, str], module: str, letters: str, branches: Mapping[str, str], conv: str) -> list[Rule]:
    """Return the rules of a naming of Inception-v1.

    Args:
        stem: our number of each convolution of the stem -> its name.
        module: what comes before stage and letter of an Inception module.
        letters: of the modules of a stage.
        branches: our name of each convolution of a module -> its name.
        conv: name of the convolution beside its norm, ``bn``.
    """
    unit = {"conv": conv, "norm": "bn"}
    pieces = {f"{ours}.{part}": f"{theirs}.{name}" for ours, theirs in branches.items() for part, name in unit.items()}
    in_stem = [Rule(rf"stem\.{index}\.(.+)", f"{name}.", unit) for index, name in stem.items()]
    in_modules = [
        Rule(rf"stages\.({stage})\.({block})\.(.+)", f"{module}{stage + 3}{letters[block - 1]}.", pieces)
        for stage, widths in enumerate(STAGE_WIDTHS)
        for block in range(1, len(widths) + 1)
    ]
    return in_stem + in_modules


PORT_RULES = (
    *_rules(
        {0: "Conv3d_1a_7x7", 2: "Conv3d_2b_1x1", 3: "Conv3d_2c_3x3"},
        "Mixed_",
        "bcdef",
        {"first": "b0", "second.0": "b1a", "second.1": "b1b", "third.0": "b2a", "third.1": "b2b", "fourth.1": "b3b"},
        "conv3d",
    ),
    Rule(r"head\.(.+)", "logits.", {"classifier": "conv3d"}),
)
GOOGLENET_RULES = _rules(
    {0: "conv1", 2: "conv2", 3: "conv3"},
    "inception",
    "abcde",
    {
        "first": "branch1",
        **{"second.0": "branch2.0", "second.1": "branch2.1"},
        **{"third.0": "branch3.0", "third.1": "branch3.1"},
        "fourth.1": "branch4.1",
    },
    "conv",
)


def _names(model: nn.Module) -> dict[str, str]:
    return all_renamed(model, PORT_RULES, first_stage=3) if isinstance(model, I3D) else {}


def _trunk_name(key: str) -> str | None:
    return renamed(key, GOOGLENET_RULES, first_stage=3)


I3D_PORT = Layout("I3D's port to PyTorch", _names, "logits.conv3d")
GOOGLENET = Backbone("torchvision's GoogLeNet", (I3D,), _trunk_name, skipped=("fc.", "aux1.", "aux2."))
