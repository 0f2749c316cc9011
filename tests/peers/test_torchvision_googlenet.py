"""I3D inflated from torchvision's GoogLeNet."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import vov3d
from tests.peers.weights import drawn
from tests.torchvision_beside_cpu_torch import import_torchvision
from vov3d.errors import CheckpointError


@pytest.fixture(scope="module")
def googlenet() -> nn.Module:
    """The network of images, with statistics and weights of its own in every norm."""
    import_torchvision()
    from torchvision.models import googlenet as build

    network: nn.Module = drawn(build(init_weights=False))
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.data *= 2**0.5  # what each ReLU takes, so that features depend on the image
    return network


def test_on_a_clip_that_stands_still_it_is_the_network_of_images(googlenet: nn.Module, tmp_path: Path) -> None:
    """Frame 8 of 16 sees no padding in time; of 63 pixels both networks pad the same sides."""
    torch.save(googlenet.state_dict(), tmp_path / "googlenet.pth")
    ours = vov3d.create_model("i3d", num_classes=5, backbone_pretrained=tmp_path / "googlenet.pth").eval()
    seen: list[Tensor] = []
    googlenet.inception5b.register_forward_hook(lambda _module, _inputs, features: seen.append(features))
    image = torch.randn(1, 3, 63, 63, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        googlenet(image)
        features = ours.forward_features(image[:, :, None].expand(-1, -1, 128, -1, -1))
    assert features.shape == (1, 1024, 16, 2, 2)
    assert float(seen[0].std()) > 0.1
    torch.testing.assert_close(features[:, :, 8], seen[0], rtol=1e-4, atol=1e-4)


def test_a_wrong_shape_is_named(googlenet: nn.Module, tmp_path: Path) -> None:
    wrong = "inception3a.branch3.1.conv.weight"
    torch.save(googlenet.state_dict() | {wrong: torch.zeros(32, 16, 5, 5)}, tmp_path / "as_in_its_paper.pth")
    with pytest.raises(CheckpointError, match=rf"GoogLeNet: it differs in shape 1 of \d+ entries, first {wrong} is"):
        vov3d.create_model("i3d", backbone_pretrained=tmp_path / "as_in_its_paper.pth")
