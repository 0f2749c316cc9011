"""PyTorchVideo's networks, with its weights, give our logits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import vov3d
from tests.peers.weights import drawn
from tests.torchvision_beside_cpu_torch import import_torchvision


@pytest.fixture(scope="module")
def x3d_m() -> nn.Module:
    import_torchvision()
    x3d = pytest.importorskip("pytorchvideo.models.x3d", reason="pytorchvideo is not installed")
    network: nn.Module = x3d.create_x3d(
        model_num_class=11, input_clip_length=16, input_crop_size=224, depth_factor=2.2, head_activation=None
    )
    network.blocks[5].pool.pool = nn.AdaptiveAvgPool3d(1)  # type: ignore[index,union-attr]  # of any clip
    return drawn(network)


@pytest.fixture(scope="module")
def file(x3d_m: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its weights as PyTorchVideo gives them away."""
    path = tmp_path_factory.mktemp("pytorchvideo") / "x3d_m.pyth"
    torch.save({"model_state": x3d_m.state_dict()}, path)
    return path


@pytest.mark.parametrize("shape", [(2, 3, 1, 64, 64), (1, 3, 5, 75, 61)], ids=str)
def test_x3d_m(x3d_m: nn.Module, file: Path, shape: tuple[int, ...]) -> None:
    ours = vov3d.create_model("x3d_m", pretrained=file).eval()
    clips = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = x3d_m(clips)
        assert float(expected.std()) > 0.1
        torch.testing.assert_close(ours(clips), expected, rtol=1e-4, atol=1e-4)
