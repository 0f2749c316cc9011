"""The benchmark for GPUs without one: its parts and their time, what it counts, and the page that shows its results."""

from __future__ import annotations

import _thread
import csv
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import pytest
import torch

pytest.importorskip("triton")

import gpu
import gpu_correctness
import gpu_kernels
from gpu_curves import loss_curves_of_videos
from gpu_profile import LAUNCH, profiled
from gpu_timing import Setting
from gpu_traffic import gigabytes, step_traffic
from gpu_ways import COMPILED
from harness import Row, write_results
from performance_gpu import NOTHING, gpu_section
from torch import nn

from vov3d.layers import Residual

ROOT = Path(__file__).parents[1]
H100 = "NVIDIA H100 80GB HBM3"


def test_rows_are_kept_when_a_part_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def fails(_setting: Setting) -> Iterator[Row]:
        yield {"way": "plain", "step_ms": 12.5}
        raise RuntimeError("out of memory")

    gpu.measure(gpu.Part("gpu-training", 1, fails), Setting(), tmp_path / "rows")
    kept = [json.loads(line) for line in (tmp_path / "rows").read_text().splitlines()]
    assert kept == [{"way": "plain", "step_ms": 12.5}, {"failure": "RuntimeError: out of memory"}]
    assert "way plain  step_ms 12.5" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("ends", "failure"),
    [
        ("import time; time.sleep(60)", "stopped after its 2 s"),
        ("import os; os.kill(os.getpid(), 11)", "the process ended with -11"),
        ("", None),
    ],
)
def test_a_part_ends_in_its_time(
    ends: str, failure: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "part.py"
    script.write_text(f"import sys\nopen(sys.argv[-1], 'a').write('{{\"way\": \"plain\"}}\\n')\n{ends}\n")
    monkeypatch.setattr(gpu, "__file__", str(script))
    rows = gpu.measured("training", ["--quick"], 2)
    assert rows[0] == {"part": "training", "way": "plain"}
    assert rows[1:] == ([] if failure is None else [{"part": "training", "failure": failure}])


def test_what_is_interrupted_keeps_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "part.py"
    script.write_text("import sys, time\nopen(sys.argv[-1], 'a').write('{\"way\": \"plain\"}\\n')\ntime.sleep(60)\n")
    monkeypatch.setattr(gpu, "__file__", str(script))
    chosen = {name: gpu.Part(f"gpu-{name}", 1, lambda _setting: iter(())) for name in ("training", "curves")}
    timer = threading.Timer(2, _thread.interrupt_main)
    timer.start()
    assert gpu._run(chosen, 1e6, tmp_path, []) == 130
    (whole,) = tmp_path.glob("gpu-*.json")
    results = json.loads(whole.read_text())
    assert results["gpu-training"] == [
        {"part": "training", "way": "plain"},
        {"part": "training", "failure": "interrupted"},
    ]
    assert results["gpu-curves"] == [{"part": "curves", "failure": "left out"}]
    assert len(list(tmp_path.glob("gpu-*.csv"))) == 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is something to measure here")
@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("", "no GPU here"),
        ("--only nonsense", "no part begins with nonsense; there are: correctness, depthwise,"),
        ("--quick --data nowhere", "--data nowhere does not exist"),
        ("--quick --out part.py/results", "cannot write to --out part.py/results: Not a directory"),
        ("--quick --steps 0", "argument --steps: 0; at least 1"),
        ("--quick --seconds nan", "argument --seconds: nan; more than 0"),
    ],
)
def test_what_cannot_be_measured_is_one_line(
    words: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("part.py").touch()
    monkeypatch.setattr(sys, "argv", ["gpu.py", *words.split()])
    with pytest.raises(SystemExit) as stopped:
        gpu.main()
    assert stopped.value.code == 2
    assert says in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.skipif(torch.cuda.is_available(), reason="the kernels do not run in the interpreter here")
def test_the_interpreter_is_on_before_triton_is_imported() -> None:
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    code = "import gpu, triton.language as tl; print(type(tl.sum).__name__)"
    command = [sys.executable, "-c", code]
    said = subprocess.check_output(command, cwd=ROOT / "benchmarks", env=environment)
    assert said.split() == [b"InterpretedFunction"]


def test_a_profile_names_what_takes_the_time() -> None:
    one = torch.ones(400, 400)
    found = profiled(lambda: (one @ one).add_(1))
    assert found["kernels"] >= 2
    assert str(found["slowest"]).startswith("mm " if not torch.cuda.is_available() else "")
    assert found["launches"] == 0 or torch.cuda.is_available()


def test_launches_are_counted_by_all_their_names() -> None:
    for name in ("cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernel", "cuLaunchKernelEx", "cudaGraphLaunch"):
        assert LAUNCH.fullmatch(name)
    for name in ("cudaStreamSynchronize", "cudaMemcpyAsync", "cudaGraphInstantiate", "cudaLaunchHostFunc"):
        assert not LAUNCH.fullmatch(name)


def test_a_block_is_folded_before_it_goes_to_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folding shows the whole network a clip, and all of it must be at one place."""
    happened: list[str] = []
    move, fold = nn.Module.to, gpu_kernels.folded
    monkeypatch.setattr(nn.Module, "to", lambda module, *where: (happened.append("moved"), move(module, *where))[1])
    monkeypatch.setattr(gpu_kernels, "folded", lambda model: (happened.append("folded"), fold(model))[1])
    monkeypatch.setattr(gpu_kernels, "residual_block", Residual.forward)
    monkeypatch.setattr(gpu_kernels, "FoldedBlock", lambda block: block)
    gpu_kernels.compute_block("vov3d_s", 0, 0)
    assert happened == ["folded", "moved", "moved"]


@pytest.mark.parametrize(("processes", "first"), [(16, "torch.compile"), (3, "kernels")])
def test_where_few_processes_compile_the_kernels_come_first(
    processes: int, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_kernels, "num_processes", lambda: processes)
    monkeypatch.setattr(gpu_kernels, "in_processes", lambda _work, jobs: jobs)
    jobs = list(gpu_kernels.compiled_kernels(["vov3d_s"], Setting()))
    assert (len(jobs), jobs[0][0]) == (6, first)


def test_each_forward_pass_of_torchs_graphs_is_a_step_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    marked: list[bool] = []
    monkeypatch.setattr(torch, "compile", lambda model, **_options: model)
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: marked.append(True))
    for way, expected in zip(COMPILED, (0, 2), strict=True):
        call = way.prepare(nn.Identity())  # type: ignore[arg-type]
        assert [float(call(torch.ones(()))) for _ in range(2)] == [1.0, 1.0]
        assert len(marked) == expected


def test_checks_travel_to_processes_without_tensors() -> None:
    """Each would be an open file, and a system allows a thousand."""
    jobs = gpu_correctness.jobs()
    assert len(jobs) == 12 + 3 * torch.cuda.is_available()
    assert max(len(ForkingPickler.dumps(job)) for job in jobs) < 200


def test_both_ways_learn_the_same_from_videos(videos: Path) -> None:
    rows = list(loss_curves_of_videos(Setting(quick=True, steps=2, size=32, width=8, batch=2, frames=1, data=videos)))
    assert [row["step"] for row in rows] == [0, 1]
    for row in rows:
        _, plain, fused = row.values()
        assert plain == pytest.approx(fused, rel=0.2 if torch.cuda.is_available() else 1e-5)


def test_the_parts_fit_into_eight_minutes() -> None:
    found = gpu.parts(Setting(quick=False))
    assert next(iter(found)) == "correctness"
    assert {part.results for part in found.values()} >= {"gpu-training", "gpu-inference", "gpu-loss-curves"}
    assert gpu._arguments([]).seconds < 8 * 60


def test_the_kernels_move_little_more_than_they_must() -> None:
    for name, expected in (("vov3d_m", 12.34), ("vov3d_l", 17.43)):
        floor, moved = gigabytes(step_traffic(name, 8))
        assert floor == pytest.approx(expected, abs=0.01)
        assert 1 < moved / floor < 1.06
    assert gigabytes(step_traffic("vov3d_m", 32))[0] == pytest.approx(4 * 12.3445, rel=1e-3)


def measured(folder: Path) -> None:
    """Results as if there had been a GPU."""
    step: Row = {"model": "vov3d_m", "batch": 8, "floor_gb": 12.3, "copy_gb_per_second": 2900.0, "failure": ""}
    ways = {"plain AMP": (90.0, 20_000.0), "torch.compile AMP": (20.0, 9000.0), "fused, replayed": (8.0, 6000.0)}
    rows: list[Row] = [
        {**step, "way": way, "step_ms": taken, "peak_mib": peak, "times_floor": taken / 4.24, "clips_per_second": 1.0}
        for way, (taken, peak) in ways.items()
    ]
    rows[0] |= {"kernels": 2200, "launches": 2190, "busy_ms": 88.0, "slowest": "batch_norm_backward 31%"}
    rows += [{**rows[2], "model": "vov3d_l"}, {"part": "compile vov3d_l", "failure": "stopped after its 30 s"}]
    rows.append({**rows[0], "model": "vov3d_l", "step_ms": 130.0})
    check: Row = {"block": "T-OSA", "dtype": "bfloat16", "right": "yes"}
    write_results("gpu-training", rows, folder, machine=H100, gpu=H100)
    write_results("gpu-correctness", [check, {**check, "right": "NO"}], folder, machine=H100, gpu=H100)
    pair: Row = {"channels": 40, "side": 56, "forward_ms": 0.1, "forward_of_copy_rate": 0.7, "backward_ms": 0.3}
    write_results("gpu-depthwise", [{**pair, "backward_of_copy_rate": 0.5}], folder, machine=H100, gpu=H100)
    logits: Row = {"model": "x3d_m", "batch": 1, "way": "fused bf16", "ms": 0.8, "clips_per_second": 1250.0}
    write_results("gpu-inference", [logits], folder, machine=H100, gpu=H100)


def curves(folder: Path, where: str, what: str = "gpu-loss-curves") -> None:
    rows: list[Row] = [
        {"part": "curves", "step": at, "plain": 3.0 / (at + 1), "fused": 3.1 / (at + 1)} for at in range(30)
    ]
    write_results(what, rows, folder, gpu=where)


def test_the_page_says_that_nothing_was_measured(tmp_path: Path) -> None:
    assert gpu_section(tmp_path) == ("", {})
    traffic: Row = {"model": "vov3d_m", "batch": 8, "floor_gb": 12.34, "kernels_gb": 12.9}
    write_results(
        "gpu-traffic", [{**traffic, "floor_ms": 2.87, "kernels_ms": 3.0}], tmp_path, gigabytes_per_second=4300.0
    )
    curves(tmp_path, "none: Triton's interpreter")
    text, pictures = gpu_section(tmp_path)
    assert NOTHING in text
    assert "| VoV3D-M | 8 | 12.34 | 12.9 | 2.87 | 3 |" in text
    assert "in Triton's interpreter on a CPU: after 30 steps" in text
    assert set(pictures) == {"gpu-curves"}


def test_the_page_shows_what_was_measured(tmp_path: Path) -> None:
    traffic: Row = {"model": "vov3d_m", "batch": 8, "floor_gb": 12.34, "kernels_gb": 12.9}
    write_results(
        "gpu-traffic", [{**traffic, "floor_ms": 2.87, "kernels_ms": 3.0}], tmp_path, gigabytes_per_second=4300.0
    )
    measured(tmp_path)
    curves(tmp_path, H100)
    curves(tmp_path, H100, "gpu-video-curves")
    assert (tmp_path / next(tmp_path.glob("gpu-training-nvidia-h100-80gb-*.csv")).name).exists()
    text, pictures = gpu_section(tmp_path)
    assert NOTHING not in text
    assert (
        "Of 2 checks against float64 on odd shapes and memory full of NaN, in T-OSA in bfloat16 they are NOT right"
        in text
    )
    assert "| VoV3D-M and L, a step: times as fast as plain AMP | 3.0x | 11.2x | 16.2x | **yes** |" in text
    assert "times as fast as the best of torch.compile (1 of 2 measured) | 1.5x | 2.5x | 2.5x | **yes** |" in text
    assert "| VoV3D-M and L, a step: peak memory, beside plain AMP's | 0.5x | 0.3x | 0.3x | **yes** |" in text
    assert "| the depthwise pair, both ways, of the rate of a copy | 0.60 | 0.50 | 0.70 | in 1 of 2 |" in text
    assert "| compile vov3d_l | - | - | - | - | - | - | - | - | - | stopped after its 30 s |" in text
    assert "| X3D-M | 1 | fused bf16 | 0.8 | 1,250 | - | - |  |" in text
    assert "| VoV3D-M | 8 | plain AMP | 2200 | 2190 | 88.0 | batch_norm_backward 31% |" in text
    assert text.count("never more than") == 2
    assert all("fused" in pictures[name] for name in ("gpu-curves", "gpu-video-curves"))


@pytest.mark.slow
def test_all_of_it_runs_without_a_gpu(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), "--quick", "--out", str(tmp_path)]
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    subprocess.run(command, check=True, timeout=600, env=environment)
    (whole,) = tmp_path.glob("gpu-*.json")
    results = json.loads(whole.read_text())
    assert all(row["right"] == "yes" for row in results["gpu-correctness"])
    assert len(results["gpu-loss-curves"]) == 3
    failures = [
        row["failure"] for rows in results.values() if isinstance(rows, list) for row in rows if row.get("failure")
    ]
    assert set(failures) == {"no GPU"}
    (file,) = tmp_path.glob("gpu-training-*.csv")
    rows = list(csv.DictReader(line for line in file.read_text().splitlines() if not line.startswith("#")))
    assert [row["way"] for row in rows] == [way.name for way in gpu.WAYS]
