"""The benchmarks' harness, on things that take known times; and what is counted for the floor of a clip."""

from __future__ import annotations

import functools
import time
from pathlib import Path

import harness
import networks
import pytest
import roofline
import torch
import training_step
from harness import Variant, in_shares, interleave, read_results, write_results

from vov3d.compare.workers import Ready
from vov3d.errors import ArgumentError
from vov3d.models import create_model
from vov3d.models.counting import count_gmacs


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


def test_what_is_late_takes_from_those_that_follow() -> None:
    shares = []
    for cell, seconds in in_shares({"a": 1.0, "b": 1.0, "c": 2.0}, 0.4):
        shares.append(seconds)
        time.sleep(0.25 if cell == "a" else 0)
    assert shares == pytest.approx([0.1, 0.05, 0.15], abs=0.02)


def test_results_come_back_as_they_were_written(tmp_path: Path) -> None:
    rows = [{"model": "a, b", "ms": 1 / 3, "rounds": 2}, {"model": "c", "cosine": None}]
    path = write_results("what", rows, tmp_path, seconds=3)
    assert path.name.startswith("what-")
    assert path.suffix == ".csv"
    found = read_results(path)
    assert {"processor", "torch", "commit", "command", "started", "seconds"} <= set(found.facts)
    assert [(row["model"], row["ms"], row["cosine"]) for row in found.rows] == [("a, b", "0.333333", ""), ("c", "", "")]


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
    found = networks.ours(name, networks.Clips(4, 64, 2))
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
