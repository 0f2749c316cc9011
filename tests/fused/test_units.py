"""Blocks of the networks, fused, against their plain modules; and what training does with them."""

import contextlib
import copy
import functools
import logging
import sys
import types
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("triton")

from vov3d.fused import Gradient, Replayed, fuse, unavailable
from vov3d.fused.replay import Work, record_cuda_graph
from vov3d.fused.trial import refusal
from vov3d.fused.units import fits, residual_block
from vov3d.layers import (
    BatchNorm,
    Bottleneck,
    Conv3x3x3,
    D1Plus2D,
    D2Plus1D,
    DepthwiseConv3d,
    Residual,
    SqueezeExcitation,
    projection_shortcut,
)
from vov3d.models import create_model
from vov3d.models.vov3d import TOSA

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def stirred(module: nn.Module) -> nn.Module:
    """Norms that do something, in float64."""
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm3d):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias)
    return module.double().to(DEVICE)


def drawn(*shape: int) -> Tensor:
    clips = torch.randn(*shape, dtype=torch.float64, device=DEVICE)
    return clips.contiguous(memory_format=torch.channels_last_3d).requires_grad_()


def assert_same_step(fused: Residual, plain: Residual, clips: Tensor) -> None:
    """Output, gradients of clips and parameters, running statistics."""
    outs = residual_block(fused, clips), plain(clips)
    weights = torch.randn_like(outs[1])
    torch.testing.assert_close(*outs, rtol=1e-10, atol=1e-10)
    gradients = [
        torch.autograd.grad((out * weights).sum(), [clips, *block.parameters()])
        for out, block in zip(outs, (fused, plain), strict=True)
    ]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)
    for one, other in zip(fused.buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def tosa(*, stride: int) -> Residual:
    operator = D2Plus1D if stride == 1 else D1Plus2D
    block = TOSA(6, 8, 6, num_units=2, operator=operator, stride=stride)
    return Residual(block, projection_shortcut(6, 6, stride))


def x3d_block(*, stride: int) -> Residual:
    unit = Bottleneck(6, 8, 6, operator=DepthwiseConv3d, stride=stride, gate=SqueezeExcitation if stride == 1 else None)
    return Residual(unit, projection_shortcut(6, 6, stride))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("make", [tosa, x3d_block])
def test_a_block_is_its_plain_modules(make: Callable[..., Residual], stride: int) -> None:
    torch.manual_seed(0)
    plain = stirred(make(stride=stride))
    assert fits(plain)
    fused, clips = copy.deepcopy(plain), drawn(3, 6, 2, 3, 4)
    assert_same_step(fused, plain, clips)
    with torch.no_grad():
        torch.testing.assert_close(residual_block(fused.eval(), clips), plain.eval()(clips), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("shape", [(2, 6, 2, 3, 4), (1, 6, 1, 3, 1)])
@pytest.mark.parametrize("layout", ["frames first", "every other frame", "a part of the channels", "one clip for all"])
def test_memory_may_lie_in_any_way(layout: str, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    plain = stirred(x3d_block(stride=2))
    fused, clips = copy.deepcopy(plain), torch.randn(shape, dtype=torch.float64, device=DEVICE)
    if layout == "every other frame":
        clips = clips.repeat_interleave(2, dim=2)[:, :, ::2]
    elif layout == "a part of the channels":
        clips = torch.cat([clips, clips], dim=1).contiguous(memory_format=torch.channels_last_3d)[:, 3:9]
    elif layout == "one clip for all":
        clips = clips[:1].expand(shape)
    assert_same_step(fused, plain, clips.detach().requires_grad_())
    with torch.inference_mode():
        torch.testing.assert_close(residual_block(fused.eval(), clips), plain.eval()(clips), rtol=1e-10, atol=1e-10)


def test_what_the_kernels_do_not_know_is_left_to_plain_modules() -> None:
    for known, options in ((True, {}), (False, {"strided_input": True})):
        block = TOSA(6, 8, 6, num_units=2, operator=D2Plus1D, stride=2, **options)
        assert fits(Residual(block, projection_shortcut(6, 6, 2))) == known
    normed = TOSA(6, 8, 6, num_units=2, operator=functools.partial(D2Plus1D, between=BatchNorm), stride=1)
    assert not fits(Residual(normed, nn.Identity()))


def test_stochastic_depth_leaves_out_the_same_clips() -> None:
    torch.manual_seed(0)
    plain = stirred(x3d_block(stride=1))
    plain.depth.probability = 0.5
    fused, clips = copy.deepcopy(plain), drawn(6, 6, 1, 2, 2)
    with torch.no_grad():
        torch.manual_seed(1)
        expected = plain(clips)
        torch.manual_seed(1)
        torch.testing.assert_close(residual_block(fused, clips), expected, rtol=1e-10, atol=1e-10)
    assert any(torch.equal(out, clip.relu()) for out, clip in zip(expected, clips, strict=True))


@pytest.mark.parametrize("clips_per_group", [2, 3, None])
def test_statistics_are_those_that_forward_uses(clips_per_group: int | None) -> None:
    torch.manual_seed(0)
    norm, other = stirred(BatchNorm(5)), BatchNorm(5).double().to(DEVICE)
    other.load_state_dict(norm.state_dict())
    norm.clips_per_group = other.clips_per_group = clips_per_group
    clips = drawn(6, 5, 2, 3, 4)
    for training in (True, False):
        norm.train(training)
        other.train(training)
        rows = clips.flatten(2)
        mean, variance = norm.statistics(rows.mean(2), rows.var(2, unbiased=False), 24)
        scale = norm.weight * (variance + norm.eps).rsqrt()
        shown = (rows - mean[..., None]) * scale[..., None] + norm.bias[:, None]
        torch.testing.assert_close(shown.view_as(clips), other(clips), rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(norm.state_dict(), other.state_dict())


def test_only_blocks_that_the_kernels_know_are_fused() -> None:
    assert fuse(create_model("vov3d_s", num_classes=2)) == 4
    assert fuse(create_model("x3d_s", num_classes=2)) == 26
    assert fuse(create_model("vov3d_s", num_classes=2, operator=Conv3x3x3)) == 0
    assert fuse(create_model("tsn_r50", num_classes=2)) == 0
    assert fuse(create_model("vov3d_s", num_classes=2, causal=True)) == 0
    assert fuse(create_model("x3d_s", num_classes=2, causal=True)) == 0


def test_a_fused_network_keeps_its_names_and_takes_no_clips() -> None:
    model = create_model("vov3d_s", num_classes=2)
    names = list(model.state_dict())
    fuse(model)
    assert list(model.state_dict()) == names
    assert list(copy.deepcopy(model).state_dict()) == names
    assert model(torch.empty(0, 3, 4, 32, 32)).shape == (0, 2)


def test_a_trial_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    model = create_model("vov3d_s", num_classes=2)
    assert "none of its blocks" in str(refusal(create_model("tsn_r50", num_classes=2), DEVICE, torch.float32))
    synchronised = nn.SyncBatchNorm.convert_sync_batchnorm(create_model("vov3d_s", num_classes=2))
    assert "several processes" in str(refusal(synchronised, DEVICE, torch.float32))
    assert unavailable(torch.device("meta")) is None or "not on meta" in str(unavailable(torch.device("meta")))
    state = torch.get_rng_state()
    assert refusal(model, DEVICE, torch.float32) is None
    assert torch.equal(torch.get_rng_state(), state)
    monkeypatch.setattr("vov3d.fused.trial.residual_block", lambda block, clips: Residual.forward(block, clips) * 1.01)
    assert "off" in str(refusal(model, DEVICE, torch.float32))
    monkeypatch.setattr("vov3d.fused.trial.residual_block", lambda _block, _clips: 1 / 0)
    assert refusal(model, DEVICE, torch.float32) == "ZeroDivisionError: division by zero"


def test_a_trial_is_not_misled_by_plain_modules_that_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """As cuDNN does by default: factors in float32 lose all but 10 bits, which are those of float16."""
    convolve = torch.nn.functional.conv2d

    def convolve_rounded(images: Tensor, weight: Tensor, *rest: object, **options: object) -> Tensor:
        if torch.backends.cudnn.allow_tf32 and weight.dtype == torch.float32:
            images, weight = (one + (one.half().float() - one).detach() for one in (images, weight))
        return convolve(images, weight, *rest, **options)

    monkeypatch.setattr(torch.nn.functional, "conv2d", convolve_rounded)
    assert torch.backends.cudnn.allow_tf32
    assert refusal(create_model("vov3d_s", num_classes=2), DEVICE, torch.float32) is None
    assert torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (types.SimpleNamespace(__version__="3.2.0"), "triton 3.2.0 is older than they need (3.4)"),
        (None, "triton cannot be imported: "),
    ],
)
def test_without_a_triton_of_use_there_is_a_reason(found: object, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "triton", found)  # type: ignore[arg-type]  # None: it cannot be imported
    for device in ("cuda", "cpu"):
        assert str(unavailable(torch.device(device))).startswith(says)


class FakeCuda:
    """What `record_cuda_graph` asks of ``torch.cuda``, and in which order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.current, self.recording_on = FakeStream("usual"), None
        streams = iter([FakeStream("a new one")])
        monkeypatch.setattr(torch.cuda, "Stream", lambda: next(streams))
        monkeypatch.setattr(torch.cuda, "current_stream", lambda: self.current)
        monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: types.SimpleNamespace(replay=lambda: None))
        monkeypatch.setattr(torch.cuda, "stream", self.stream)
        monkeypatch.setattr(torch.cuda, "graph", self.graph)

    @contextlib.contextmanager
    def stream(self, stream: "FakeStream") -> Iterator[None]:
        before, self.current = self.current, stream
        try:
            yield
        finally:
            self.current = before

    @contextlib.contextmanager
    def graph(self, _graph: object, *, stream: "FakeStream", **_options: str) -> Iterator[None]:
        self.current = self.recording_on = stream
        yield  # of torch, where recording fails, this stream stays the current one


class FakeStream(str):
    def wait_stream(self, other: str) -> None:
        assert {self, other} == {"usual", "a new one"}


@pytest.mark.parametrize("fails", [False, True])
def test_a_graph_is_recorded_on_a_stream_of_the_current_gpu_that_is_then_left(
    fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuda, computed_on = FakeCuda(monkeypatch), []

    def work() -> tuple[Tensor, ...]:
        computed_on.append(str(cuda.current))
        if fails and cuda.recording_on:
            raise RuntimeError("operation not permitted when stream is capturing")
        return (torch.ones(1),)

    with pytest.raises(RuntimeError) if fails else contextlib.nullcontext():
        record_cuda_graph(work)
    assert computed_on == ["a new one", "a new one"]
    assert cuda.recording_on == "a new one"
    assert cuda.current == "usual"


class Recorder:
    """Does the work again and writes to the memory of the first time, as a graph does."""

    def __init__(self) -> None:
        self.recordings = self.replays = 0

    def __call__(self, work: Work) -> tuple[tuple[Tensor, ...], Callable[[], None]]:
        self.recordings += 1
        answers = work()

        def replay() -> None:
            self.replays += 1
            for first, again in zip(answers, work(), strict=True):
                with torch.inference_mode():  # a graph does not ask what kind of tensor it is
                    first.copy_(again)

        return answers, replay


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))


def gradient_of(model: nn.Module) -> Gradient:
    def gradient(clips: Tensor, targets: Tensor, share: float) -> tuple[Tensor, Tensor]:
        logits = model(clips)
        loss = nn.functional.cross_entropy(logits, targets, reduction="sum")
        (loss * share).backward()
        return loss.detach(), logits.detach()

    return gradient


@pytest.mark.parametrize("sizes", [(6, 6, 6, 4, 6), (6, 4, 4, 6, 4)])
def test_replayed_gradients_are_those_of_every_step(sizes: tuple[int, ...]) -> None:
    recorder, ours, plain = Recorder(), network(), network()
    replayed = Replayed(gradient_of(ours), ours, recorder)
    expected = gradient_of(plain)
    for step, size in enumerate(sizes):
        clips, targets = torch.randn(size, 4), torch.randint(3, (size,))
        answers = []
        for model, gradient in ((ours, replayed), (plain, expected)):
            model.zero_grad()
            torch.manual_seed(step)
            answers.append(tuple(one.clone() for one in gradient(clips, targets, 1 / size)))
        assert all(torch.equal(one, other) for one, other in zip(*answers, strict=True))
        for one, other in zip(ours.parameters(), plain.parameters(), strict=True):
            assert torch.equal(one.grad, other.grad)
        for one, other in zip(ours.buffers(), plain.buffers(), strict=True):
            assert torch.equal(one, other)
    assert recorder.recordings == 1
    assert recorder.replays == 1 + sum(size == sizes[1] for size in sizes[2:])


def test_a_replay_that_does_nothing_is_not_kept() -> None:
    model = network()
    replayed = Replayed(gradient_of(model), model, lambda work: (work(), lambda: None))
    for _ in range(3):
        model.zero_grad()
        replayed(torch.randn(6, 4), torch.randint(3, (6,)), 1.0)
    assert replayed.refused == "a gradient is nan% of its norm off"
    assert not replayed.is_recorded


def test_what_cannot_be_recorded_goes_the_slow_way(caplog: pytest.LogCaptureFixture) -> None:
    def fails(_work: Work) -> tuple[tuple[Tensor, ...], Callable[[], None]]:
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    model = network()
    replayed = Replayed(gradient_of(model), model, fails)
    with caplog.at_level(logging.INFO, "vov3d"):
        for _ in range(4):
            model.zero_grad()
            replayed(torch.randn(6, 4), torch.randint(3, (6,)), 1.0)
            assert all(parameter.grad is not None for parameter in model.parameters())
    assert [record.getMessage() for record in caplog.records] == [
        "the training step is not replayed as a graph: operation not permitted when stream is capturing"
    ]
