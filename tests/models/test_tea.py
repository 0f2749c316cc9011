"""TEA: its costs, what excites its channels and how far each slice sees."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import vov3d
from vov3d.checkpoint import Checkpoint
from vov3d.errors import CheckpointError
from vov3d.models.counting import count_gmacs, count_parameters
from vov3d.models.inflation import load_backbone
from vov3d.models.published.image_res2net import RES2NET
from vov3d.models.tea import TEA, MotionExcitation, MultipleTemporalAggregation


def test_costs() -> None:
    with torch.device("meta"):
        model = vov3d.create_model("tea_r50", num_classes=174)
    assert count_parameters(model) / 1e6 == pytest.approx(24.4, rel=1e-2)  # as published
    assert round(count_gmacs(model, 8, 224)) == 35
    assert count_gmacs(model, 16, 224) == pytest.approx(70, rel=1.5e-2)  # published is twice 35


def test_a_static_clip_passes_and_what_moves_is_scaled() -> None:
    torch.manual_seed(0)
    excite = MotionExcitation(32).eval()
    torch.nn.init.zeros_(excite.motion.transform.weight)
    excite.motion.transform.weight.data[..., 1, 1] = 1  # so that what does not move is no motion
    static = torch.randn(2, 32, 1, 6, 5).expand(-1, -1, 5, -1, -1)
    clips = torch.cat([static[:, :, :3], static[:, :, 3:] + 5], dim=2)  # moves once, after the third frame
    with torch.no_grad():
        assert torch.equal(excite(static), static)
        gates = excite(clips) / clips - 1
    assert [bool(gates[:, :, t].abs().max() > 1e-3) for t in range(5)] == [False, False, True, False, False]
    assert gates.abs().max() <= 0.5
    torch.testing.assert_close(gates, gates[..., :1, :1].expand_as(gates), rtol=1e-2, atol=1e-4)  # one for a channel


def seen(aggregate: MultipleTemporalAggregation, num_frames: int = 11) -> list[list[int]]:
    """Frames of each slice, from the middle of the clip, that change with it."""
    clips = torch.randn(1, 16, num_frames, 4, 4)
    changed = clips.clone()
    changed[:, :, num_frames // 2] += 1
    with torch.no_grad():
        before, after = (aggregate(one).chunk(4, dim=1) for one in (clips, changed))
    return [
        [t - num_frames // 2 for t in range(num_frames) if not torch.equal(b[:, :, t], a[:, :, t])]
        for b, a in zip(before, after, strict=True)
    ]


def test_each_slice_sees_a_frame_more_than_the_one_before() -> None:
    torch.manual_seed(0)
    near = [-1, 0, 1]
    assert seen(MultipleTemporalAggregation(4, stride=1, cascade=True).eval()) == [
        near,
        [-2, -1, 0, 1, 2],
        [-3, -2, -1, 0, 1, 2, 3],
        near,
    ]
    assert seen(MultipleTemporalAggregation(4, stride=2, cascade=False).eval()) == 4 * [near]


def test_it_starts_as_res2net_with_one_shifted_slice() -> None:
    model = TEA((1, 0, 0, 0), num_classes=0)
    (aggregate,) = (module for module in model.modules() if isinstance(module, MultipleTemporalAggregation))
    clips = torch.arange(1.0, 5).view(1, 1, -1, 1, 1).expand(1, 26, -1, 3, 3)
    mixed = [temporal(clips)[0, :, :, 1, 1].int().tolist() for temporal in aggregate.temporal]
    assert mixed[:3] == 3 * [26 * [[1, 2, 3, 4]]]
    assert mixed[3] == 13 * [[2, 3, 4, 0]] + 13 * [[0, 1, 2, 3]]


def plain(aggregate: MultipleTemporalAggregation, clips: Tensor) -> Tensor:
    """The module's arithmetic in torch's own convolutions."""
    outputs: list[Tensor] = []
    for i, part in enumerate(clips.contiguous().chunk(4, dim=1)):
        given = part + outputs[-1] if aggregate.cascade and 0 < i < 3 else part
        mixed = torch.nn.Conv3d.forward(aggregate.temporal[i], given.contiguous())
        if i < 3:
            norm = aggregate.spatial[i]
            mixed = torch.relu(norm.norm(torch.nn.Conv3d.forward(norm.conv, mixed)))
        elif not aggregate.cascade:
            mixed = torch.nn.functional.avg_pool3d(mixed, (1, 3, 3), (1, aggregate.stride, aggregate.stride), (0, 1, 1))
        outputs.append(mixed)
    return torch.cat(outputs, dim=1)


@pytest.mark.parametrize(("stride", "cascade"), [(1, True), (1, False), (2, False)])
def test_values_and_gradients_are_those_of_plain_convolutions(stride: int, cascade: bool) -> None:
    torch.manual_seed(0)
    aggregate = MultipleTemporalAggregation(8, stride=stride, cascade=cascade).double()
    clips = torch.randn(2, 32, 3, 7, 5, dtype=torch.float64).contiguous(memory_format=torch.channels_last_3d)
    clips.requires_grad_()
    results = []
    for output in (aggregate(clips), plain(aggregate, clips)):
        results.append((output, *torch.autograd.grad(output.square().sum(), [clips, *aggregate.parameters()])))
    torch.testing.assert_close(results[0], results[1])


def test_it_starts_from_a_res2net_and_not_from_a_resnet() -> None:
    model = TEA((1, 1, 1, 1), num_classes=3)
    given = {
        str(name): torch.randn_like(tensor.squeeze(2) if tensor.dim() == 5 else tensor.float())
        for ours, tensor in model.state_dict().items()
        if (name := RES2NET.name(ours)) is not None
    }
    load_backbone(model, "tea_r50", Checkpoint({**given, "fc.weight": torch.zeros(5, 7)}, published=True), "r2n.pth")
    loaded = model.state_dict()
    for unit in range(3):
        kernel = loaded[f"stages.2.0.branch.aggregate.spatial.{unit}.conv.weight"]
        assert torch.equal(kernel.squeeze(2), given[f"layer3.0.convs.{unit}.weight"])
    assert torch.equal(loaded["stages.2.0.branch.project.norm.running_var"], given["layer3.0.bn3.running_var"])
    plain = {name: tensor for name, tensor in given.items() if ".convs." not in name and ".bns." not in name}
    with pytest.raises(
        CheckpointError, match=r"tea_r50, which starts from .*res2net50.* first layer1\.0\.convs\.0\.weight"
    ):
        load_backbone(model, "tea_r50", Checkpoint(plain, published=True), "r50.pth")
    given["layer1.0.convs.0.weight"] = torch.zeros(64, 64, 3, 3)
    with pytest.raises(
        CheckpointError, match=r"layer1\.0\.convs\.0\.weight is \[64, 64, 3, 3\], not \[26, 26, 3, 3\]$"
    ):
        load_backbone(model, "tea_r50", Checkpoint(given, published=True), "r50.pth")
