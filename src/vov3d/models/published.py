"""Parameter names of the published checkpoints: VoV3D's own and PySlowFast's X3D.

A name is translated piece by piece, so the table below is all there is to know. Facts only: names and shapes.
"""

from __future__ import annotations

import re

from torch import nn

from vov3d.errors import CheckpointError

_STEM = {"spatial": "conv_xy", "temporal": "conv", "norm": "bn"}
_HEAD = {"expand.conv": "conv_5", "expand.norm": "conv_5_bn", "hidden": "lin_5", "classifier": "projection"}
_SHORTCUT = {"conv": "branch1", "norm": "branch1_bn"}
_D2PLUS1D = {
    "expand.conv": "a.0",
    "expand.norm": "a.1",
    "operator.spatial": "b1",
    "operator.temporal": "b2",
    "norm": "b_bn",
    "gate.fc1": "se.fc1",
    "gate.fc2": "se.fc2",
    "project.conv": "c.0",
    "project.norm": "c.1",
}
_X3D_BLOCK = {
    "expand.conv": "a",
    "expand.norm": "a_bn",
    "operator": "b",
    "norm": "b_bn",
    "gate.fc1": "se.fc1",
    "gate.fc2": "se.fc2",
    "project.conv": "c",
    "project.norm": "c_bn",
}
_AGGREGATE = {"conv": "c", "norm": "c_bn"}

_RULES: tuple[tuple[re.Pattern[str], str, dict[str, str]], ...] = (
    (re.compile(r"stem\.(.+)"), "s1.pathway0_stem.", _STEM),
    (re.compile(r"head\.(.+)"), "head.", _HEAD),
    (re.compile(r"stages\.(\d)\.(\d+)\.shortcut\.(.+)"), "s{stage}.pathway0_res{block}.", _SHORTCUT),
    (
        re.compile(r"stages\.(\d)\.(\d+)\.branch\.units\.(\d)\.branch\.(.+)"),
        "s{stage}.pathway0_res{block}.branch2.layers.{unit}.",
        _D2PLUS1D,
    ),
    (re.compile(r"stages\.(\d)\.(\d+)\.branch\.aggregate\.(.+)"), "s{stage}.pathway0_res{block}.branch2.", _AGGREGATE),
    (re.compile(r"stages\.(\d)\.(\d+)\.branch\.(.+)"), "s{stage}.pathway0_res{block}.branch2.", _X3D_BLOCK),
)


def published_name(key: str) -> str | None:
    """Return the published name of one of our state-dict keys, or ``None`` if no published network has it."""
    module, _, leaf = key.rpartition(".")
    for pattern, prefix, names in _RULES:
        match = pattern.fullmatch(module)
        if match is None or match.groups()[-1] not in names:
            continue
        *indices, piece = match.groups()
        stage, block, unit = (*map(int, indices), 0, 0, 0)[:3]
        return f"{prefix.format(stage=stage + 2, block=block, unit=unit)}{names[piece]}.{leaf}"
    return None


def published_names(model: nn.Module) -> dict[str, str]:
    """Return our name -> published name for every entry of the state dict, in order.

    Raises:
        CheckpointError: if the network has an entry that no published network has, such as another 3D operator.
    """
    names = {key: published_name(key) for key in model.state_dict()}
    unnamed = [key for key, name in names.items() if name is None]
    if unnamed:
        raise CheckpointError(f"no published network has {unnamed[0]!r} ({len(unnamed)} such entries)")
    return {key: name for key, name in names.items() if name is not None}
