"""TSM + TPN: its costs, the shapes of its levels and what is left of time."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

import vov3d
from vov3d.checkpoint import Checkpoint
from vov3d.errors import CheckpointError
from vov3d.models import load_weights
from vov3d.models.counting import count_gmacs, count_parameters
from vov3d.models.inflation import load_backbone
from vov3d.models.published import COUNTER
from vov3d.models.published.image_resnet import RESNET
from vov3d.models.published.temporal_pyramid import MMACTION2_TPN
from vov3d.models.tpn import TPN, TemporalModulation, TemporalPyramid

AUXILIARY_HEAD = 1024 * 2048 * 9 + 2 * 2048 + 2048 * 174 + 174  # convolution, norm, classifier


def test_costs() -> None:
    with torch.device("meta"):
        model = vov3d.create_model("tsm_tpn_r50", num_classes=174)
    assert count_parameters(model) + AUXILIARY_HEAD == 82_445_724  # mmaction2's
    assert count_gmacs(model, 8, 224) == pytest.approx(41.2, abs=0.05)


def test_the_levels_are_the_last_two_stages() -> None:
    with torch.device("meta"):
        model = TPN((1, 1, 1, 1))
        *stages, last, pyramid = model.stages
        low, high = last(torch.nn.Sequential(*stages)(model.stem(torch.empty(2, 3, 9, 45, 61))))
        assert low.shape == (2, 1024, 9, 3, 4)
        assert high.shape == (2, 2048, 9, 2, 2)
        assert pyramid((low, high)).shape == (2, 2048, 2, 2, 2)


@pytest.mark.parametrize(("num_frames", "left"), [(1, 1), (7, 1), (8, 1), (9, 2), (16, 2)])
def test_modulation_takes_the_largest_of_eight_frames(num_frames: int, left: int) -> None:
    torch.manual_seed(0)
    modulate = TemporalModulation(64, 32)
    clips = torch.randn(2, 64, num_frames, 3, 4)
    with torch.no_grad():
        modulated, frames = modulate(clips), modulate.conv(clips)
    assert modulated.shape == (2, 32, left, 3, 4)
    for window in range(left):
        assert torch.equal(modulated[:, :, window], frames[:, :, 8 * window : 8 * window + 8].amax(2))


def test_both_levels_reach_the_result_by_both_flows() -> None:
    torch.manual_seed(0)
    pyramid = TemporalPyramid(32).eval()
    low, high = torch.randn(1, 32, 8, 6, 6), torch.randn(1, 64, 8, 3, 3)
    with torch.no_grad():
        fused = pyramid((low, high))
        for part in (pyramid.fuse_down.low, pyramid.fuse_down.high, pyramid.fuse_up.low, pyramid.fuse_up.high):
            weight = part.conv.weight.clone()
            part.conv.weight.zero_()
            assert not torch.equal(pyramid((low, high)), fused)
            part.conv.weight.copy_(weight)
        assert not torch.allclose(pyramid((low + 1, high)), fused)
        assert not torch.allclose(pyramid((low, high + 1)), fused)


def test_it_can_be_computed_block_by_block() -> None:
    torch.manual_seed(0)
    model = TPN((2, 1, 1, 1), num_classes=3, dropout=0.0)
    clips = torch.randn(2, 3, 2, 32, 32)
    assert len(list(model.blocks())) == 6
    plain = torch.autograd.grad(model(clips).square().sum(), model.stem.conv.weight)[0]
    model.gradient_checkpointing = True
    again = torch.autograd.grad(model(clips).square().sum(), model.stem.conv.weight)[0]
    assert torch.equal(plain, again)


def drawn_like(names: Mapping[str, str], model: TPN) -> dict[str, Tensor]:
    """Random 2D tensors under other names, without counts of batches."""
    state = model.state_dict()
    return {
        name: torch.randn_like(state[ours].squeeze(2) if state[ours].dim() == 5 else state[ours].float())
        for ours, name in names.items()
        if not name.endswith(COUNTER)
    }


def test_it_starts_from_a_resnet_of_images() -> None:
    model = TPN((1, 1, 1, 1), num_classes=3)
    given = drawn_like({ours: name for ours in model.state_dict() if (name := RESNET.name(ours))}, model)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    load_backbone(model, "tsm_tpn_r50", Checkpoint(given, published=True), "r50.pth")
    kept = [name for name, tensor in model.state_dict().items() if torch.equal(tensor, before[name])]
    assert {name for name in kept if not name.endswith(COUNTER)} == {
        name for name in before if name.startswith(("stages.4.", "head.")) and not name.endswith(COUNTER)
    }


def test_mmaction2s_file_is_read_without_its_auxiliary_head() -> None:
    model = TPN((1, 1, 1, 1), num_classes=3)
    names = MMACTION2_TPN.names(model)
    assert names["stages.4.fuse_up.high.norm.running_var"] == "neck.level_fusion_2.downsamples.1.conv.bn.running_var"
    assert names["stages.3.0.branch.reduce.conv.weight"] == "backbone.layer4.0.conv1.conv.net.weight"
    given = drawn_like(names, model)
    load_weights(model, Checkpoint({**given, "neck.aux_head.fc.bias": torch.zeros(3)}, published=True), "tpn.pth")
    loaded = model.state_dict()
    assert all(
        torch.equal(loaded[ours].squeeze(), given[name].squeeze()) for ours, name in names.items() if name in given
    )
    with pytest.raises(CheckpointError, match=r"has besides 1 of .* first neck.other"):
        load_weights(model, Checkpoint({**given, "neck.other": torch.zeros(3)}, published=True), "tpn.pth")
