"""timm's ResNets: TSN is their mean over frames, and all that have their trunk start from them."""

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
from vov3d.layers import start_as_shift
from vov3d.models import ClipClassifier
from vov3d.models.stm import SpatiotemporalMotion


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


def trunk(model: ClipClassifier, clips: Tensor) -> Tensor:
    """What a trunk of ours makes of clips, before a pyramid or a graph of regions."""
    stages = list(model.stages)[:4]
    features = model.stem(clips)
    for stage in stages:
        features = stage(features)
    return features[1] if isinstance(features, tuple) else features


@pytest.mark.parametrize(
    ("name", "images", "num_frames"),
    [
        ("tsm_r50", "resnet50", 33),
        ("tsm_r101", "resnet101", 67),
        ("tsm_tpn_r50", "resnet50", 33),
        ("stm_r50", "resnet50", 2),
        ("i3d_nl_r50", "resnet50", 160),
        ("nl_i3d_gcn", "resnet50", 42),
    ],
)
def test_it_starts_networks_over_time(name: str, images: str, num_frames: int, tmp_path: Path) -> None:
    """A frame that stands still is seen as timm sees it, where no shift and no kernel brings the zeros of the ends."""
    import_torchvision()
    timm = pytest.importorskip("timm", reason="timm is not installed")
    network: nn.Module = drawn(timm.create_model(images, pretrained=False, num_classes=11))
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    model = vov3d.create_model(name, num_classes=5, backbone_pretrained=tmp_path / "model.safetensors").eval()
    if name == "nl_i3d_gcn":  # its last stage does not stride
        first = network.layer4[0]  # type: ignore[index]
        first.conv2.stride = first.downsample[0].stride = (1, 1)  # type: ignore[union-attr,index]
    for module in model.modules():
        if isinstance(module, SpatiotemporalMotion):  # without a shift and without motion
            start_as_shift(module.cstm.temporal, (0,))
            nn.init.zeros_(module.cmm.restore.norm.weight)
    frame = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected: Tensor = network.forward_features(frame)  # type: ignore[operator]
        seen = trunk(model, frame.unsqueeze(2).expand(-1, -1, num_frames, -1, -1))
    assert float(expected.std()) > 0.1
    torch.testing.assert_close(seen[:, :, seen.shape[2] // 2], expected, rtol=1e-4, atol=1e-4)
    assert torch.allclose(seen[:, :, 0], expected, atol=1e-2) == (name == "stm_r50")
