"""Streams whose layers see images: the logits of the clip, in less time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.filling import fill
from tests.models.test_causal import SMALL, alive, logits_of
from tests.optimize.networks import NETWORKS
from vov3d.errors import ArgumentError
from vov3d.layers import BatchNorm
from vov3d.models import ClipClassifier, MoViNetStream, VoV3D, create_model
from vov3d.optimize import fast_stream
from vov3d.optimize.image_layers import ImageConv, MeanOfImages, ScaledTaps
from vov3d.optimize.streaming import FrameNetwork, FrameStream

STREAMED: dict[str, Callable[..., ClipClassifier]] = {
    **SMALL,
    "strided_input": lambda **options: VoV3D(
        12, (1, 1, 2, 1), num_units=2, num_classes=5, strided_input=True, **options
    ),
}


@pytest.fixture(params=STREAMED)
def network(request: pytest.FixtureRequest) -> ClipClassifier:
    """A small causal network."""
    torch.manual_seed(0)
    return alive(STREAMED[request.param](causal=True))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)], ids=str)
@pytest.mark.parametrize("chunks", [(1,) * 6, (3, 1, 2)], ids=str)
def test_a_stream_gives_what_the_clip_gives(
    network: ClipClassifier, chunks: tuple[int, ...], dtype: torch.dtype, tolerance: float
) -> None:
    network.to(dtype)
    clips, seen = torch.randn(2, 3, 6, 45, 37, dtype=dtype), 0
    stream = fast_stream(network)
    assert not any(isinstance(module, BatchNorm) for module in stream._network.modules())
    for num_frames in chunks:
        logits = stream(clips[:, :, seen : seen + num_frames])
        seen += num_frames
        torch.testing.assert_close(logits, logits_of(network, clips[:, :, :seen]), rtol=0, atol=tolerance)
    assert logits.std() > 0.02


@pytest.mark.parametrize("name", ["vov3d_s", "vov3d_m", "vov3d_l", "x3d_m"])
def test_published_networks_stream_in_single_precision(name: str) -> None:
    model = create_model(name, num_classes=7, causal=True)
    fill(model)
    clips, stream = torch.randn(1, 3, 6, 64, 64), fast_stream(model.eval())
    for frame in range(6):
        logits = stream(clips[:, :, frame : frame + 1])
    torch.testing.assert_close(logits, logits_of(model, clips), rtol=0, atol=1e-5)
    assert logits.std() > 0.05


def test_half_precision_streams_too() -> None:
    model = alive(SMALL["d2plus1d"](causal=True))
    clips = torch.randn(1, 3, 4, 32, 32)
    logits = fast_stream(model.bfloat16())(clips.bfloat16())
    assert logits.dtype == torch.bfloat16
    torch.testing.assert_close(logits.float(), logits_of(model.float(), clips), rtol=0, atol=0.05)


def test_every_map_stays_channels_last() -> None:
    """One that was not would be laid out anew by each convolution that follows."""
    stream, checked = fast_stream(alive(SMALL["d2plus1d"](causal=True))), set()

    def check(module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        if output.dim() == 4:
            assert output.is_contiguous(memory_format=torch.channels_last), module
            checked.add(type(module).__name__)

    for module in stream._network.modules():
        module.register_forward_hook(check)
    stream(torch.randn(1, 3, 2, 64, 48))
    assert {"ImageConv", "ScaledTaps", "ImageGate", "Chain", "ImageResidual", "TOSA"} <= checked


def test_convolutions_choose_by_shape() -> None:
    """Matrix products of torch and of oneDNN and convolutions, for images of one size after the other."""
    layers = [
        ImageConv(torch.randn(16, 12, 1, 1), torch.randn(16)),
        ImageConv(torch.randn(8, 12, 1, 1), None),
        ImageConv(torch.randn(9, 12, 3, 3), torch.randn(9), stride=2),
        ImageConv(torch.randn(12, 1, 3, 3), None, groups=12),
    ]
    for layer in layers:
        for size in (1, 7, 80):
            for rectifies in (False, True):
                layer.rectifies, layer.compute = rectifies, None
                images = torch.randn(2, 12, size, size).contiguous(memory_format=torch.channels_last)
                with torch.inference_mode():
                    found = layer(images)
                expected = nn.functional.conv2d(
                    images.double(),
                    layer.weight.double(),
                    None if layer.bias is None else layer.bias.double(),
                    layer.stride,
                    layer.padding,
                    groups=layer.groups,
                )
                expected = expected.relu() if rectifies else expected
                torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-4)


def test_cameras_begin_anew_beside_the_others(network: ClipClassifier) -> None:
    clips, stream = torch.randn(3, 3, 5, 32, 40), fast_stream(network)
    stream(clips[:, :, :2])
    stream.reset([1])
    found = stream(clips[:, :, 2:])
    torch.testing.assert_close(found[[0, 2]], logits_of(network, clips[[0, 2]]), rtol=0, atol=1e-5)
    torch.testing.assert_close(found[1:2], logits_of(network, clips[1:2, :, 2:]), rtol=0, atol=1e-5)
    stream.reset()
    larger = torch.randn(1, 3, 2, 64, 48)
    torch.testing.assert_close(stream(larger), logits_of(network, larger), rtol=0, atol=1e-5)


def test_a_chunk_that_fails_leaves_no_trace(network: ClipClassifier) -> None:
    clips, stream, calls = torch.randn(1, 3, 4, 32, 32), fast_stream(network), []
    stream(clips[:, :, :1])

    def fail_the_second_time(*_: object) -> None:
        calls.append(1)
        assert len(calls) < 2, "broken"

    handle = stream._network.head.register_forward_pre_hook(fail_the_second_time)
    with pytest.raises(AssertionError, match="broken"):
        stream(clips[:, :, 1:4])
    handle.remove()
    assert stream.num_frames is not None and stream.num_frames.tolist() == [1]
    torch.testing.assert_close(stream(clips[:, :, 1:]), logits_of(network, clips), rtol=0, atol=1e-5)


def test_a_saved_state_goes_on(network: ClipClassifier, tmp_path: Path) -> None:
    clips, stream = torch.randn(2, 3, 4, 32, 32), fast_stream(network)
    stream(clips[:, :, :3])
    torch.save(stream.state_dict(), tmp_path / "state.pt")
    other = fast_stream(network)
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    expected = logits_of(network, clips)
    for one in (stream, other, stream):
        one.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
        torch.testing.assert_close(one(clips[:, :, 3:]), expected, rtol=0, atol=1e-5)
    with pytest.raises(ArgumentError, match="the state is of another network"):
        network.stream().load_state_dict(stream.state_dict())


def test_the_network_stays_as_it_is() -> None:
    model = alive(SMALL["d2plus1d"](causal=True))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    clips = torch.randn(1, 3, 2, 32, 32)
    expected = logits_of(model, clips)
    fast_stream(model)(clips)
    assert torch.equal(logits_of(model, clips), expected)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_other_networks_are_folded() -> None:
    (movinet,) = (build() for build in NETWORKS.values() if isinstance(build(), MoViNetStream))
    clips, stream = torch.randn(1, 3, 3, 64, 64), fast_stream(movinet.eval())
    assert not isinstance(stream, FrameStream)
    torch.testing.assert_close(stream(clips), logits_of(movinet, clips), rtol=0, atol=1e-5)


def test_what_cannot_be_streamed_is_told() -> None:
    with pytest.raises(ArgumentError, match="VoV3D sees frames before they come"):
        fast_stream(SMALL["d2plus1d"]().eval())
    model = SMALL["d2plus1d"](causal=True)
    with pytest.raises(ArgumentError, match="training mode"):
        fast_stream(model.train())
    stream, frames = fast_stream(model.eval()), torch.randn(1, 3, 1, 32, 32)
    with pytest.raises(ArgumentError, match=r"float64, the network torch.float32; give frames.to\(model.dtype\)"):
        stream(frames.double())
    with pytest.raises(ArgumentError, match="without autocast"), torch.autocast("cpu"):
        stream(frames)
    with pytest.raises(ArgumentError, match=r"allowed is \[N, 3, T, H, W\]"):
        stream(frames[:, :2])


@pytest.mark.slow
def test_means_of_long_streams_do_not_drift() -> None:
    """100,000 frames: a mean in single precision is as near to that in double as its own rounding."""
    stream = fast_stream(alive(SMALL["d2plus1d"](causal=True)))
    layer, past = MeanOfImages(), stream._past
    layer.past = past
    values = 1 + torch.rand(100_000, 4, generator=torch.Generator().manual_seed(0))
    for value in values:
        past.begin(value.view(1, 4, 1, 1, 1))
        mean = layer(value.view(1, 4, 1, 1))
        past.settle()
    torch.testing.assert_close(mean[0].double(), values.double().mean(0), rtol=2e-7, atol=0)


def test_what_takes_time_is_done_once() -> None:
    stream = fast_stream(alive(SMALL["d2plus1d"](causal=True)))
    assert isinstance(stream._network, FrameNetwork)
    stream(torch.randn(1, 3, 1, 32, 32))
    layers = [module for module in stream._network.modules() if isinstance(module, ImageConv)]
    taps = [module for module in stream._network.modules() if isinstance(module, ScaledTaps)]
    prepared, factors = [layer.compute for layer in layers], [layer.factors for layer in taps]
    assert len(layers) > 20 and len(taps) == 9
    stream(torch.randn(1, 3, 2, 32, 32))
    assert all(layer.compute is one for layer, one in zip(layers, prepared, strict=True))
    assert all(layer.factors is one for layer, one in zip(taps, factors, strict=True))
