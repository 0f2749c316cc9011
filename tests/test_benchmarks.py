"""The benchmarks: their harness on things that take known times, what they time, count and show."""

from __future__ import annotations

import contextlib
import errno
import functools
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import field
import growth
import harness
import inference
import networks
import other_packages
import performance_results
import pytest
import roofline
import streaming
import torch
import training_step
from cores import other_core_gbps
from harness import Variant, in_shares, interleave, write_results
from performance_results import Results, read_results

import peers
from vov3d.compare.workers import Ready
from vov3d.errors import ArgumentError
from vov3d.models import create_model, list_models
from vov3d.models.counting import count_gmacs

OTHERS = [
    ("pytorchvideo", "x3d_m", networks.Clips()),
    ("pytorchvideo", "slowfast_r50_8x8", networks.Clips(32)),
    ("torchvision", "r2plus1d_18", networks.Clips(16, 112)),
]


def sleeper(seconds: float, fails_after: int = 1000) -> Ready:
    calls = iter(range(fails_after))

    def run() -> None:
        if next(calls, None) is None:
            raise ArgumentError("it is tired")
        time.sleep(seconds)

    return Ready(run, {"asked_for": seconds})


def refuses() -> Ready:
    raise ArgumentError("not today")


def test_variants_take_turns_and_are_compared_with_the_first() -> None:
    variants = [
        Variant({"name": "slow"}, functools.partial(sleeper, 0.06)),
        Variant({"name": "fast"}, functools.partial(sleeper, 0.02)),
        Variant({"name": "ends early"}, functools.partial(sleeper, 0.16, 1)),
        Variant({"name": "cannot"}, refuses),
    ]
    slow, fast, early, cannot = interleave(variants, 0, min_rounds=2)
    assert (slow["rounds"], fast["rounds"], early["rounds"], cannot["rounds"]) == (2, 2, 1, None)
    assert slow["speedup"] == 1
    assert fast["speedup"] == pytest.approx(3, rel=0.5)
    assert fast["min_ms"] <= fast["q1_ms"] <= fast["ms"] <= fast["q3_ms"] <= fast["max_ms"]
    assert fast["asked_for"] == 0.02
    assert [one["failure"] for one in (slow, fast, early, cannot)] == ["", "", "it is tired", "not today"]


def test_rounds_end_with_the_time() -> None:
    variant = Variant({}, functools.partial(sleeper, 0.2))
    with harness.seated(variant) as seats:
        assert 3 <= harness.take_turns(seats, 1.0, min_rounds=1)[0]["rounds"] <= 5
        assert harness.take_turns(seats, 0.0, min_rounds=1)[0]["rounds"] == 1
        assert harness.take_turns(seats, 9.0, max_rounds=2)[0]["rounds"] == 2


def takes_long() -> Ready:
    time.sleep(60)
    raise AssertionError


@pytest.mark.parametrize("seconds", [(1.0,), (3.0, 3.5)], ids=["once", "twice"])
def test_an_interrupt_does_not_wait_for_what_is_being_built(seconds: tuple[float, ...]) -> None:
    began, usual = time.monotonic(), signal.signal(signal.SIGINT, signal.default_int_handler)
    for after in seconds:
        threading.Timer(after, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        with pytest.raises(KeyboardInterrupt), harness.seated(Variant({}, takes_long)):
            pass
        with contextlib.suppress(KeyboardInterrupt):
            time.sleep(max(0.0, began + max(seconds) + 0.1 - time.monotonic()))
    finally:
        signal.signal(signal.SIGINT, usual)
    assert time.monotonic() - began < 30


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize("to_all", [False, True], ids=["make", "its group"])
def test_a_make_that_is_ended_ends_the_part_that_runs_and_begins_no_other(tmp_path: Path, to_all: bool) -> None:
    shutil.copy(Path(harness.__file__).parents[1] / "Makefile", tmp_path)
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\necho $$ "$@" >> begun\nexec sleep 30\n')
    python.chmod(0o755)
    command = ["make", "--old-file=setup", "bench", "VENV=.", "BENCHMARKS=one two"]
    with subprocess.Popen(command, cwd=tmp_path, start_new_session=True, stderr=subprocess.DEVNULL) as process:
        begun, until = tmp_path / "begun", time.monotonic() + 20
        while not (begun.exists() and begun.read_text().endswith("\n")):
            assert time.monotonic() < until
            time.sleep(0.01)
        (os.killpg if to_all else os.kill)(process.pid, signal.SIGTERM)
        assert process.wait(20) != 0
    ((number, part),) = (line.split(maxsplit=1) for line in begun.read_text().splitlines())
    assert part == "benchmarks/one.py"
    with pytest.raises(ProcessLookupError):
        os.kill(int(number), 0)


def test_what_is_late_takes_from_those_that_follow() -> None:
    shares = []
    for cell, seconds in in_shares({"a": 1.0, "b": 1.0, "c": 2.0}, 0.4):
        shares.append(seconds)
        time.sleep(0.25 if cell == "a" else 0)
    assert shares == pytest.approx([0.1, 0.05, 0.15], abs=0.02)


def test_results_come_back_as_they_were_written(tmp_path: Path) -> None:
    rows = [{"model": "a, b", "ms": 1 / 3, "rounds": 2}, {"model": "c", "cosine": None}]
    path = write_results("what", rows, tmp_path, note=3)
    assert path.name.startswith("what-")
    assert path.suffix == ".csv"
    found = read_results(path)
    assert {"processor", "torch", "commit", "command", "started", "seconds", "note"} <= set(found.facts)
    assert [(row["model"], row["ms"], row["cosine"]) for row in found.rows] == [("a, b", "0.333333", ""), ("c", "", "")]


def test_results_that_cannot_be_written_leave_the_old_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_results("what", [{"ms": 1.0}], tmp_path)
    before = path.read_bytes()

    def full(_file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_results("what", [{"ms": 2.0}], tmp_path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_quick_run_does_not_take_the_place_of_results(tmp_path: Path) -> None:
    flags = harness.parser("", 1)
    assert flags.parse_args([]).out == harness.RESULTS
    assert flags.parse_args(["--out", str(tmp_path), "--quick"]).out == tmp_path
    out = flags.parse_args(["--quick"]).out
    assert out.is_dir()
    assert harness.RESULTS.parent not in out.parents
    out.rmdir()


def test_the_peak_of_memory_is_that_of_the_run() -> None:
    before = harness.resident_mib()
    if before is None:
        pytest.skip("the system does not tell")
    peak = harness.peak_mib(lambda: torch.ones(25 * 2**20).sum())
    assert peak is not None
    assert 90 < peak - before < 130
    assert harness.peak_mib(lambda: None) < before + 20  # the peak begins anew


@pytest.mark.parametrize("name", ["vov3d_s", "x3d_xs"])
def test_ways_of_one_network_give_the_same_logits(name: str) -> None:
    found = networks.ours(name, networks.Clips(4, 64, 2), checked=True)
    assert found.facts["cosine"] > 0.99999
    assert found.facts["max_error"] < 1e-4


def test_a_plain_network_calls_torchs_own_convolutions() -> None:
    model = networks.as_plain(networks.network("vov3d_s"))
    with torch.profiler.profile() as profile, torch.no_grad():
        model(torch.zeros(1, 3, 2, 32, 32))
    counted = {event.key: event.count for event in profile.key_averages()}
    assert counted["aten::conv3d"] == sum(isinstance(one, torch.nn.Conv3d) for one in model.modules())
    assert "aten::conv2d" not in counted


def test_a_training_step_trains() -> None:
    found = training_step.step("vov3d_s", networks.Clips(2, 32, 2), is_plain=True)
    assert found.run.__closure__ is not None
    model = next(
        cell.cell_contents for cell in found.run.__closure__ if isinstance(cell.cell_contents, torch.nn.Module)
    )
    before = model.head.classifier.weight.clone()
    found.run()
    assert not torch.equal(before, model.head.classifier.weight)


@pytest.mark.parametrize(("name", "crop"), [("vov3d_m", 224), ("x3d_m", 64)])
def test_the_floor_counts_every_multiply_add_once(name: str, crop: int) -> None:
    layers = roofline.fused_layers(name, 16, crop)
    with torch.device("meta"):
        model = create_model(name, num_classes=400)
    assert sum(one.macs for one in layers.values()) / 1e9 == pytest.approx(count_gmacs(model, 16, crop), rel=1e-3)
    weights = sum(one.weight.numel() for one in model.modules() if isinstance(one, torch.nn.Conv3d | torch.nn.Linear))
    assert sum(one.elements for one in layers.values()) > weights + 16 * 3 * crop**2


def test_a_floor_is_bound_by_arithmetic_or_by_memory() -> None:
    free, costly = 1e12, 1e-3
    by_arithmetic = roofline.floor("vov3d_s", 64, "fp32", peak=costly, copied=free)
    by_memory = roofline.floor("vov3d_s", 64, "fp32", peak=free, copied=costly)
    assert by_arithmetic["floor_ms"] == pytest.approx(2e6 * by_arithmetic["gmacs"], rel=2e-2)
    assert by_memory["floor_ms"] == pytest.approx(1e3 * by_memory["megabytes"], rel=1e-2)


def test_every_way_that_is_present_is_found_and_checked() -> None:
    assert {("torch", "fp32"), ("torch", "bf16")} <= set(networks.ways("vov3d_s"))
    found = networks.optimised("vov3d_s", networks.Clips(2, 64, 2), "fp32", "torch", checked=True)
    assert found.facts["backend"] == "torch"
    assert found.facts["max_error"] < 1e-4
    assert {"cosine", "peak_mib"} <= set(found.facts)
    assert networks.optimised("vov3d_s", networks.Clips(2, 64), "bf16", "torch").facts == {"backend": "torch"}


def test_systems_are_shown_the_clips_that_the_goals_speak_of() -> None:
    systems = field.systems(["*"])
    assert len(systems) >= 25
    assert set(systems) <= set(list_models())
    shown = [(systems[name].frames, systems[name].crop) for name in ("tsm_r50", "tea_r50", "slowfast_r50_4x16")]
    assert shown == [(16, 224), (16, 224), (32, 224)]
    assert {systems[name].frames for name in ("vov3d_l", "x3d_m")} == {16}
    assert list(field.systems(["tsm_r50"])) == ["tsm_r50"]


def test_what_grows_starts_from_one_base() -> None:
    points = growth.points([1, 2])
    assert len(points) == len(set(points)) == 4 + 3 + 2 + 1
    assert points[-1] == (growth.BASE, 2)


@pytest.mark.parametrize(("package", "name", "clips"), OTHERS, ids=str)
def test_other_packages_networks_are_those_of_the_catalogue(package: str, name: str, clips: networks.Clips) -> None:
    pytest.importorskip(package)
    other_packages.import_torchvision()
    theirs = peers.gmacs(other_packages.PEERS[package][name], clips)
    assert theirs == pytest.approx(peers.gmacs(functools.partial(create_model, name), clips), rel=1e-6)


def instant(*_given: object) -> SimpleNamespace:
    """In place of a process: it builds nothing, and each of its runs takes 12.5 ms."""
    return SimpleNamespace(facts={}, wait=lambda: None, run=lambda _seconds: 12.5, close=lambda: None)


@pytest.mark.parametrize("benchmark", [inference, training_step, field, peers, growth, streaming])
def test_a_quick_run_goes_through(benchmark: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "Worker", instant)
    monkeypatch.setattr(harness, "BEGAN", time.perf_counter())
    monkeypatch.setattr(sys, "argv", [benchmark.__name__, "--quick", "--threads", "1", "--out", str(tmp_path)])
    benchmark.main()
    (file,) = tmp_path.iterdir()
    rows = read_results(file).rows
    assert len(rows) >= 3
    assert {(row["ms"], row["failure"]) for row in rows} == {("12.5", "")}
    assert {row.get("times_reference") or row["speedup"] for row in rows} == {"1"}


def test_goals_are_judged_by_the_worst() -> None:
    assert performance_results.goal("fast", 5.0, [5.5, 4.0, math.nan]) == ["fast", "5.0x", "4.0x", "5.5x", "in 1 of 2"]
    assert performance_results.goal("small", 0.5, [0.4, 0.2], "{:.1f}")[2:] == ["0.4", "0.2", "**yes**"]
    assert performance_results.goal("small", 0.5, [0.6], "{:.1f}")[-1] == "no"
    assert performance_results.goal("unknown", 5.0, [])[-1] == "not measured"


def test_the_best_is_the_fastest_that_did_not_fail() -> None:
    rows = [
        {"way": "optimised", "precision": "fp32", "backend": "a", "speedup": "2.5"},
        {"way": "optimised", "precision": "fp32", "backend": "b", "speedup": "10.5"},
        {"way": "optimised", "precision": "fp32", "backend": "c", "speedup": ""},
        {"way": "optimised", "precision": "bf16", "backend": "d", "speedup": "20"},
    ]
    inputs = {"model": "vov3d_m", "frames": "16", "crop": "224", "batch": "1", "threads": "1"}
    (cell,) = Results({}, [{**inputs, **row} for row in rows]).inputs()
    best = cell.best("fp32")
    assert best is not None
    assert best["backend"] == "b"
    assert cell.best("int8") is None


def test_what_cores_exchange_is_measured_where_two_threads_work() -> None:
    affinity, threads = os.sched_getaffinity(0), torch.get_num_threads()
    speed = other_core_gbps()
    assert (speed is None) == (len(affinity) < 2)
    assert speed is None or 1 < speed < 10_000
    assert (os.sched_getaffinity(0), torch.get_num_threads()) == (affinity, threads)
    one, two = (
        interleave([Variant({}, functools.partial(sleeper, 0.01), count)], 0, min_rounds=1)[0] for count in (1, 2)
    )
    assert "other_core_gbps" not in one
    assert ("other_core_gbps" in two) == (speed is not None)


def test_what_is_measured_again_on_a_day_takes_the_place_of_what_was(tmp_path: Path) -> None:
    first = [{"model": "i3d", "threads": threads, "ms": 1.5} for threads in (1, 2)]
    assert harness.after_rows_of_today("field", first, ("model", "threads"), tmp_path) == first
    write_results("field", first, tmp_path)
    again = [{"model": "i3d", "threads": 2, "ms": 1.25}, {"model": "tsn_r50", "threads": 2, "ms": 1.0}]
    found = harness.after_rows_of_today("field", again, ("model", "threads"), tmp_path)
    assert found == [{"model": "i3d", "threads": "1", "ms": "1.5"}, *again]
