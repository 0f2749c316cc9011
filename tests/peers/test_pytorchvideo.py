"""PyTorchVideo's networks, with its weights, give our logits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import vov3d
from tests.peers.weights import drawn
from tests.torchvision_beside_cpu_torch import import_torchvision


@pytest.fixture(scope="module", params=[("x3d_m", 2.2), ("x3d_l", 5.0)], ids=["x3d_m", "x3d_l"])
def theirs(request: pytest.FixtureRequest) -> tuple[str, nn.Module]:
    """Our name of a network of theirs, and the network."""
    import_torchvision()
    x3d = pytest.importorskip("pytorchvideo.models.x3d", reason="pytorchvideo is not installed")
    name, depth_factor = request.param
    network: nn.Module = x3d.create_x3d(
        model_num_class=11, input_clip_length=16, input_crop_size=224, depth_factor=depth_factor, head_activation=None
    )
    network.blocks[5].pool.pool = nn.AdaptiveAvgPool3d(1)  # type: ignore[index,union-attr]  # of any clip
    return name, drawn(network)


@pytest.fixture(scope="module")
def file(theirs: tuple[str, nn.Module], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its weights as PyTorchVideo gives them away."""
    name, network = theirs
    path = tmp_path_factory.mktemp("pytorchvideo") / f"{name}.pyth"
    torch.save({"model_state": network.state_dict()}, path)
    return path


@pytest.mark.parametrize("shape", [(2, 3, 1, 64, 64), (1, 3, 5, 75, 61)], ids=str)
def test_its_weights_give_its_logits(theirs: tuple[str, nn.Module], file: Path, shape: tuple[int, ...]) -> None:
    """X3D-XS, S and M are one network at other clips."""
    name, network = theirs
    clips = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = network(clips)
        assert float(expected.std()) > 0.1
        for one in ("x3d_xs", "x3d_s", "x3d_m") if name == "x3d_m" else (name,):
            ours = vov3d.create_model(one, pretrained=file).eval()
            torch.testing.assert_close(ours(clips), expected, rtol=1e-4, atol=1e-4)
