"""Weights of images as the start of networks over time."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import vov3d
from vov3d.checkpoint import Checkpoint
from vov3d.errors import ArgumentError, CheckpointError
from vov3d.models import TSM, TSN, ClipClassifier
from vov3d.models.inflation import inflated, load_backbone
from vov3d.models.published.image_resnet import IMAGE_RESNET
from vov3d.models.resnet import BottleneckBranch, Place, ResNetStem, middle_convolution

TINY = (1, 1, 1, 1)


class Inflated(TSN):
    """A ResNet all of whose kernels are three frames long, the stem's five."""

    def __init__(self) -> None:
        super().__init__(TINY, self.branch, stem=ResNetStem(frames=5), num_classes=3)

    @staticmethod
    def branch(place: Place) -> BottleneckBranch:
        return BottleneckBranch(place, frames=3, middle=middle_convolution(place, (3, 3)))


def images(num_classes: int = 1000) -> dict[str, Tensor]:
    """A 2D ResNet of one block a stage as timm has it, with statistics of its own."""
    torch.manual_seed(0)
    model = TSN(TINY, num_classes=num_classes)
    state = model.state_dict()
    for name, tensor in state.items():
        if name.endswith("running_mean"):
            tensor.normal_(std=0.1)
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
    return {
        theirs: state[ours].squeeze(2) if state[ours].dim() == 5 else state[ours]
        for ours, theirs in IMAGE_RESNET.names(model).items()
    }


def started(model: ClipClassifier, tensors: dict[str, Tensor]) -> ClipClassifier:
    load_backbone(model, "tsm_r50", Checkpoint(tensors, published=True), "r50.pth")
    return model.eval()


def test_a_kernel_is_repeated_and_keeps_its_sum() -> None:
    kernel = torch.randn(4, 3, 3, 3)
    long = inflated(kernel, (4, 3, 5, 3, 3))
    assert long.shape == (4, 3, 5, 3, 3)
    assert torch.equal(long[:, :, 0], long[:, :, 4])
    torch.testing.assert_close(long.sum(2), kernel)
    assert inflated(torch.ones(4), (4,)).equal(torch.ones(4))


@pytest.mark.parametrize("build", [lambda: TSM(TINY, num_classes=3), Inflated], ids=["TSM", "3x3x3"])
def test_a_clip_that_stands_still_is_seen_as_its_frame(build: type[ClipClassifier]) -> None:
    tensors = images()
    model, frame_by_frame = started(build(), tensors), started(TSN(TINY), tensors)
    frame = torch.randn(2, 3, 1, 40, 32)
    with torch.no_grad():
        expected = frame_by_frame.forward_features(frame)
        still = model.forward_features(frame.expand(-1, -1, 23, -1, -1))
    reach = 4 if isinstance(model, TSM) else 2 + 2 * 4  # frames that the padding in time gets to
    for time in range(reach, 23 - reach):
        torch.testing.assert_close(still[:, :, time : time + 1], expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(still[:, :, :1], expected, rtol=1e-4, atol=1e-4)


def test_what_starts_fresh_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="vov3d"):
        started(TSM(TINY, num_classes=3), images())
    assert [record.message for record in caplog.records] == [
        "r50.pth: loaded 102 of the 104 tensors of the network, inflated over time",
        "r50.pth: not loaded: fc.weight, fc.bias (they classify images)",
        "r50.pth: these start fresh: head.classifier.weight, head.classifier.bias",
    ]


@pytest.mark.parametrize("key", ["conv1.weight", "layer4.0.downsample.1.running_var"])
def test_a_wrong_file_is_named_and_nothing_loaded(key: str) -> None:
    tensors = images()
    rest = {name: tensor for name, tensor in tensors.items() if name != key}
    model = TSM(TINY, num_classes=3)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    begin = (
        r"^checkpoint 'r50.pth' \(backbone_pretrained, --model.backbone_init\) does not fit tsm_r50, "
        "which starts from a ResNet of timm or torchvision: it "
    )
    with pytest.raises(CheckpointError, match=rf"{begin}lacks 1 of 102 entries, first {key}$"):
        started(model, rest)
    with pytest.raises(CheckpointError, match=rf"{begin}has besides 1 of 102 entries, first layer9.weight$"):
        started(model, {**tensors, "layer9.weight": torch.zeros(1)})
    with pytest.raises(
        CheckpointError, match=rf"{begin}differs in shape 1 of 102 entries, first {key} is \[7\], not \["
    ):
        started(model, {**tensors, key: torch.zeros(7)})
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_a_wrong_kernel_is_told_in_the_dimensions_of_the_file() -> None:
    tensors = images() | {"conv1.weight": torch.zeros(64, 3, 5, 5)}
    with pytest.raises(CheckpointError, match=r"conv1.weight is \[64, 3, 5, 5\], not \[64, 3, 7, 7\]$"):
        started(Inflated(), tensors)
    clips = images() | {"conv1.weight": torch.zeros(64, 3, 5, 7, 7)}
    with pytest.raises(CheckpointError, match=r"conv1.weight is \[64, 3, 5, 7, 7\], not \[64, 3, 7, 7\]$"):
        started(Inflated(), clips)


def test_by_name_from_a_file(tmp_path: Path) -> None:
    for name in ("r50.safetensors", "r50.pth"):
        file, tensors = tmp_path / name, images()
        save_file(tensors, file) if file.suffix == ".safetensors" else torch.save(tensors, file)
        with pytest.raises(
            CheckpointError, match=r"r50\.\w+' .* does not fit tsm_r50, .* it lacks 180 of 318 entries, first la"
        ):
            vov3d.create_model("tsm_r50", num_classes=3, backbone_pretrained=file)
    with pytest.raises(ArgumentError, match="pretrained and backbone_pretrained both say where the weights start"):
        vov3d.create_model("tsm_r50", pretrained=file, backbone_pretrained=file)
    refusal = (
        r"^vov3d_s cannot start from a network of images \(backbone_pretrained, --model.backbone_init\); "
        "tsn_r50, .*, i3d, i3d_nl_r50 can$"
    )
    with pytest.raises(ArgumentError, match=refusal):
        vov3d.create_model("vov3d_s", backbone_pretrained=file)
