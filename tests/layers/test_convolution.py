"""The 2D forms give what plain Conv3d gives, values and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vov3d.layers import (
    D1Plus2D,
    D2Plus1D,
    DenseConv3d,
    DepthwiseConv3d,
    SpatialConv3d,
    TemporalConv3d,
    conv3d,
)
from vov3d.models import create_model
from vov3d.optimize.backend import Trunk
from vov3d.optimize.plain import plain_trunk

LAYERS = {
    "pointwise": lambda: SpatialConv3d(6, 10, bias=True),
    "pointwise strided": lambda: SpatialConv3d(6, 10, stride=2),
    "spatial dense": lambda: SpatialConv3d(6, 4, 3, stride=2),
    "spatial depthwise": lambda: SpatialConv3d(6, 6, 3, stride=2, groups=6),
    "spatial strided in time": lambda: SpatialConv3d(6, 4, 3, stride=2, temporal_stride=2),
    "temporal depthwise": lambda: TemporalConv3d(6, 6, 5, groups=6),
    "temporal dense": lambda: TemporalConv3d(6, 3, 3),
    "temporal strided": lambda: TemporalConv3d(6, 4, 3, stride=2, bias=True),
    "depthwise 3x3x3": lambda: DepthwiseConv3d(6),
    "depthwise 5x3x3": lambda: DepthwiseConv3d(6, kernel_size=(5, 3)),
    "depthwise 1x5x5 strided": lambda: DepthwiseConv3d(6, 2, kernel_size=(1, 5)),
    "depthwise 7x3x3 strided in time": lambda: DepthwiseConv3d(6, kernel_size=(7, 3), temporal_stride=2),
    "depthwise 3x3x3 strided": lambda: DepthwiseConv3d(6, 2),
    "depthwise 3x3x3 strided in time": lambda: DepthwiseConv3d(6, 2, temporal_stride=2),
    "depthwise 3x3x3 strided by 3": lambda: DepthwiseConv3d(6, temporal_stride=3),
}


def plain(layer: nn.Conv3d, clips: Tensor) -> Tensor:
    """The same layer as torch's own Conv3d computes it."""
    return F.conv3d(clips, layer.weight, layer.bias, layer.stride, layer.padding, layer.dilation, layer.groups)


@pytest.mark.parametrize("shape", [(2, 6, 5, 9, 12), (1, 6, 3, 8, 8), (1, 6, 1, 8, 8), (3, 6, 2, 1, 1)])
@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_equals_conv3d_in_float64(name: str, shape: tuple[int, ...], channels_last: bool) -> None:
    torch.manual_seed(0)
    layer = LAYERS[name]().double()
    clips = torch.randn(shape, dtype=torch.float64)
    if channels_last:
        clips = clips.contiguous(memory_format=torch.channels_last_3d)
    clips.requires_grad_()
    expected = plain(layer, clips)
    found = layer(clips)
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    pull = torch.randn_like(expected)
    inputs = [clips, *layer.parameters()]
    for ours, theirs in zip(
        torch.autograd.grad(found, inputs, pull), torch.autograd.grad(expected, inputs, pull), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", LAYERS)
def test_keeps_channels_last_memory(name: str) -> None:
    clips = torch.randn(2, 6, 5, 8, 8).contiguous(memory_format=torch.channels_last_3d)
    assert LAYERS[name]()(clips).is_contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize(
    ("kernel_size", "stride", "temporal_stride", "kind"),
    [
        ((1, 3), 2, 2, SpatialConv3d),
        ((3, 1), 1, 2, TemporalConv3d),
        ((3, 1), 2, 1, DenseConv3d),
        ((5, 7), 2, 2, DenseConv3d),
    ],
)
def test_any_kernel_takes_its_cheapest_form(
    kernel_size: tuple[int, int], stride: int, temporal_stride: int, kind: type[nn.Conv3d]
) -> None:
    layer = conv3d(6, 4, kernel_size, stride=stride, temporal_stride=temporal_stride, groups=2, bias=True).double()
    assert type(layer) is kind
    assert layer.weight.shape == (4, 3, kernel_size[0], kernel_size[1], kernel_size[1])
    clips = torch.randn(2, 6, 5, 9, 8, dtype=torch.float64)
    frames, pixels = kernel_size
    padding = (frames // 2, pixels // 2, pixels // 2)
    strides = (temporal_stride, stride, stride)
    expected = F.conv3d(clips, layer.weight, layer.bias, strides, padding, 1, 2)
    torch.testing.assert_close(layer(clips), expected, rtol=0, atol=1e-12)


def test_the_two_orders_of_the_depthwise_factors_are_one_function() -> None:
    """Table 4's rows (d) and (e) differ in cost alone (docs/faithfulness.md #6)."""
    torch.manual_seed(0)
    space_first, time_first = D2Plus1D(8, 2).double(), D1Plus2D(8, 2).double()
    time_first.load_state_dict(space_first.state_dict())
    clips = torch.randn(2, 8, 6, 10, 10, dtype=torch.float64)
    torch.testing.assert_close(space_first(clips), time_first(clips), rtol=0, atol=1e-14)


@pytest.mark.parametrize("in_channels", [2, 4, 6, 8, 12])
def test_a_strided_pointwise_convolution_of_few_channels(in_channels: int) -> None:
    """torch 2.13 corrupts its memory in the backward pass of some of these, and dies."""
    clips = torch.randn(2, in_channels, 3, 32, 32).contiguous(memory_format=torch.channels_last_3d).requires_grad_()
    conv = SpatialConv3d(in_channels, 8, stride=2)
    for _ in range(3):
        conv(clips).square().sum().backward()
    expected = torch.einsum("nithw,oi->nothw", clips[..., ::2, ::2], conv.weight.flatten(1))
    torch.testing.assert_close(conv(clips), expected, rtol=1e-5, atol=1e-5)
    gradients = torch.autograd.grad(expected.square().sum(), (clips, conv.weight))
    torch.testing.assert_close(clips.grad, 3 * gradients[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(conv.weight.grad, 3 * gradients[1], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name", ["vov3d_s", "x3d_xs"])
@pytest.mark.parametrize("causal", [False, True])
def test_one_clip_is_computed_on_channels_last_memory(name: str, causal: bool) -> None:
    """By the stride to a next clip, which there is not, torch tells so; on plain memory it takes twice as long."""
    torch.manual_seed(0)
    model, clips = create_model(name, causal=causal).eval(), torch.randn(1, 3, 4, 64, 64)
    plain_memory: list[str] = []

    def look(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        if output.shape[3] > 1 and output.stride(1) != 1:
            plain_memory.append(f"{tuple(output.shape)}: {output.stride()}")

    hooks = [one.register_forward_hook(look) for one in model.modules() if isinstance(one, nn.Conv3d)]
    with torch.no_grad():
        model(clips)
        assert plain_memory == []
        if causal:
            model.stream()(clips[:, :, :1])
            assert plain_memory == []
    for hook in hooks:
        hook.remove()
    for dtype, most in ((torch.float32, 1e-5), (torch.float64, 1e-10)):
        network, shown = model.to(dtype), clips.to(dtype)
        with torch.no_grad():
            expected = plain_trunk(network)(shown)
            torch.testing.assert_close(Trunk(network)(shown), expected, rtol=most, atol=most)
