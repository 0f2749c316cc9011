"""A checkpoint in MoViNet-pytorch's naming gives the logits of the port in OpenVINO Training Extensions 2.0 to 2.2.

Of that package one file is imported; the others need a dozen more packages.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

import vov3d
from tests.peers.weights import drawn
from vov3d.checkpoint import read_checkpoint
from vov3d.models import recognise

FILE = "algo/action_classification/backbones/movinet.py"


@pytest.fixture(scope="module")
def port() -> ModuleType:
    otx = importlib.util.find_spec("otx")
    paths = [Path(folder) / FILE for folder in otx.submodule_search_locations or []] if otx else []
    if not any(path.exists() for path in paths):
        pytest.skip("needs otx 2.0 to 2.2")
    spec = importlib.util.spec_from_file_location("otx_movinet", paths[0])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Theirs(nn.Module):
    """Backbone and head as OpenVINO joins them, under the names that the port without OpenVINO has."""

    def __init__(self, port: ModuleType) -> None:
        super().__init__()
        backbone = port.MoViNetBackbone()
        self.conv1, self.blocks, self.conv7 = backbone.conv1, backbone.blocks, backbone.conv7
        pointwise = {"kernel_size": (1, 1, 1), "tf_like": True, "conv_type": "3d", "bias": True}
        hidden, last = port.ConvBlock3D(480, 2048, **pointwise), port.ConvBlock3D(2048, 6, **pointwise)
        self.classifier = nn.Sequential(hidden, nn.SiLU(), nn.Dropout(0.2), last)

    def forward(self, clips: Tensor) -> Tensor:
        features: Tensor = self.conv7(self.blocks(self.conv1(clips))).mean(dim=(2, 3, 4), keepdim=True)
        return self.classifier(features).flatten(1)


def test_a_file_of_the_port_gives_the_same_logits(port: ModuleType, tmp_path: Path) -> None:
    theirs, file = drawn(Theirs(port)), tmp_path / "movinet_a0.pyth"
    for name, parameter in theirs.named_parameters():
        if name.endswith("alpha"):
            nn.init.constant_(parameter, 0.7)
    torch.save(theirs.state_dict(), file)
    assert recognise(read_checkpoint(file), str(file)) == "movinet_a0"
    ours = vov3d.create_model("movinet_a0", pretrained=file).eval()
    for shape in ((2, 3, 4, 64, 64), (1, 3, 1, 33, 33), (1, 3, 7, 50, 50)):  # the port pools squares only
        clips = torch.randn(shape)
        with torch.no_grad():
            torch.testing.assert_close(ours(clips), theirs(clips), rtol=1e-4, atol=1e-4)
