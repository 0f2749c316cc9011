"""STM: its costs, what CSTM mixes and what CMM takes for motion."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import Tensor

import vov3d
from vov3d.checkpoint import Checkpoint
from vov3d.models.counting import count_gmacs, count_parameters
from vov3d.models.inflation import load_backbone
from vov3d.models.published.image_resnet import RESNET
from vov3d.models.stm import CMM, CSTM, STM


def test_costs() -> None:
    with torch.device("meta"):
        model = vov3d.create_model("stm_r50", num_classes=174)
    assert count_parameters(model) == 24_043_218
    assert count_gmacs(model, 8, 224) == pytest.approx(33.3, rel=1e-2)  # as published
    assert count_gmacs(model, 16, 224) == pytest.approx(66.5, rel=1e-2)


def test_a_quarter_of_the_channels_starts_a_frame_late_and_another_a_frame_early() -> None:
    model = STM((1, 0, 0, 0), num_classes=0)
    (cstm,) = (module for module in model.modules() if isinstance(module, CSTM))
    clips = torch.arange(1.0, 5).view(1, 1, -1, 1, 1).expand(1, 64, -1, 3, 3)
    mixed = cstm.temporal(clips)[0, :, :, 1, 1].int().tolist()
    assert mixed == 16 * [[0, 1, 2, 3]] + 32 * [[1, 2, 3, 4]] + 16 * [[2, 3, 4, 0]]


def motion(cmm: CMM, clips: Tensor) -> Tensor:
    """What the module takes for motion, its spatial kernels being the identity."""
    torch.nn.init.zeros_(cmm.motion.transform.weight)
    cmm.motion.transform.weight.data[..., 1, 1] = 1
    with torch.no_grad():
        moved: Tensor = cmm.motion(cmm.reduce(clips))
    return moved


@pytest.mark.parametrize("num_frames", [1, 2, 5])
def test_nothing_moves_in_a_static_clip(num_frames: int) -> None:
    torch.manual_seed(0)
    cmm = CMM(32, stride=1).eval()
    static = torch.randn(2, 32, 1, 6, 5).expand(-1, -1, num_frames, -1, -1)
    moved = motion(cmm, static)
    assert moved.shape == (2, 2, num_frames, 6, 5)
    torch.testing.assert_close(moved, torch.zeros_like(moved))


def test_motion_is_the_next_frame_minus_this_one() -> None:
    torch.manual_seed(0)
    cmm = CMM(32, stride=1).eval()
    clips = torch.randn(2, 32, 4, 6, 5)
    moved, reduced = motion(cmm, clips), cmm.reduce(clips)
    torch.testing.assert_close(moved[:, :, :3], reduced[:, :, 1:] - reduced[:, :, :3])
    assert not moved[:, :, 3].any()


def test_motion_may_stride_before_or_after_its_last_convolution() -> None:
    torch.manual_seed(0)
    early, late = CMM(32, stride=2).eval(), CMM(32, stride=1).eval()
    late.load_state_dict(early.state_dict())
    clips = torch.randn(1, 32, 3, 7, 6)
    with torch.no_grad():
        torch.testing.assert_close(early(clips), late(clips)[..., ::2, ::2])


def test_a_block_sees_the_frames_beside_each() -> None:
    torch.manual_seed(0)
    model = STM((1, 1, 0, 0), num_classes=0).eval()
    clips = torch.randn(1, 3, 9, 32, 32)
    changed = clips.clone()
    changed[:, :, 4] += 1
    with torch.no_grad():
        before, after = (model.forward_features(one) for one in (clips, changed))
    assert [t for t in range(9) if not torch.equal(before[:, :, t], after[:, :, t])] == [2, 3, 4, 5, 6]


def test_it_starts_from_a_resnet_of_images(caplog: pytest.LogCaptureFixture) -> None:
    model = STM((1, 1, 1, 1), num_classes=3)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    kernels = {RESNET.name(name): torch.randn_like(tensor.float()) for name, tensor in state.items()}
    images = {str(name): kernel.squeeze(2) if kernel.dim() == 5 else kernel for name, kernel in kernels.items() if name}
    with caplog.at_level(logging.INFO, logger="vov3d"):
        load_backbone(model, "stm_r50", Checkpoint(images, published=True), "r50.pth")
    middle = model.state_dict()["stages.3.0.branch.middle.cstm.conv.weight"]
    assert torch.equal(middle.squeeze(2), images["layer4.0.conv2.weight"])
    fresh = [name for name, tensor in model.state_dict().items() if torch.equal(tensor, state[name])]
    assert all(".cmm." in name or ".temporal." in name or "head." in name or "num_batches" in name for name in fresh)
    assert sum(".cmm." in name and "num_batches" not in name for name in fresh) == 4 * 11
    assert "these start fresh: stages.0.0.branch.middle.cstm.temporal.weight" in caplog.text
