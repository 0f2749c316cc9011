"""R(2+1)D against torchvision's; depth 34 is put together of its parts, as the repositories that have it do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import vov3d
from tests.peers.weights import drawn
from tests.torchvision_beside_cpu_torch import import_torchvision
from vov3d.convert import convert
from vov3d.models import R2Plus1DNet
from vov3d.models.published.torchvision_video import TORCHVISION_VIDEO

SHAPES = [(2, 3, 1, 32, 32), (1, 3, 8, 64, 64), (1, 3, 7, 49, 61)]


def their_18() -> nn.Module:
    import_torchvision()
    from torchvision.models.video import r2plus1d_18

    return drawn(r2plus1d_18(num_classes=5))


def theirs_by_the_rule() -> nn.Module:
    """One block a stage, each second convolution with M of its own and norms with an eps of 1e-3, as in depth 34."""
    import_torchvision()
    from torchvision.models.video.resnet import BasicBlock, Conv2Plus1D, R2Plus1dStem, VideoResNet

    network = VideoResNet(BasicBlock, [Conv2Plus1D] * 4, [1, 1, 1, 1], R2Plus1dStem, num_classes=5)
    network.layer2[0].conv2[0] = Conv2Plus1D(128, 128, 288)
    network.layer3[0].conv2[0] = Conv2Plus1D(256, 256, 576)
    network.layer4[0].conv2[0] = Conv2Plus1D(512, 512, 1152)
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm3d):
            norm.eps = 1e-3
    return drawn(network)


def assert_same_logits(ours: nn.Module, theirs: nn.Module, shape: tuple[int, ...]) -> None:
    clips = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = theirs(clips)
        assert float(expected.std()) > 0.1
        torch.testing.assert_close(ours(clips), expected, rtol=1e-4, atol=1e-4)


def test_a_file_of_torchvision_gives_the_same_logits(tmp_path: Path) -> None:
    theirs, file = their_18(), tmp_path / "r2plus1d_18.pth"
    torch.save(theirs.state_dict(), file)
    report = convert(file, tmp_path / "ours.safetensors")
    assert (report.model, report.num_tensors) == ("r2plus1d_18", len(theirs.state_dict()))
    ours = vov3d.create_model("r2plus1d_18", pretrained=report.destination).eval()
    for shape in SHAPES:
        assert_same_logits(ours, theirs, shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_rule_of_depth_34(shape: tuple[int, ...]) -> None:
    theirs, ours = theirs_by_the_rule(), R2Plus1DNet((1, 1, 1, 1), num_classes=5).eval()
    state = theirs.state_dict()
    names = TORCHVISION_VIDEO.names(ours)
    assert set(names.values()) == set(state)
    ours.load_state_dict({key: state[name] for key, name in names.items()})
    assert_same_logits(ours, theirs, shape)
