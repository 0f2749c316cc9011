"""I3D against the port to PyTorch that the package cd-fvd holds."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

import vov3d
from tests.peers.weights import drawn
from vov3d.convert import convert


def their_module() -> ModuleType:
    """The one module of the package that is needed: its others want weights from elsewhere."""
    found = importlib.util.find_spec("cdfvd")
    if found is None or found.origin is None:
        pytest.skip("cd-fvd is not installed")
    file = Path(found.origin).parent / "third_party" / "i3d" / "pytorch_i3d.py"
    spec = importlib.util.spec_from_file_location("pytorch_i3d", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def theirs() -> nn.Module:
    network: nn.Module = drawn(their_module().InceptionI3d(5))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.eps = 1e-3  # as the published weights were trained; the package has torch's
        elif isinstance(module, nn.Conv3d):
            module.weight.data *= 2**0.5  # what each ReLU takes, so that logits depend on the clip
    return network


def test_a_file_of_the_port_gives_the_same_logits(tmp_path: Path) -> None:
    peer, file = theirs(), tmp_path / "rgb.pt"
    torch.save(peer.state_dict(), file)
    report = convert(file, tmp_path / "ours.safetensors")
    assert (report.model, report.num_tensors) == ("i3d", len(peer.state_dict()))
    ours = vov3d.create_model("i3d", pretrained=report.destination).eval()
    for num_frames, height, width in ((1, 32, 32), (9, 50, 77), (17, 63, 95), (24, 64, 64)):
        clips = torch.randn(1, 3, num_frames, height, width, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            cells = ours.forward_features(clips).shape[2:]
            peer.avg_pool = nn.AvgPool3d((min(2, cells[0]), *cells[1:]), stride=1)  # 2x7x7 wants a clip of 224 pixels
            expected = peer(clips)
            assert float(expected.std()) > 0.1
            torch.testing.assert_close(ours(clips), expected, rtol=1e-4, atol=1e-4)
