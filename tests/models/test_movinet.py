"""MoViNet: its counts, and a stream that gives what the clip gives."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from vov3d.errors import ArgumentError
from vov3d.layers import BatchNorm, PositionalEncoding, SpatialConv3d
from vov3d.models import (
    MODELS,
    MoViNet,
    MoViNetStream,
    movinet_a0,
    movinet_a0_stream,
    movinet_a1,
    movinet_a1_stream,
    movinet_a2,
    movinet_a2_stream,
)
from vov3d.models.counting import count_gmacs, count_parameters
from vov3d.models.movinet import A0, A1, A2, K15, K33, K53, SWISH, Rezero, Stage
from vov3d.models.movinet_stream import HardSigmoid, causal_3d, paper_causal_gate
from vov3d.models.published.movinet_port import MOVINET_PORT, MOVINET_STREAM_PORT

# network, pixels; trainable variables and multiply-adds of the convolutions in the authors' graph of 600 classes and 50
# frames (tf-models-official 2.19.1: Movinet and MovinetClassifier, kernels times outputs)
RELEASED = [
    (movinet_a0, 172, 3_111_799, 2.630733808),
    (movinet_a1, 172, 4_690_296, 5.865612704),
    (movinet_a2, 224, 5_249_562, 11.558071168),
    (movinet_a0_stream, 172, 3_748_031, 2.426445040),
    (movinet_a1_stream, 172, 6_447_352, 5.540325200),
    (movinet_a2_stream, 224, 7_326_962, 10.700453120),
]
TINY = (8, (Stage(8, ((16, K15), (24, K53))), Stage(16, ((24, K33),))), 24)


def paper_stream(*size: object, num_classes: int = 400) -> MoViNetStream:
    return MoViNetStream(
        *size,  # type: ignore[arg-type]
        operator=causal_3d,
        gate=paper_causal_gate,
        activation=SWISH,
        num_classes=num_classes,
    )


FORMS: dict[str, Callable[..., MoViNetStream]] = {"released": MoViNetStream, "paper": paper_stream}


@pytest.fixture(params=FORMS)
def network(request: pytest.FixtureRequest) -> MoViNetStream:
    """A small causal network in which every branch, statistic and position counts."""
    torch.manual_seed(0)
    model = FORMS[request.param](*TINY, num_classes=5)
    for module in model.modules():
        if isinstance(module, BatchNorm):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
        if isinstance(module, Rezero | PositionalEncoding):
            nn.init.ones_(module.weight)
    nn.init.normal_(model.head.classifier.weight, std=0.05)  # logits of a few units
    return model.eval()


def clip_logits(model: MoViNet, clips: Tensor) -> Tensor:
    with torch.no_grad():
        logits: Tensor = model(clips)
    return logits


@pytest.mark.parametrize(("build", "pixels", "parameters", "gmacs"), RELEASED)
def test_counts_of_the_released_networks(
    build: Callable[[int], MoViNet], pixels: int, parameters: int, gmacs: float
) -> None:
    with torch.device("meta"):
        model = build(600)
    assert count_parameters(model) == parameters
    assert count_gmacs(model, 50, pixels) == pytest.approx(gmacs, abs=1e-9)


@pytest.mark.parametrize(
    ("size", "pixels", "parameters", "gmacs"),
    [(A0, 172, 3_111_814, 2.647392240), (A1, 172, 4_690_320, 5.908532000), (A2, 224, 5_249_588, 11.611797120)],
)
def test_the_causal_form_of_the_paper(size: tuple[object, ...], pixels: int, parameters: int, gmacs: float) -> None:
    """One scalar a block more than the base, for positions; gates are computed anew for each frame."""
    with torch.device("meta"):
        model = paper_stream(*size, num_classes=600)
    assert count_parameters(model) == parameters
    assert count_gmacs(model, 50, pixels) == pytest.approx(gmacs, abs=1e-9)


def test_a0_of_the_table_of_the_paper() -> None:
    """With 40 channels in the first block the printed 3.1M and 2.71 GFLOPs, and 2.73 of the causal form, are A0's."""
    stem, (_, *later), head = A0
    stages = (Stage(8, ((40, K15),)), *later)
    for build, printed in ((MoViNet, 2.71), (paper_stream, 2.73)):
        with torch.device("meta"):
            model = build(stem, stages, head, num_classes=600)
        assert count_parameters(model) / 1e6 == pytest.approx(3.1, rel=0.01)
        assert count_gmacs(model, 50, 172) == pytest.approx(printed, rel=0.01)


def test_the_catalogue_has_what_was_counted() -> None:
    assert {name for name in MODELS if "movinet" in name} == {build.__name__ for build, *_ in RELEASED}


def test_the_names_of_the_port() -> None:
    with torch.device("meta"):
        base, stream, paper = movinet_a0(6), movinet_a0_stream(6), paper_stream(*A0)
    expected = {
        "stem.norm.running_var": "conv1.conv_1.norm.running_var",
        "stages.0.0.scale.weight": "blocks.b0_l0.alpha",
        "stages.1.0.expand.conv.weight": "blocks.b1_l0.expand.conv_1.conv2d.weight",
        "stages.1.0.operator.spatial.conv.weight": "blocks.b1_l0.deep.conv_1.conv2d.weight",
        "stages.1.0.operator.temporal.norm.bias": "blocks.b1_l0.deep.conv_2.norm.bias",
        "stages.1.0.gate.fc2.bias": "blocks.b1_l0.se.fc2.conv_1.conv2d.bias",
        "stages.4.3.project.conv.weight": "blocks.b4_l3.project.conv_1.conv2d.weight",
        "stages.4.0.shortcut.project.conv.weight": "blocks.b4_l0.res.1.conv_1.conv2d.weight",
        "head.project.conv.weight": "conv7.conv_1.conv2d.weight",
        "head.hidden.weight": "classifier.0.conv_1.conv2d.weight",
        "head.classifier.bias": "classifier.3.conv_1.conv2d.bias",
    }
    names = MOVINET_STREAM_PORT.names(stream)
    assert {ours: names[ours] for ours in expected} == expected
    assert len(set(names.values())) == len(names) == len(stream.state_dict())
    assert MOVINET_PORT.names(base)["stages.1.0.operator.conv.weight"] == "blocks.b1_l0.deep.conv_1.conv3d.weight"
    assert MOVINET_PORT.names(stream) == MOVINET_STREAM_PORT.names(base) == MOVINET_STREAM_PORT.names(paper) == {}


@pytest.mark.parametrize("chunks", [(1,) * 9, (2, 3, 1, 3), (9,)])
def test_a_stream_gives_what_the_clip_gives(network: MoViNetStream, chunks: tuple[int, ...]) -> None:
    clips, seen = torch.randn(2, 3, sum(chunks), 35, 50), 0
    stream = network.stream()
    for num_frames in chunks:
        logits = stream(clips[:, :, seen : seen + num_frames])
        seen += num_frames
        torch.testing.assert_close(logits, clip_logits(network, clips[:, :, :seen]), rtol=0, atol=1e-5)


def test_a_stream_gives_what_the_clip_gives_in_a0() -> None:
    torch.manual_seed(0)
    model = movinet_a0_stream(5).eval()
    for module in model.modules():
        if isinstance(module, Rezero):
            nn.init.ones_(module.weight)
    clips, stream = torch.randn(1, 3, 6, 32, 32), model.stream()
    stream(clips[:, :, :4])
    torch.testing.assert_close(stream(clips[:, :, 4:]), clip_logits(model, clips), rtol=0, atol=1e-5)


def test_no_frame_sees_a_later_one(network: MoViNetStream) -> None:
    clips = torch.randn(1, 3, 6, 32, 32)
    changed = clips.clone()
    changed[:, :, 4:] += 1
    with torch.no_grad():
        before, after = network.forward_features(clips), network.forward_features(changed)
    assert torch.equal(before[:, :, :4], after[:, :, :4])
    assert all((before[:, :, t] != after[:, :, t]).any() for t in (4, 5))


def test_the_base_sees_later_frames_and_cannot_stream() -> None:
    model = MoViNet(*TINY, num_classes=2).eval()
    with pytest.raises(ArgumentError, match="MoViNet sees frames before they come"):
        model.stream()


def test_the_hard_sigmoid_of_the_released_weights() -> None:
    gates = HardSigmoid()(torch.tensor([-3, -2.5, -1, 0, 1, 2.5, 3]))
    torch.testing.assert_close(gates, torch.tensor([0, 0, 0.3, 0.5, 0.7, 1, 1]))


def test_each_block_starts_as_its_shortcut() -> None:
    model = MoViNet(*TINY, num_classes=2).eval()
    block, clips = model.stages[0][1], torch.randn(1, 8, 3, 8, 8)
    assert isinstance(block.shortcut, nn.Sequential) and len(block.shortcut) == 0
    assert torch.equal(block(clips), clips)


def test_strided_convolutions_see_what_tensorflows_see() -> None:
    """On an even number of pixels the first window begins at the first pixel, and the last one has the zeros."""
    stem = MoViNet(*TINY).stem.conv
    assert isinstance(stem, SpatialConv3d)
    nn.init.ones_(stem.weight)
    row = torch.zeros(1, 3, 1, 32, 33)
    row[0, 0, 0, 0, 0] = 1
    with torch.no_grad():
        assert stem(row)[0, 0, 0, 0, :2].tolist() == [1, 0]  # odd columns: symmetric
        row = torch.zeros(1, 3, 1, 32, 32)
        row[0, 0, 0, 0, 2] = 1
        assert stem(row)[0, 0, 0, 0, :3].tolist() == [1, 1, 0]  # windows 0..2 and 2..4
