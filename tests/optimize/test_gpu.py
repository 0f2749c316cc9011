"""The back ends for CUDA GPUs, without one: kernels in Triton's interpreter, graphs that are only played."""

import logging
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("triton")

import vov3d
from tests.fused.test_units import Recorder
from tests.optimize.networks import clips, network
from vov3d.errors import ArgumentError, OptimizeError
from vov3d.fast import device_for
from vov3d.fused.inference import fuse_folded
from vov3d.fused.replay import ReplayedForShape, Work
from vov3d.layers import (
    BatchNorm,
    Bottleneck,
    Conv3x3x3,
    D1Plus2D,
    D2Plus1D,
    DepthwiseConv3d,
    Operator,
    PoolHead,
    Residual,
    SqueezeExcitation,
    Stem,
    projection_shortcut,
)
from vov3d.models import ClipClassifier
from vov3d.models.vov3d import TOSA
from vov3d.optimize import BACKENDS, Precision, choosing, gpu
from vov3d.optimize.folding import folded

needs_no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="the kernels run in the interpreter here")


def network_of(*blocks: Residual) -> ClipClassifier:
    """A network of these blocks alone, in evaluation, with norms that do something."""
    model = ClipClassifier(Stem(3, 6), nn.Sequential(nn.Sequential(*blocks)), PoolHead(6, 3, dropout=0.0))
    for module in model.modules():
        if isinstance(module, BatchNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
            nn.init.normal_(module.running_mean, 0, 0.1)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    return model.eval()


def aggregations(operator: Operator = D2Plus1D) -> ClipClassifier:
    """T-OSA blocks: one that strides and one that keeps its input."""
    torch.manual_seed(0)
    first = TOSA(6, 8, 6, num_units=2, operator=operator, stride=2)
    second = TOSA(6, 8, 6, num_units=1, operator=operator, stride=1)
    return network_of(Residual(first, projection_shortcut(6, 6, 2)), Residual(second, nn.Identity()))


def bottlenecks() -> ClipClassifier:
    """X3D's blocks: one that strides and one with gates."""
    torch.manual_seed(0)
    first = Bottleneck(6, 8, 6, operator=DepthwiseConv3d, stride=2, gate=None)
    second = Bottleneck(6, 8, 6, operator=DepthwiseConv3d, stride=1, gate=SqueezeExcitation)
    return network_of(Residual(first, projection_shortcut(6, 6, 2)), Residual(second, nn.Identity()))


@needs_no_gpu
@pytest.mark.parametrize(
    ("make", "num_clips"), [(aggregations, 1), (lambda: aggregations(D1Plus2D), 1), (bottlenecks, 2)]
)
@torch.no_grad()
def test_fused_blocks_are_the_folded_ones(make: Callable[[], ClipClassifier], num_clips: int) -> None:
    model, given = make(), clips(num_clips, 2, 32, 32)
    fused = folded(model)
    assert fuse_folded(fused) == 2
    torch.testing.assert_close(fused(given), model(given), rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_other_blocks_stay() -> None:
    assert fuse_folded(folded(aggregations(Conv3x3x3))) == 0
    assert "no blocks" in str(gpu.refuses_fused(network("tsm"), "fp32")) or torch.cuda.is_available()


@needs_no_gpu
@pytest.mark.parametrize(("precision", "cosine"), [("fp32", 0.999999), ("bf16", 0.99)])
@torch.no_grad()
def test_fused_inference_is_recorded_and_near(precision: Precision, cosine: float) -> None:
    model, example, recorder = bottlenecks(), clips(1, 1, 32, 32), Recorder()
    maps = gpu.compile_fused(choosing._job(model, example, precision, None, None), recorder)(example)
    expected = model.head.before_pool(model.forward_features(example))
    assert (recorder.recordings, recorder.replays, maps.dtype) == (1, 1, torch.float32)
    assert torch.cosine_similarity(maps.flatten(1), expected.flatten(1)).min() > cosine


@torch.no_grad()
def test_the_graph_computes_any_network() -> None:
    model = network("tsm")
    run = gpu.compile_graph(choosing._job(model, clips(), "fp32", None, None), Recorder())
    expected = model.head.before_pool(model.forward_features(clips(3)))
    torch.testing.assert_close(run(clips(3)), expected, rtol=1e-4, atol=1e-5)


def test_recordings_are_kept_for_the_shapes_used_last() -> None:
    recorder = Recorder()
    doubled = ReplayedForShape(lambda given: given * 2, recorder, most=2)
    first = doubled(torch.ones(1, 3))
    for size in (2, 1, 3, 1, 2):
        given = torch.randn(size, 3)
        assert torch.equal(doubled(given), given * 2)
    assert recorder.recordings == 4, "that of size 2 made place for that of size 3"
    assert torch.equal(first, torch.full((1, 3), 2.0)), "answers stay as they are"


def test_a_recording_made_in_inference_mode_is_of_use_outside() -> None:
    doubled = ReplayedForShape(lambda given: given * 2, Recorder())
    with torch.inference_mode():
        doubled(torch.ones(3))
    with torch.no_grad():
        assert torch.equal(doubled(torch.full((3,), 2.0)), torch.full((3,), 4.0))


def test_what_cannot_be_recorded_is_computed_as_ever(caplog: pytest.LogCaptureFixture) -> None:
    def fails(_work: Work) -> tuple[tuple[Tensor, ...], Callable[[], None]]:
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    doubled = ReplayedForShape(lambda given: given * 2, fails)
    with caplog.at_level(logging.INFO, "vov3d"):
        for size in (1, 2, 1):
            assert torch.equal(doubled(torch.ones(size)), torch.full((size,), 2.0))
    assert [record.getMessage() for record in caplog.records] == [
        "the network is not replayed as a graph: operation not permitted when stream is capturing"
    ]


def test_back_ends_are_of_one_device() -> None:
    assert choosing.candidates("cuda") == ["fused", "graph"]
    assert "fused" not in choosing.candidates("cpu")
    assert all(BACKENDS[name].refuses(network("tsm"), "int8") for name in ("fused", "graph"))
    with pytest.raises(OptimizeError, match="graph: it is for CUDA GPUs, and the network is on cpu"):
        vov3d.optimize(network("vov3d"), clips(), backend="graph")
    with pytest.raises(ArgumentError, match="the example is on meta, and the network on cpu"):
        vov3d.optimize(network("vov3d"), clips().to("meta"))


def test_fast_goes_where_there_is_an_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [device_for(None, name) for name in ("auto", "mps", "cuda:1")] == ["auto", "mps", "cuda:1"]
    for has_gpu, expected in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda has_gpu=has_gpu: has_gpu)
        assert device_for("bf16", "auto") == expected
        assert device_for("int8", "auto") == device_for("fp32", "cpu") == "cpu"
    assert device_for("bf16", "cuda:1") == "cuda:1"
    with pytest.raises(ArgumentError, match="'int8' is for the CPU, and the device is 'cuda'"):
        device_for("int8", "cuda")
    with pytest.raises(ArgumentError, match="'bf16' is for CPUs and CUDA GPUs, and the device is 'mps'"):
        device_for("bf16", "mps")
