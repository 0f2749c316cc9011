"""Causal layers on clips and in streams: the same values, constant memory, states that can be kept."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vov3d.errors import ArgumentError
from vov3d.layers import (
    CausalDepthwiseConv3d,
    CausalSqueezeExcitation,
    CausalTemporalConv3d,
    ClipMean,
    MeanSoFar,
    PositionalEncoding,
    SpatialAveragePool,
    Stream,
    pad_as_tensorflow,
)


def causal_network() -> nn.Module:
    torch.manual_seed(0)
    network = nn.Sequential(
        CausalTemporalConv3d(3, 6, 5, bias=True),
        nn.ReLU(),
        CausalDepthwiseConv3d(6, 2, kernel_size=(3, 3)),
        CausalSqueezeExcitation(6, ratio=0.5, activation=nn.SiLU, present=True, positions=True),
        CausalDepthwiseConv3d(6, kernel_size=(1, 3)),
        ClipMean(),
        nn.Flatten(),
    )
    for module in network.modules():
        if isinstance(module, PositionalEncoding):
            nn.init.ones_(module.weight)
    return network.double().eval()


def clip_of(num_frames: int, cameras: int = 2) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(cameras, 3, num_frames, 9, 8, dtype=torch.float64)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize("shape", [(2, 6, 7, 9, 8), (1, 6, 1, 3, 3)])
@pytest.mark.parametrize(
    "layer",
    [
        CausalTemporalConv3d(6, 4, 3, bias=True),
        CausalTemporalConv3d(6, 6, 5, groups=6),
        CausalDepthwiseConv3d(6, 2, kernel_size=(5, 3)),
        CausalDepthwiseConv3d(6),
    ],
)
def test_causal_convolutions_are_conv3d_padded_in_front(
    layer: nn.Conv3d, shape: tuple[int, ...], memory_format: torch.memory_format
) -> None:
    layer = layer.double()
    clips = torch.randn(shape, dtype=torch.float64).contiguous(memory_format=memory_format).requires_grad_()
    past = F.pad(clips, (0, 0, 0, 0, layer.kernel_size[0] - 1, 0))
    padding = (0, *layer.padding[1:])
    expected = F.conv3d(past, layer.weight, layer.bias, layer.stride, padding, groups=layer.groups)
    found = layer(clips)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    pull, inputs = torch.randn_like(expected), [clips, *layer.parameters()]
    for ours, theirs in zip(
        torch.autograd.grad(found, inputs, pull), torch.autograd.grad(expected, inputs, pull), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-11)


@pytest.mark.parametrize("chunks", [(1,) * 9, (2, 3, 1, 3), (8, 1), (9,)])
def test_a_stream_gives_what_the_clip_gives(chunks: tuple[int, ...]) -> None:
    network, clips, seen = causal_network(), clip_of(9), 0
    stream = Stream(network)
    for num_frames in chunks:
        found = stream(clips[:, :, seen : seen + num_frames])
        seen += num_frames
        torch.testing.assert_close(found, network(clips[:, :, :seen]), rtol=0, atol=1e-12)
        assert stream.num_frames is not None and stream.num_frames.tolist() == [seen, seen]


def test_means_and_positions() -> None:
    frames = torch.tensor([1.0, 3.0, 8.0]).view(1, 1, 3, 1, 1)
    assert MeanSoFar()(frames).flatten().tolist() == [1, 2, 4]
    encoding = PositionalEncoding(4)
    assert torch.equal(encoding(torch.ones(1, 4, 3, 1, 1)), torch.ones(1, 4, 3, 1, 1))
    nn.init.ones_(encoding.weight)
    second = encoding(torch.zeros(1, 4, 2, 1, 1))[0, :, 1].flatten()
    expected = [math.sin(1), math.sin(0.01), math.cos(1), math.cos(0.01)]
    torch.testing.assert_close(second, torch.tensor(expected))


def test_memory_does_not_grow_and_nothing_of_a_chunk_is_held() -> None:
    stream, sizes = Stream(causal_network()), set()
    for num_frames in (7, 1, 1, 30):
        stream(clip_of(num_frames))
        kept = stream.state_dict().values()
        assert all(tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size() for tensor in kept)
        sizes.add(sum(tensor.numel() for tensor in kept))
    assert len(sizes) == 1
    assert not any(tensor.requires_grad for tensor in stream.state_dict().values())


def test_a_state_that_was_saved_goes_on() -> None:
    network, clips = causal_network(), clip_of(6)
    stream = Stream(network)
    stream(clips[:, :, :4])
    file = io.BytesIO()
    torch.save(stream.state_dict(), file)
    expected = stream(clips[:, :, 4:])
    file.seek(0)
    other = Stream(network)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(clips[:, :, 4:]), expected)
    other.load_state_dict({})
    assert other.num_frames is None and other.state_dict() == {}


def test_a_camera_begins_anew_beside_the_others() -> None:
    network, clips = causal_network(), clip_of(7, cameras=3)
    stream = Stream(network)
    stream(clips[:, :, :4])
    stream.reset([1])
    assert stream.num_frames is not None and stream.num_frames.tolist() == [4, 0, 4]
    found = stream(clips[:, :, 4:])
    torch.testing.assert_close(found[[0, 2]], network(clips[[0, 2]]), rtol=0, atol=1e-12)
    torch.testing.assert_close(found[1:2], network(clips[1:2, :, 4:]), rtol=0, atol=1e-12)
    stream.reset()
    torch.testing.assert_close(stream(clips), network(clips), rtol=0, atol=1e-12)


def test_streams_share_weights_and_nothing_else() -> None:
    network, clips = causal_network(), clip_of(5)
    first, second = Stream(network), Stream(network)
    first(clips[:, :, :3])
    second(clips[:, :, 3:4])
    torch.testing.assert_close(first(clips[:, :, 3:]), network(clips), rtol=0, atol=1e-12)
    with torch.no_grad():
        network[0].weight.mul_(2)
    first.reset()
    torch.testing.assert_close(first(clips), network(clips), rtol=0, atol=1e-12)
    assert not any(buffer is not None for buffer in network.buffers())


def test_a_chunk_that_fails_leaves_no_trace() -> None:
    class Fails(nn.Module):
        broken = False

        def forward(self, clips: Tensor) -> Tensor:
            if self.broken:
                raise RuntimeError("out of memory")
            return clips

    network, clips = nn.Sequential(causal_network(), Fails()).eval(), clip_of(6)
    stream = Stream(network)
    stream(clips[:, :, :2])
    Fails.broken = True
    with pytest.raises(RuntimeError, match="out of memory"):
        stream(clips[:, :, 2:4])
    Fails.broken = False
    torch.testing.assert_close(stream(clips[:, :, 2:]), network(clips), rtol=0, atol=1e-12)


def test_wrong_use_is_named() -> None:
    with pytest.raises(ArgumentError, match=r"training mode cannot stream: call eval\(\) first"):
        Stream(causal_network().train())
    stream = Stream(causal_network())
    with pytest.raises(ArgumentError, match=r"cameras are \[0\]; this stream has 0"):
        stream.reset([0])
    stream(clip_of(1))
    with pytest.raises(ArgumentError, match=r"\[3, 3, 1, 9, 8\], but this stream began with 2 cameras of 9x8 pixels"):
        stream(clip_of(1, cameras=3))
    wrong: list[Any] = [[-1], [True, False], 1, "0", [0.0], torch.tensor([1])]
    for cameras in wrong:
        with pytest.raises(ArgumentError, match=r"cameras are .*; this stream has 2, counted from 0"):
            stream.reset(cameras)
    for frames, given in ((None, "type NoneType"), (clip_of(0), r"shape \[2, 3, 0, 9, 8\]"), (clip_of(1)[0], "shape")):
        with pytest.raises(ArgumentError, match=f"frames have {given}.*; a stream takes tensors"):
            stream(frames)
    partly = causal_network()
    partly[3].train()
    with pytest.raises(ArgumentError, match="training mode"):
        Stream(partly)
    state = stream.state_dict()
    del state["0.overlap_add.owed0"]
    with pytest.raises(ArgumentError, match=r"of another network: 1 entries differ, first '0\.overlap_add\.owed0'"):
        stream.load_state_dict(state)
    with pytest.raises(ArgumentError, match="of another network"):
        stream.load_state_dict(None)
    torn = {**stream.state_dict(), "0.overlap_add.owed0": torch.zeros(3, 6, 1, 9, 8)}
    with pytest.raises(ArgumentError, match=r"of 2 cameras, but '0\.overlap_add\.owed0' is not"):
        stream.load_state_dict(torn)


def test_a_state_is_a_copy_of_plain_tensors() -> None:
    network, clips = causal_network(), clip_of(4)
    stream, other = Stream(network), Stream(network)
    stream(clips[:, :, :3])
    state = stream.state_dict()
    assert all(tensor.is_contiguous() and not tensor.is_inference() for tensor in state.values())
    other.load_state_dict(state)
    for tensor in state.values():
        tensor.zero_()
    for one in (stream, other):
        torch.testing.assert_close(one(clips[:, :, 3:]), network(clips), rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(8, 8), (7, 8), (5, 3), (2, 1)])
def test_average_pool_counts_only_what_is_inside(shape: tuple[int, int]) -> None:
    clips = torch.rand(2, 3, 2, *shape)
    ones, sums = torch.ones(1, 1, 3, 3), []
    for values in (clips.flatten(0, 2)[:, None], torch.ones(12, 1, *shape)):
        images, padding = pad_as_tensorflow(values, 3, 2)
        sums.append(F.conv2d(images, ones, None, 2, padding))
    expected = (sums[0] / sums[1]).view(2, 3, 2, *sums[0].shape[2:])
    assert expected.shape[3:] == (-(-shape[0] // 2), -(-shape[1] // 2))
    torch.testing.assert_close(SpatialAveragePool()(clips), expected)


@pytest.mark.parametrize(
    ("size", "kernel_size", "stride", "before", "after"),
    [(8, 3, 2, 0, 1), (7, 3, 2, 1, 1), (8, 5, 2, 1, 2), (7, 5, 2, 2, 2), (8, 3, 1, 1, 1), (1, 5, 2, 2, 2)],
)
def test_padding_of_tensorflow(size: int, kernel_size: int, stride: int, before: int, after: int) -> None:
    images, (rows, _) = pad_as_tensorflow(torch.ones(1, 1, size, 6), kernel_size, stride)
    column = F.pad(images, (0, 0, rows, rows))[0, 0].amax(1)
    assert column.tolist() == [0.0] * before + [1.0] * size + [0.0] * after
