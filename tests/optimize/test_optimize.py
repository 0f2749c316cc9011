"""Other engines: the same logits within what a precision allows, and a reason where there are none."""

from __future__ import annotations

import dataclasses
import importlib.util
import logging
import multiprocessing
import sys
import warnings

import pytest
import torch
from torch import Tensor

import vov3d
from tests.optimize.networks import NETWORKS, clips, network
from vov3d.errors import ArgumentError, OptimizeError
from vov3d.models import ClipClassifier
from vov3d.optimize import BACKENDS, Optimized, Precision, choosing
from vov3d.optimize.backend import Backend, Compiled, Job, Trunk

POOL_WHAT_IS_NOT_THERE = ("tpn", "i3d_nl")
"""Networks that pool more frames than are left of these clips, which OpenVINO refuses."""

CASES = [
    *((name, "openvino", "fp32") for name in NETWORKS if name not in POOL_WHAT_IS_NOT_THERE),
    ("vov3d", "torch", "fp32"),
    ("vov3d", "torch", "bf16"),
    ("vov3d", "openvino", "bf16"),
    pytest.param("vov3d", "openvino", "int8", marks=pytest.mark.slow),
    ("vov3d", "onnxruntime", "fp32"),
    ("vov3d", "native", "fp32"),
    ("vov3d", "native", "bf16"),
    ("vov3d", "native", "int8"),
    ("x3d", "torch", "bf16"),
    ("x3d", "native", "fp32"),
    ("x3d", "native", "int8"),
    ("tsm", "torch", "fp32"),
    ("slowfast", "torch", "fp32"),
    pytest.param("slowfast", "openvino", "bf16", marks=pytest.mark.slow),
]


@pytest.fixture
def model() -> ClipClassifier:
    return network("vov3d")


def optimized(model: ClipClassifier, precision: Precision, backend: str, example: Tensor) -> Optimized:
    calibration = clips(3) if precision == "int8" else None
    return vov3d.optimize(model, example, precision, backend, calibration=calibration, num_threads=1)


@pytest.mark.parametrize(("name", "backend", "precision"), CASES)
def test_every_back_end_keeps_the_contract(name: str, backend: str, precision: Precision) -> None:
    model, example = network(name), clips(2)
    if (reason := BACKENDS[backend].refuses(model, precision)) is not None:
        pytest.skip(reason)
    tolerance = {"fp32": 1e-4, "bf16": 0.03, "int8": 0.1}[precision]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fast = optimized(model, precision, backend, example)
    assert (fast.backend, fast.precision, fast.num_threads) == (backend, precision, 1)
    assert 0 <= fast.max_error <= tolerance
    assert fast.cosine > 0.98
    with torch.no_grad():
        expected, positions = model(clips(3)), model.position_logits(clips(3), (3, 1, 1))
    scale = float(expected.abs().max())
    for number in (1, 3):
        logits = fast(clips(3)[:number])
        assert (logits.dtype, logits.requires_grad) == (torch.float32, False)
        assert float((logits - expected[:number]).abs().max()) <= tolerance * scale
    found = fast.position_logits(clips(3), (3, 1, 1))
    assert found.shape == positions.shape
    assert float((found - positions).abs().max()) <= 3 * tolerance * scale  # a position averages less noise away


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_compile_keeps_the_contract(model: ClipClassifier, precision: Precision) -> None:
    fast = optimized(model, precision, "compile", clips())
    with torch.no_grad():
        torch.testing.assert_close(fast(clips(3)), model(clips(3)), rtol=0.03, atol=0.03)


def test_the_network_and_the_threads_stay_as_they_were(model: ClipClassifier) -> None:
    before = {key: value.clone() for key, value in model.state_dict().items()}
    threads = torch.get_num_threads()
    one = vov3d.optimize(model, clips(), backend="torch", num_threads=2)
    other = vov3d.optimize(network("x3d"), clips(), "bf16", backend="torch", num_threads=1)
    first = one(clips())
    assert torch.equal(other(clips()), other(clips()))
    assert torch.equal(one(clips()), first)
    assert torch.get_num_threads() == threads
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not model.training
    with torch.no_grad():
        assert torch.equal(one(clips()), first)


@pytest.mark.skipif(sys.platform != "linux", reason="threads of OpenMP, as GCC has them")
@pytest.mark.parametrize("backend", ["torch", "native"])
def test_no_child_of_a_fork_waits_for_the_threads_of_its_parent(model: ClipClassifier, backend: str) -> None:
    if (reason := BACKENDS[backend].refuses(model, "fp32")) is not None:
        pytest.skip(reason)
    several = clips(2, 4, 64, 64).double()  # which torch turns into float32 on several threads
    fast = vov3d.optimize(model, several, backend=backend, num_threads=2)
    expected, context = fast(several), multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)

    def answer() -> None:
        try:
            theirs.send(bool((fast(several) - expected).abs().max() < 1e-5))
        except ArgumentError as error:
            theirs.send(str(error))

    child = context.Process(target=answer)
    child.start()
    child.join(60)
    child.kill()
    assert ours.poll(), "it hangs"
    told = ours.recv()
    assert told is True if backend != "torch" else "optimise the network in each process, or with num_threads=1" in told


def test_the_programs_logger_stays_as_it_was() -> None:
    pytest.importorskip("openvino")
    before = logging.getLogger().level
    vov3d.optimize(network("i3d"), clips(), backend="openvino", num_threads=1)
    assert logging.getLogger().level == before


def test_it_stays_in_evaluation_and_says_what_it_is(model: ClipClassifier) -> None:
    fast = vov3d.optimize(model, clips(), backend="torch", num_threads=1)
    assert fast.eval() is fast
    assert not fast.training
    assert (fast.num_classes, fast.dtype) == (7, torch.float32)
    assert str(fast).startswith("torch, fp32, 1 thread: logits differ from plain float32 by at most ")
    with pytest.raises(ArgumentError, match="cannot be trained"):
        fast.train()


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (clips(width=48), "4 frames of 32x48; this network was optimised for 4 of 32x46"),
        (clips(frames=5), "5 frames of 32x46; this network was optimised for 4"),
        (clips()[:0], "no clip"),
        (clips()[0], r"\[N, 3, T, H, W\]"),
    ],
)
def test_clips_of_another_size_are_refused(model: ClipClassifier, other: Tensor, message: str) -> None:
    fast = vov3d.optimize(model, clips(), backend="torch")
    with pytest.raises(ArgumentError, match=message):
        fast(other)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"precision": "fp16"}, "unknown precision 'fp16'"),
        ({"backend": "openvin"}, "did you mean 'openvino'"),
        ({"precision": "int8"}, "int8 needs calibration clips"),
        ({"calibration": clips(frames=2)}, r"calibration clips have shape \[2, 3, 2, 32, 46\]"),
        ({"calibration": []}, "calibration holds no clip"),
        ({"calibration": [clips()[0], "clip"]}, "clips are of type str; give a tensor"),
        ({"calibration": 32}, "calibration is of type int; give clips"),
        ({"calibration": clips() / 0}, "calibration clips hold infinite or undefined values"),
        ({"num_threads": 0}, "num_threads is 0"),
        ({"num_threads": "2"}, "num_threads is '2'; it must be a whole number from 1 to 4096"),
        ({"num_threads": 10**9}, "from 1 to 4096"),
        ({"precision": torch.bfloat16}, r"unknown precision torch\.bfloat16"),
        ({"backend": ["native"]}, r"unknown backend \['native'\]; did you mean 'native'"),
        ({"example": [clips()]}, "clips are of type list; give a tensor"),
        ({"example": clips()[:0]}, "the example holds no clip"),
        ({"example": clips() / 0}, "infinite or undefined logits for the example"),
    ],
)
def test_wrong_arguments_are_named(model: ClipClassifier, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        vov3d.optimize(model, **{"example": clips(), **arguments})  # type: ignore[arg-type]


def test_networks_that_cannot_be_optimised_are_refused(model: ClipClassifier) -> None:
    with pytest.raises(ArgumentError, match="training mode"):
        vov3d.optimize(model.train(), clips())
    model.eval().stem.train()
    with pytest.raises(ArgumentError, match="a part of it, is in training mode"):
        vov3d.optimize(model, clips())
    model.eval().head.double()
    with pytest.raises(ArgumentError, match=r"float64 on cpu; .*all of it at one place"):
        vov3d.optimize(model, clips())
    with pytest.raises(ArgumentError, match="float64 on cpu"):
        vov3d.optimize(model.double(), clips().double())
    with pytest.raises(ArgumentError, match="of type Identity; give one that create_model or load_trained returns"):
        vov3d.optimize(torch.nn.Identity().eval(), clips())  # type: ignore[arg-type]


def test_calibration_may_be_a_list_of_clips_or_of_batches(
    model: ClipClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Tensor | None] = []

    def noted(job: Job) -> Compiled:
        shown.append(job.calibration)
        return Trunk(job.folded)

    monkeypatch.setattr(choosing, "BACKENDS", {"noted": dataclasses.replace(wrong_by(1), compile=noted)})
    whole = clips(3)
    for given in (whole, [*whole], (whole[:2], whole[2]), whole.double()):
        vov3d.optimize(model, clips(), "int8", backend="noted", calibration=given)
        assert torch.equal(shown[-1], whole)  # type: ignore[arg-type]


def test_logits_of_zeros_are_no_error(model: ClipClassifier) -> None:
    torch.nn.init.zeros_(model.head.classifier.weight)
    torch.nn.init.zeros_(model.head.classifier.bias)
    fast = vov3d.optimize(model, clips(), "bf16", backend="torch")
    assert (fast.max_error, fast.cosine) == (0, 1)


def test_it_stays_where_and_what_it_is(model: ClipClassifier) -> None:
    fast = vov3d.optimize(model, clips(), backend="torch")
    logits = fast(clips())
    assert torch.equal(fast.to("cpu").float()(clips()), logits)
    for moved in (fast.half, fast.double, lambda: fast.to("meta")):
        with pytest.raises(ArgumentError, match=r"stays float32 on cpu, and was to be torch\.float"):
            moved()
    assert torch.equal(fast(clips()), logits)
    with pytest.raises(ArgumentError, match="cannot be traced"):
        torch.jit.trace(fast, clips())


@pytest.mark.parametrize(
    ("precision", "backend", "reason"),
    [
        ("int8", "torch", "no int8"),
        ("int8", "compile", "no int8"),
        ("int8", "onnxruntime", "int8 is not built"),
        ("bf16", "onnxruntime", "no bf16"),
    ],
)
def test_what_a_back_end_cannot_do_it_says(
    model: ClipClassifier, precision: Precision, backend: str, reason: str
) -> None:
    with pytest.raises(OptimizeError, match=f"{backend}: .*{reason}"):
        optimized(model, precision, backend, clips())


def test_the_native_kernel_leaves_causal_networks_to_others() -> None:
    fast = vov3d.optimize(network("vov3d_causal"), clips(), backend="torch")
    assert fast.max_error <= 1e-5
    with pytest.raises(OptimizeError, match=r"native: .* it has no causal form"):
        vov3d.optimize(network("vov3d_causal"), clips(), backend="native")


def test_a_package_that_is_missing_is_named(model: ClipClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "openvino" else found(name))
    monkeypatch.setattr("vov3d.native.unavailable", lambda _precision: "no compiler")
    with pytest.raises(OptimizeError, match=r"openvino is not installed; pip install 'vov3d\[fast\]'"):
        vov3d.optimize(model, clips(), backend="openvino")
    fast = vov3d.optimize(model, clips())
    assert fast.backend == "torch"
    assert fast.passed_over["native"] == "no compiler"
    assert list(fast.passed_over) == ["native", "openvino"]
    with pytest.raises(OptimizeError, match=r"VoV3D in int8 here: native: .*; openvino: .*'vov3d\[int8\]'; torch: "):
        vov3d.optimize(model, clips(), "int8", calibration=clips())


def test_float32_stays_float32_under_autocast(model: ClipClassifier) -> None:
    expected = model(clips()).detach()
    with torch.autocast("cpu", torch.bfloat16):
        logits = vov3d.optimize(model, clips(), backend="torch")(clips())
    assert logits.dtype == torch.float32
    assert float((logits - expected).abs().max()) <= 1e-4 * float(expected.abs().max())


def wrong_by(factor: float) -> Backend:
    """A back end whose map is off by a factor in its second half of channels."""

    def compile_trunk(job: Job) -> Compiled:
        trunk = Trunk(job.folded)

        def run(given: Tensor) -> Tensor:
            maps = trunk(given).clone()
            maps[:, maps.shape[1] // 2 :] *= factor
            return maps

        return run

    return Backend("wrong", lambda _model, _precision: None, compile_trunk)


def broken(_job: Job) -> Compiled:
    raise RuntimeError("an operator is unknown\nand much more")


def test_auto_passes_over_what_is_too_far_off_or_fails(
    model: ClipClassifier, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    backends = {
        "far": wrong_by(1.01),
        "broken": dataclasses.replace(wrong_by(1), compile=broken),
        "torch": BACKENDS["torch"],
    }
    monkeypatch.setattr(choosing, "BACKENDS", backends)
    fast = vov3d.optimize(model, clips())
    assert fast.backend == "torch"
    assert "off by" in fast.passed_over["far"]
    assert fast.passed_over["broken"] == "it fails on this network: RuntimeError: an operator is unknown and much more"
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "back end far is passed over",
        "back end broken is passed over",
    ]
    with pytest.raises(OptimizeError, match=r"far: its logits are off by \d\.\de-0\d of the largest; allowed is 1e-04"):
        vov3d.optimize(model, clips(), backend="far")
    backends["far"] = wrong_by(-3)
    with pytest.raises(OptimizeError, match=r"the cosine of its logits to the plain ones is -?0\.\d+; allowed is 0.99"):
        vov3d.optimize(model, clips(), "bf16", backend="far")
