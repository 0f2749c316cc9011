"""``--fast``: the same answers from another engine, and the bench of all engines."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch

import vov3d
from tests.tiny import LABELS, break_video
from vov3d.cli import main
from vov3d.compare.engines import bench
from vov3d.data.items import Broken
from vov3d.errors import ArgumentError, OptimizeError
from vov3d.fast import fast_network, spread_over
from vov3d.optimize import BACKENDS, Optimized, choosing

pytestmark = pytest.mark.usefixtures("small")


@pytest.fixture
def torch_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other back end, so that nothing is compiled."""
    monkeypatch.setattr(choosing, "BACKENDS", {"torch": BACKENDS["torch"]})


@pytest.mark.usefixtures("torch_alone")
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("bf16", 0.03)])
def test_prediction_and_test_say_the_same_as_without(
    checkpoint: Path, videos: Path, precision: str, tolerance: float, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "vov3d")
    plain = vov3d.evaluate(checkpoint, videos, device="cpu", workers=0)
    fast = vov3d.evaluate(checkpoint, videos, workers=0, fast=precision)  # type: ignore[arg-type]
    assert plain.metrics.engine is None
    assert str(fast.metrics.engine).startswith(f"torch, {precision}, ")
    for one, other in zip(plain.scores, fast.scores, strict=True):
        assert float((one.probs - other.probs).abs().max()) <= tolerance
    said = vov3d.predict(checkpoint, videos / "val", fast=precision)  # type: ignore[arg-type]
    truth = vov3d.predict(checkpoint, videos / "val", device="cpu")
    for one, other in zip(said, truth, strict=True):
        assert dict(one.top) == pytest.approx(dict(other.top), abs=tolerance)
    lines = [record.message for record in caplog.records if record.message.startswith("fast: ")]
    assert len(lines) == 2
    assert "cosine" in lines[0]


@pytest.mark.usefixtures("torch_alone")
def test_the_command_line_says_which_engine(
    checkpoint: Path, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = str(videos / "val" / "dark" / "0.mp4")
    assert main(["predict", str(checkpoint), video, "--fast", "--json"]) == 0
    out, err = capsys.readouterr()
    assert {one["label"] for one in json.loads(out)[0]["top"]} == set(LABELS)
    assert "fast: torch, fp32" in err
    words = ["evaluate", str(checkpoint), "--data", str(videos), "--workers", "0", "--out", str(tmp_path / "e")]
    assert main([*words, "--fast", "bf16"]) == 0
    assert "engine             torch, bf16" in capsys.readouterr().out
    assert "bf16" in json.loads((tmp_path / "e" / "metrics.json").read_text())["engine"]
    assert main([*words, "--fast", "int8"]) == 2
    assert "no back end computes this VoV3D in int8 here: torch: " in capsys.readouterr().err
    assert main([*words, "--fast", "fp16"]) == 2
    assert "unknown precision 'fp16'" in capsys.readouterr().err
    assert main(["predict", str(checkpoint), "--fast", video]) == 2
    assert f"{video!r} is no precision; write --fast=fp32, or the videos before --fast" in capsys.readouterr().err
    assert main([*words, "--fast", "bf16", "--device", "mps"]) == 2
    assert "'bf16' is for CPUs and CUDA GPUs, and the device is 'mps'" in capsys.readouterr().err


@pytest.mark.usefixtures("torch_alone")
def test_videos_that_cannot_be_decoded_are_reported_all_the_same(checkpoint: Path, tmp_path: Path) -> None:
    (one,) = vov3d.predict(checkpoint, break_video(tmp_path / "a.mp4"), fast="bf16")
    assert one.error is not None


def test_int8_is_calibrated_on_clips_of_many_videos(
    checkpoint: Path, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []

    def noted(_model: object, _example: object, _precision: object, *, calibration: torch.Tensor) -> Optimized:
        seen.append(calibration)
        raise OptimizeError("enough")

    monkeypatch.setattr("vov3d.fast.optimize", noted)
    with pytest.raises(OptimizeError):
        vov3d.evaluate(checkpoint, videos, workers=0, fast="int8", clips=2, crops=3)
    assert len(seen[0]) == 3 * 6, "every second of the six views of each of the six videos"
    assert len(seen[0].flatten(1).unique(dim=0)) == len(seen[0])
    assert fast_network(vov3d.load_trained(checkpoint).model, "int8", []) is None


def test_calibration_is_spread_over_the_videos(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list(spread_over(3)) == [0, 1, 2]
    assert list(spread_over(800))[:4] == [0, 100, 200, 300]
    assert sorted(spread_over(803)) == list(range(803))
    seen: list[Broken] = []

    def noted(_model: object, _precision: object, videos: Iterable[Broken]) -> None:
        seen.extend(videos)

    monkeypatch.setattr(sys.modules["vov3d.predict"], "fast_network", noted)
    vov3d.load(checkpoint, device="cpu").faster("int8", [tmp_path / f"{number}.mp4" for number in range(16)])
    assert [Path(one.path).stem for one in seen[:3]] == ["0", "2", "4"]


def test_bench_times_every_engine_in_turns(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = bench("vov3d_s", frames=2, crop=32, threads=1, precisions=("fp32", "int8"), backends=["torch"], rounds=2)
    assert [(one.backend, one.precision) for one in found.engines] == [
        ("plain", "fp32"),
        ("eager", "fp32"),
        ("torch", "fp32"),
        ("torch", "int8"),
    ]
    *ran, refused = found.engines
    for one in ran:
        assert one.latency_ms is not None and one.ratio is not None and one.max_error is not None
        assert 0 < (one.fastest_ms or 0) <= one.latency_ms <= (one.slowest_ms or 0)
        assert one.max_error <= 1e-5
        assert one.failure == ""
    assert ran[0].ratio == 1
    assert refused.latency_ms is None
    assert refused.failure == "it has no int8 convolutions of videos"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["vov3d_x"], "unknown model 'vov3d_x'"),
        (["runs/none/last.safetensors"], "checkpoint 'runs/none/last.safetensors' is not a file"),
        (["vov3d_s", "--backend", "tensorrt"], "unknown backend 'tensorrt'"),
        (["vov3d_s", "--precision", "fp16"], "unknown precision 'fp16'"),
        (["vov3d_s", "--rounds", "0"], "'0' is not a whole number of at least 1"),
    ],
)
def test_what_bench_cannot_time_it_says(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *words]) == 2
    assert message in capsys.readouterr().err


def test_a_bench_without_any_back_end_is_no_success(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--frames", "1", "--crop", "32", "--rounds", "1", "--threads", "1"]
    assert main(["bench", "vov3d_s", "--backend", "torch", "--precision", "int8", *words]) == 2
    out, err = capsys.readouterr()
    assert "torch int8: it has no int8 convolutions of videos" in out
    assert err.endswith("vov3d: no back end ran, first torch: it has no int8 convolutions of videos\n")


def test_bench_from_python_refuses_what_is_out_of_range() -> None:
    with pytest.raises(ArgumentError, match="crop 32 or more"):
        bench("vov3d_s", crop=16)
