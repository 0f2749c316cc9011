"""The learning rate is the published one at every position."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vov3d.optim import Schedule

POLICIES = {"cosine": "cosine", "steps_with_relative_lrs": "steps"}


@pytest.mark.parametrize("name", ["ss_scratch", "ss_finetune", "k400", "k400_x3d_l"])
def test_equals_the_golden_values(golden: Path, name: str) -> None:
    case = json.loads((golden / "pipeline_golden.json").read_text())["lr"][name]
    schedule = Schedule(
        lr=case["base_lr"],
        policy=POLICIES[case["policy"]],
        epochs=case["max_epoch"],
        warmup_epochs=case["warmup_epochs"],
        warmup_start_lr=case["warmup_start_lr"],
        step_epochs=(0, 35, 45),
        step_factors=(1, 0.1, 0.01),
    )
    assert len(case["values"]) >= 20
    for epoch, expected in case["values"]:
        assert schedule.at(epoch) == pytest.approx(expected, abs=1e-9)


def test_constant_after_warm_up() -> None:
    schedule = Schedule(lr=0.2, policy="constant", epochs=4, warmup_epochs=1, warmup_start_lr=0.1)
    assert [schedule.at(epoch) for epoch in (0, 0.5, 1, 3.9)] == pytest.approx([0.1, 0.15, 0.2, 0.2])
