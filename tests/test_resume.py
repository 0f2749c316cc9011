"""States to resume from: what comes back, which of several, and what is done about damage."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from vov3d.checkpoint import read_checkpoint
from vov3d.errors import CheckpointError, RunFolderError
from vov3d.resume import EpochRow, Position, ResumeFolder, ResumeState

ROW = EpochRow(1, 3, 0.1, 1.23456789, 0.5, None, None, None, 12.5, 60.0, 0)


def state(epoch: int = 2, step: int = 7, **changes: object) -> ResumeState:
    values = {
        "position": Position(epoch, step),
        "model": {"a.weight": torch.randn(2, 3), "a.num_batches_tracked": torch.tensor(9)},
        "optimizer": {"momentum_buffer/a.weight": torch.randn(2, 3)},
        "average": {"module.a.weight": torch.randn(2, 3), "n_averaged": torch.tensor(5)},
        "loss_scale": {"scale": 65536.0, "_growth_tracker": 4},
        "tally": (1 / 3, 2.0, 3.0),
        "rows": [ROW],
        "quarantine": {"training": {"\u00f6/a.mp4": "the file is empty"}, "validation": {}},
        "best": 0.1 + 0.2,
        "recipe": {"optim": {"lr": 5e-5}},
        "data": {"training videos": "abc", "cache": "none"},
        "norm_clips": 4,
    }
    return ResumeState(**{**values, **changes})  # type: ignore[arg-type]


def test_the_state_of_a_run_comes_back_whole(tmp_path: Path) -> None:
    given, folder = state(), ResumeFolder(tmp_path / "resume")
    folder.save(given)
    found = folder.load()
    for kind in ("model", "optimizer", "average"):
        ours, theirs = getattr(found, kind), getattr(given, kind)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())
    for name in ("position", "loss_scale", "tally", "rows", "quarantine", "best", "recipe", "data", "norm_clips"):
        assert getattr(found, name) == getattr(given, name), name


def test_a_young_run_has_no_best_and_remembers_nothing(tmp_path: Path) -> None:
    folder = ResumeFolder(tmp_path)
    folder.save(state(best=None, optimizer={}, average={}))
    found = folder.load()
    assert (found.best, found.optimizer, found.average) == (None, {}, {})


def test_the_state_of_a_run_is_no_network(tmp_path: Path) -> None:
    file = ResumeFolder(tmp_path).save(state())
    with pytest.raises(CheckpointError, match="is the state of a run, for --resume alone"):
        read_checkpoint(file)


def test_the_newest_few_stay(tmp_path: Path) -> None:
    folder = ResumeFolder(tmp_path, keep=2)
    for epoch, step in ((0, 5), (0, 10), (9, 0), (10, 0)):
        folder.save(state(epoch, step))
    assert [file.name for file in folder.files()] == [
        "epoch-000010-step-000000.safetensors",
        "epoch-000009-step-000000.safetensors",
    ]
    assert folder.load().position == Position(10, 0)


@pytest.mark.parametrize("damage", ["truncated", "a bit", "empty", "text", "the description"])
def test_a_damaged_state_is_passed_over_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str) -> None:
    folder = ResumeFolder(tmp_path)
    for epoch in (1, 2, 3):
        folder.save(state(epoch, 0))
    newest = folder.files()[0]
    content = bytearray(newest.read_bytes())
    if damage == "a bit":
        content[-3] ^= 4
    if damage == "the description":
        place = content.index(b"the file is empty")
        content[place : place + 3] = b"THE"
    newest.write_bytes(
        {"truncated": content[: len(content) // 2], "empty": b"", "text": b"hello" * 99}.get(damage, bytes(content))
    )
    with caplog.at_level(logging.WARNING, logger="vov3d"):
        assert folder.load().position == Position(2, 0)
    (line,) = caplog.messages
    assert line.startswith("passed over: checkpoint") and newest.name in line and "\n" not in line
    folder.save(state(2, 9))
    assert newest not in folder.files()  # it lay ahead of where the run stands


def test_with_nothing_whole_there_is_nothing_to_resume(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = ResumeFolder(tmp_path)
    for epoch in (1, 2, 3):
        folder.save(state(epoch, 0)).write_bytes(b"")
    with (
        caplog.at_level(logging.WARNING, logger="vov3d"),
        pytest.raises(
            RunFolderError, match=r"nothing to resume in .*: none of 3 states is whole; the newest: "
        ) as told,
    ):
        folder.load()
    said = [*caplog.messages, str(told.value)]
    assert sum(line.count(folder.files()[0].name) for line in said) == 1
    assert "\n" not in said[-1]
