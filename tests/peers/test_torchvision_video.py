"""R(2+1)D against torchvision's; depth 34 is put together of its parts, as the repositories that have it do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import vov3d
from tests.torchvision_beside_cpu_torch import import_torchvision
from vov3d.checkpoint import read_checkpoint
from vov3d.models import R2Plus1DNet, recognise
from vov3d.models.published.torchvision_video import TORCHVISION_VIDEO

SHAPES = [(2, 3, 1, 32, 32), (1, 3, 8, 64, 64), (1, 3, 7, 49, 61)]


def with_other_statistics(network: nn.Module) -> nn.Module:
    """Give every norm statistics and weights of its own."""
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm3d):
            nn.init.normal_(norm.running_mean, std=0.1)  # type: ignore[arg-type]
            nn.init.uniform_(norm.running_var, 0.5, 1.5)  # type: ignore[arg-type]
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, std=0.1)
    return network.eval()


def their_18() -> nn.Module:
    import_torchvision()
    from torchvision.models.video import r2plus1d_18

    torch.manual_seed(0)
    return with_other_statistics(r2plus1d_18(num_classes=5))


def theirs_by_the_rule() -> nn.Module:
    """One block a stage, each second convolution with M of its own and norms with an eps of 1e-3, as in depth 34."""
    import_torchvision()
    from torchvision.models.video.resnet import BasicBlock, Conv2Plus1D, R2Plus1dStem, VideoResNet

    torch.manual_seed(0)
    network = VideoResNet(BasicBlock, [Conv2Plus1D] * 4, [1, 1, 1, 1], R2Plus1dStem, num_classes=5)
    network.layer2[0].conv2[0] = Conv2Plus1D(128, 128, 288)
    network.layer3[0].conv2[0] = Conv2Plus1D(256, 256, 576)
    network.layer4[0].conv2[0] = Conv2Plus1D(512, 512, 1152)
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm3d):
            norm.eps = 1e-3
    return with_other_statistics(network)


def test_a_file_of_torchvision_gives_the_same_logits(tmp_path: Path) -> None:
    theirs, file = their_18(), tmp_path / "r2plus1d_18.pth"
    torch.save(theirs.state_dict(), file)
    assert recognise(read_checkpoint(file), str(file)) == "r2plus1d_18"
    ours = vov3d.create_model("r2plus1d_18", pretrained=file).eval()
    for shape in SHAPES:
        clips = torch.randn(shape)
        with torch.no_grad():
            torch.testing.assert_close(ours(clips), theirs(clips), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_rule_of_depth_34(shape: tuple[int, ...]) -> None:
    theirs, ours = theirs_by_the_rule(), R2Plus1DNet((1, 1, 1, 1), num_classes=5).eval()
    state = theirs.state_dict()
    names = TORCHVISION_VIDEO.names(ours)
    assert set(names.values()) == set(state)
    ours.load_state_dict({key: state[name] for key, name in names.items()})
    clips = torch.randn(shape)
    with torch.no_grad():
        torch.testing.assert_close(ours(clips), theirs(clips), rtol=1e-4, atol=1e-4)
