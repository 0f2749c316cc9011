"""Non-local I3D: its costs, where the printed number comes from, and what a non-local block computes."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from vov3d.checkpoint import Checkpoint
from vov3d.models import TSN
from vov3d.models.counting import count_gmacs, count_parameters
from vov3d.models.i3d_nl import NonLocal, NonLocalI3D, NonLocalResidual, i3d_nl_r50
from vov3d.models.inflation import load_backbone
from vov3d.models.published.image_resnet import IMAGE_RESNET


def on_meta() -> NonLocalI3D:
    with torch.device("meta"):
        return i3d_nl_r50()


def products_of_attention(model: NonLocalI3D, num_frames: int, crop: int) -> float:
    """In 1e9 multiply-adds."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(torch.empty(1, 3, num_frames, crop, crop, device="meta"))
    return float(counter.get_flop_counts()["Global"][torch.ops.aten.bmm]) / 2e9


def test_costs() -> None:
    model = on_meta()
    assert count_parameters(model) == 35_397_840  # Table 7: 35.3M
    assert count_gmacs(model, 32, 224) == pytest.approx(41.35, abs=5e-3)
    assert products_of_attention(model, 32, 224) == pytest.approx(2.99, abs=5e-3)


def test_where_the_printed_number_comes_from() -> None:
    """282 GFLOPs are those of 128 frames of 256 pixels, phi and g behind the pool, with the products of attention."""
    model = on_meta()
    for block in model.modules():
        if isinstance(block, NonLocal):
            for name in ("phi", "g"):
                setattr(block, name, nn.Sequential(block.pool, getattr(block, name)))
            block.pool = nn.Identity()  # type: ignore[assignment]
    assert count_gmacs(model, 128, 256) + products_of_attention(model, 128, 256) == pytest.approx(282, abs=0.5)


def test_maps_of_the_published_clip() -> None:
    model = on_meta()
    features = model.stem(torch.empty(1, 3, 32, 224, 224, device="meta"))
    shapes = [features.shape[1:]]
    for stage in model.stages:
        features = stage(features)
        shapes.append(features.shape[1:])
    assert shapes == [(64, 8, 56, 56), (256, 4, 56, 56), (512, 4, 28, 28), (1024, 4, 14, 14), (2048, 4, 7, 7)]


def test_five_blocks_are_non_local_and_half_of_the_others_are_inflated() -> None:
    model = on_meta()
    non_local = [name for name, module in model.named_modules() if isinstance(module, NonLocalResidual)]
    assert non_local == ["stages.1.1", "stages.1.3", "stages.2.1", "stages.2.3", "stages.2.5"]
    frames = [weight.shape[2] for name, weight in model.named_parameters() if name.endswith("reduce.conv.weight")]
    assert frames == [3, 3, 3, *(3, 1, 3, 1), *(3, 1, 3, 1, 3, 1), *(1, 3, 1)]


def test_a_block_is_the_formula() -> None:
    torch.manual_seed(0)
    block = NonLocal(6).eval()
    clips = torch.randn(2, 6, 3, 5, 4)

    def through(convolution: nn.Conv3d, pixels: int) -> torch.Tensor:
        nn.init.normal_(convolution.weight)
        nn.init.normal_(convolution.bias)  # type: ignore[arg-type]
        weight, bias = convolution.weight.flatten(1), convolution.bias
        assert bias is not None
        images = torch.einsum("dc,ncthw->ndthw", weight, clips) + bias.view(-1, 1, 1, 1)
        return nn.functional.max_pool3d(images, (1, pixels, pixels)).flatten(2)

    with torch.no_grad():
        queries, keys, values = through(block.theta, 1), through(block.phi, 2), through(block.g, 2)
        weights = torch.einsum("ncp,ncq->npq", queries, keys).softmax(2)
        seen = torch.einsum("npq,ncq->ncp", weights, values).unflatten(2, (3, 5, 4))
        expected = clips + nn.functional.conv3d(seen, block.project.conv.weight) / (1 + 1e-5) ** 0.5
        torch.testing.assert_close(block(clips), expected, rtol=1e-4, atol=1e-5)


def test_a_block_starts_as_the_identity_and_then_sees_every_frame() -> None:
    torch.manual_seed(0)
    model = NonLocalI3D((0, 2, 0, 0), num_classes=2)
    block = model.stages[1][1].non_local  # type: ignore[index]
    assert isinstance(block, NonLocal)
    clips = torch.randn(1, 512, 6, 4, 4, requires_grad=True)
    assert torch.equal(block.eval()(clips), clips)
    nn.init.ones_(block.project.norm.weight)
    block(clips)[:, :, 0].sum().backward()
    assert clips.grad is not None
    assert clips.grad[:, :, 1:].abs().sum((0, 1, 3, 4)).min() > 0


def test_it_starts_from_weights_of_images() -> None:
    torch.manual_seed(0)
    depths = (1, 2, 2, 1)
    frame_by_frame, model = TSN(depths, num_classes=2).eval(), NonLocalI3D(depths, num_classes=2).eval()
    state = frame_by_frame.state_dict()
    names = IMAGE_RESNET.names(frame_by_frame)
    images = {name: state[ours].squeeze(2) if state[ours].dim() == 5 else state[ours] for ours, name in names.items()}
    load_backbone(model, "i3d_nl_r50", Checkpoint(images, published=True), "r50.pth")
    frame = torch.randn(1, 3, 1, 40, 32)
    with torch.no_grad():
        expected = frame_by_frame.forward_features(frame)
        still = model.forward_features(frame.expand(-1, -1, 64, -1, -1))
    assert still.shape[2] == 8
    for time in (3, 4):  # what no padding gets to
        torch.testing.assert_close(still[:, :, time : time + 1], expected, rtol=1e-4, atol=1e-4)
