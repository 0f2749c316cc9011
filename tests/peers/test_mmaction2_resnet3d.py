"""MMAction2's CSN and non-local I3D, with their weights, give our logits.

In float64: what is drawn makes features of 1000, and a softmax of such products as good as picks one position.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import vov3d
from tests.peers.mmaction2 import mmaction2_network
from tests.peers.weights import drawn
from tests.torchvision_beside_cpu_torch import import_torchvision
from vov3d.checkpoint import read_checkpoint
from vov3d.models import recognise

NON_LOCAL = {
    "type": "ResNet3d",
    "depth": 50,
    "conv1_kernel": (5, 7, 7),
    "conv1_stride_t": 2,
    "pool1_stride_t": 2,
    "inflate": ((1, 1, 1), (1, 0, 1, 0), (1, 0, 1, 0, 1, 0), (0, 1, 0)),
    "non_local": ((0, 0, 0), (0, 1, 0, 1), (0, 1, 0, 1, 0, 1), (0, 0, 0)),
    "non_local_cfg": {
        "sub_sample": True,
        "use_scale": False,
        "norm_cfg": {"type": "BN3d", "requires_grad": True},
        "mode": "embedded_gaussian",
    },
}
CSN = {"type": "ResNet3dCSN", "depth": 152, "with_pool2": False}
BACKBONES = {
    "ip_csn_152": CSN | {"bottleneck_mode": "ip"},
    "ir_csn_152": CSN | {"bottleneck_mode": "ir"},
    "i3d_nl_r50": NON_LOCAL,
}


@pytest.fixture(scope="module", params=BACKBONES)
def name(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture(scope="module")
def theirs(name: str) -> nn.Module:
    import_torchvision()
    backbone = {**BACKBONES[name], "pretrained": None, "pretrained2d": False}
    head = {"type": "I3DHead", "num_classes": 11, "in_channels": 2048, "spatial_type": "avg"}
    return drawn(mmaction2_network({"type": "Recognizer3D", "backbone": backbone, "cls_head": head}))


@pytest.fixture(scope="module")
def file(theirs: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mmaction2") / "theirs.pth"
    torch.save({"state_dict": theirs.state_dict(), "meta": {}}, path)
    return path


@pytest.mark.parametrize("num_frames", [8, 32])
def test_its_weights_give_its_logits(name: str, theirs: nn.Module, file: Path, num_frames: int) -> None:
    assert recognise(read_checkpoint(file), str(file)) == name
    ours = vov3d.create_model(name, pretrained=file).double().eval()
    clips = torch.randn(1, 3, num_frames, 75, 61, generator=torch.Generator().manual_seed(1)).double()
    with torch.no_grad():
        expected = theirs.double().cls_head(theirs.backbone(clips))  # type: ignore[operator]
        assert float(expected.std()) > 0.1
        torch.testing.assert_close(ours(clips), expected, rtol=1e-6, atol=1e-6)
