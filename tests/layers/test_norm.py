"""Norms on feature maps of one pixel."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F

from vov3d.layers import BatchNorm
from vov3d.models import VoV3D


def test_float32_gradients_on_maps_of_one_pixel() -> None:
    """With torch's own norm the relative error of these gradients is 1.4."""
    torch.manual_seed(0)
    model = VoV3D(16, (1, 1, 1, 1), num_units=2, num_classes=5, dropout=0.0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.ones_(module.weight)
    precise = copy.deepcopy(model).double()
    clips, labels = torch.randn(2, 3, 4, 32, 32), torch.arange(2)
    for network, dtype in ((model, torch.float32), (precise, torch.float64)):
        F.cross_entropy(network(clips.to(dtype)), labels).backward()
    for ours, exact in zip(model.parameters(), precise.parameters(), strict=True):
        assert (ours.grad - exact.grad).norm() <= 1e-3 * exact.grad.norm()


def test_sums_of_many_values_are_exact_to_the_last_digits() -> None:
    """Torch's own are off by 1e-5 and more in channels-last memory, and so are their gradients."""
    torch.manual_seed(0)
    clips = (torch.randn(4, 24, 16, 56, 56) + 0.5).contiguous(memory_format=torch.channels_last_3d).requires_grad_()
    norm, plain, exact = BatchNorm(24), nn.BatchNorm3d(24).double(), clips.detach().double().requires_grad_()
    normalised, expected = norm(clips), plain(exact)
    pull = torch.randn_like(clips)
    found = torch.autograd.grad(normalised, (clips, norm.weight, norm.bias), pull)
    for ours, theirs in zip(found, torch.autograd.grad(expected, (exact, plain.weight, plain.bias), pull), strict=True):
        assert (ours - theirs).abs().max() <= 5e-6 * theirs.abs().max()
    torch.testing.assert_close(normalised.double(), expected, rtol=1e-6, atol=2e-6)
    assert normalised.is_contiguous(memory_format=torch.channels_last_3d)
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        torch.testing.assert_close(getattr(norm, name).double(), getattr(plain, name).double(), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("shape", [(2, 5, 3, 4, 4), (1, 3, 1, 1, 2), (3, 7, 5, 3, 5)])
def test_gradients_of_channels_last_norms_are_those_of_plain_ones(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    clips = torch.randn(shape).contiguous(memory_format=torch.channels_last_3d).requires_grad_()
    norm, plain = BatchNorm(shape[1]), nn.BatchNorm3d(shape[1]).double()
    for one in (norm, plain):
        one.load_state_dict(
            {**one.state_dict(), "weight": torch.linspace(0.5, 2, shape[1]), "bias": torch.ones(shape[1])}
        )
    pull = torch.randn(shape)
    found = torch.autograd.grad(norm(clips), (clips, norm.weight, norm.bias), pull)
    exact = clips.detach().double().requires_grad_()
    expected = torch.autograd.grad(plain(exact), (exact, plain.weight, plain.bias), pull.double())
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("clips_per_group", [None, 1])
@pytest.mark.parametrize("training", [True, False])
def test_no_layout_of_maps_of_one_pixel_is_taken_for_another(training: bool, clips_per_group: int | None) -> None:
    """Of the clips, and of the gradient that comes back."""
    torch.manual_seed(0)
    norm = BatchNorm(8).double().train(training)
    norm.clips_per_group = clips_per_group
    nn.init.uniform_(norm.weight)
    clips, pull = torch.randn(2, 2, 8, 7, 1, 1, dtype=torch.float64)
    exact = torch.autograd.functional.jacobian(norm, clips).flatten(0, 4).flatten(1).T @ pull.flatten()
    layouts = [(56, 7, 1, 1, 1), (56, 1, 8, 1, 1), (56, 1, 8, 8, 8)]
    found = []
    for ours, theirs in itertools.product(layouts, layouts):
        given = torch.empty_strided(clips.shape, ours, dtype=clips.dtype).copy_(clips).requires_grad_()
        back = torch.empty_strided(clips.shape, theirs, dtype=clips.dtype).copy_(pull)
        found += torch.autograd.grad(norm(given), given, back)
    assert len(found) == 9
    assert all(torch.allclose(one.flatten(), exact, rtol=0, atol=1e-12) for one in found)


def test_groups_of_clips_are_normalised_as_separate_batches_are() -> None:
    """Eight clips in groups of four are what two processes with four clips each see."""
    clips = torch.randn(8, 5, 3, 4, 4, dtype=torch.float64) * 3 + 2
    grouped, alone = BatchNorm(5).double(), [BatchNorm(5).double() for _ in range(2)]
    grouped.clips_per_group = 4
    expected = torch.cat([norm(part) for norm, part in zip(alone, clips.split(4), strict=True)])
    torch.testing.assert_close(grouped(clips), expected, rtol=1e-12, atol=1e-12)
    for name in ("running_mean", "running_var"):
        mean = (getattr(alone[0], name) + getattr(alone[1], name)) / 2
        torch.testing.assert_close(getattr(grouped, name), mean, rtol=1e-12, atol=1e-12)
    assert grouped.num_batches_tracked == 1
    assert not torch.allclose(BatchNorm(5).double()(clips), expected)


def test_groups_have_the_gradients_of_separate_batches() -> None:
    clips = torch.randn(6, 2, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    norm = BatchNorm(2).double()
    norm.clips_per_group = 2
    assert torch.autograd.gradcheck(lambda x: norm(x).square().cumsum(0), (clips,))


@pytest.mark.parametrize("clips_per_group", [2, None])
def test_a_plain_average_over_batches_is_one_of_groups_too(clips_per_group: int | None) -> None:
    batches = torch.randn(3, 4, 2, 2, 5, 5, dtype=torch.float64)
    norm = BatchNorm(2).double()
    norm.clips_per_group, norm.momentum = clips_per_group, None
    for clips in batches:
        norm(clips)
    groups = batches.unflatten(1, (-1, clips_per_group or 4)).flatten(0, 1)
    expected = torch.stack([group.transpose(0, 1).flatten(1).var(1) for group in groups]).mean(0)
    torch.testing.assert_close(norm.running_var, expected, rtol=1e-12, atol=1e-12)


def test_no_clips_at_all_are_normalised_without_a_trace() -> None:
    norm = BatchNorm(3)
    before = {name: tensor.clone() for name, tensor in norm.state_dict().items()}
    normalised = norm(torch.empty(0, 3, 2, 4, 4))
    assert normalised.shape == (0, 3, 2, 4, 4)
    normalised.sum().backward()
    assert all(not parameter.grad.any() for parameter in norm.parameters() if parameter.grad is not None)
    assert all(parameter.grad is not None for parameter in norm.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in norm.state_dict().items())


@pytest.fixture
def alone() -> Iterator[dist.ProcessGroup]:
    """A group of this process alone; that several share statistics, `tests/test_distributed.py` shows."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield dist.group.WORLD
    dist.destroy_process_group()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_statistics_over_processes_are_plain_ones_where_there_is_one(
    alone: dist.ProcessGroup, dtype: torch.dtype
) -> None:
    weights = dtype if dtype == torch.float64 else torch.float32  # as under autocast
    clips = (torch.randn(4, 5, 3, 6, 6) * 3 + 100).to(dtype)
    ours, plain = BatchNorm(5, dtype=weights), BatchNorm(5, dtype=weights)
    ours.process_group = alone
    found, expected = ours(clips), plain(clips.to(weights))
    assert found.dtype == dtype
    tolerance = 1e-10 if dtype == torch.float64 else 2e-2
    torch.testing.assert_close(found.to(weights), expected, rtol=tolerance, atol=tolerance)
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(getattr(ours, name), getattr(plain, name), rtol=1e-4, atol=1e-4)


def test_no_clips_in_any_process_leave_no_trace(alone: dist.ProcessGroup) -> None:
    norm = BatchNorm(3)
    norm.process_group = alone
    before = {name: tensor.clone() for name, tensor in norm.state_dict().items()}
    normalised = norm(torch.empty(0, 3, 2, 4, 4, requires_grad=True))
    normalised.sum().backward()
    assert all(parameter.grad is not None and not parameter.grad.any() for parameter in norm.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in norm.state_dict().items())
