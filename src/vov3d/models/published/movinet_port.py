"""The names of MoViNet-pytorch, the port of the released weights that others build on (OpenVINO's, Hugging Face's)."""

from __future__ import annotations

from torch import nn

from vov3d.models.movinet import MoViNet
from vov3d.models.movinet_stream import MoViNetStream
from vov3d.models.published.layout import Layout, Rule, all_renamed


def _rules(convolution: str) -> tuple[Rule, ...]:
    parts = {
        "expand": "expand.conv_1",
        "operator": "deep.conv_1",
        "operator.spatial": "deep.conv_1",
        "operator.temporal": "deep.conv_2",
        "project": "project.conv_1",
        "shortcut.project": "res.1.conv_1",
    }
    pieces = {
        f"{ours}.{piece}": f"{theirs}.{name}"
        for ours, theirs in parts.items()
        for piece, name in (("conv", convolution), ("norm", "norm"))
    }
    pieces |= {f"gate.{layer}": f"se.{layer}.conv_1.{convolution}" for layer in ("fc1", "fc2")}
    ends = {"conv": f"conv_1.{convolution}", "norm": "conv_1.norm"}
    last = {"hidden": f"0.conv_1.{convolution}", "classifier": f"3.conv_1.{convolution}"}
    return (
        Rule(r"stem\.(.+)", "conv1.", ends),
        Rule(r"stages\.(\d)\.(\d+)\.(.+)", "blocks.b{stage}_l{block}.", pieces | {"scale": "alpha"}),
        Rule(r"head\.project\.(.+)", "conv7.", ends),
        Rule(r"head\.(.+)", "classifier.", last),
    )


def _layout(title: str, network: type[nn.Module], convolution: str) -> Layout:
    def names(model: nn.Module) -> dict[str, str]:
        found = all_renamed(model, _rules(convolution), first_stage=0) if type(model) is network else {}
        return {ours: theirs.replace(".alpha.weight", ".alpha") for ours, theirs in found.items()}

    return Layout(title, names, f"classifier.3.conv_1.{convolution}")


MOVINET_PORT = _layout("MoViNet-pytorch", MoViNet, "conv3d")
MOVINET_STREAM_PORT = _layout("MoViNet-pytorch's streams", MoViNetStream, "conv2d")
