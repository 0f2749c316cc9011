"""timm's ResNets: TSN is their mean over frames, TSM starts from them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import vov3d
from tests.peers.weights import drawn
from tests.torchvision_beside_cpu_torch import import_torchvision
from vov3d.convert import convert
from vov3d.info import info


@pytest.fixture(scope="module")
def resnet50() -> nn.Module:
    import_torchvision()
    timm = pytest.importorskip("timm", reason="timm is not installed")
    network: nn.Module = timm.create_model("resnet50", num_classes=11)
    return drawn(network)


@pytest.fixture(scope="module")
def file(resnet50: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its weights as timm gives them away."""
    path = tmp_path_factory.mktemp("timm") / "model.safetensors"
    save_file(resnet50.state_dict(), path)
    return path


@pytest.mark.parametrize("shape", [(2, 3, 1, 64, 64), (1, 3, 3, 75, 61)], ids=str)
def test_tsn_is_the_mean_over_frames(resnet50: nn.Module, file: Path, shape: tuple[int, ...]) -> None:
    ours = vov3d.create_model("tsn_r50", pretrained=file).eval()
    clips = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = torch.stack([resnet50(frame) for frame in clips.unbind(2)]).mean(0)
        assert float(expected.std()) > 0.1
        torch.testing.assert_close(ours(clips), expected, rtol=1e-4, atol=1e-4)


def test_its_file_is_recognised(file: Path, tmp_path: Path) -> None:
    report = convert(file, tmp_path / "ours.safetensors")
    assert (report.model, report.direction, report.num_tensors) == ("tsn_r50", "published to vov3d", 320)
    assert ("layer1.0.downsample.1.bias", "stages.0.0.shortcut.norm.bias") in report.mapped
    assert info(file, frames=8, measure=False).parameters == info("tsn_r50", num_classes=11, measure=False).parameters


def test_tsm_starts_from_it(resnet50: nn.Module, file: Path) -> None:
    """A frame that stands still is seen as timm sees it, where no shift brings the zeros of the ends."""
    tsm = vov3d.create_model("tsm_r50", num_classes=0, backbone_pretrained=file).eval()
    frame = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected: Tensor = resnet50.forward_features(frame)  # type: ignore[operator]
        seen = tsm.forward_features(frame.unsqueeze(2).expand(-1, -1, 33, -1, -1))
    torch.testing.assert_close(seen[:, :, 16], expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(seen[:, :, 0], expected, atol=1e-2)
