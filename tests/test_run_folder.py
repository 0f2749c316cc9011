"""The folder of a run: when it may be used, and what comes back from it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from tests.tiny import read_rows
from vov3d.checkpoint import read_checkpoint
from vov3d.errors import CheckpointError, RunFolderError
from vov3d.run_folder import EpochRow, Position, ResumeState, RunFolder

ROW = EpochRow(
    epoch=1,
    step=3,
    lr=0.1,
    train_loss=1.23456789,
    train_top1=0.5,
    val_loss=None,
    val_top1=None,
    val_top5=None,
    clips_per_second=12.5,
    seconds=60.0,
    quarantined=0,
)


def state(**changes: object) -> ResumeState:
    values = {
        "position": Position(2, 7),
        "model": {"a.weight": torch.randn(2, 3), "a.num_batches_tracked": torch.tensor(9)},
        "optimizer": {"momentum_buffer/a.weight": torch.randn(2, 3)},
        "loss_scale": {"scale": 65536.0, "_growth_tracker": 4},
        "tally": (1 / 3, 2.0, 3.0),
        "rows": [ROW],
        "quarantine": {"ö/a.mp4": "the file is empty"},
        "best_top1": 0.1 + 0.2,
        "recipe": {"optim": {"lr": 5e-5}},
        "data": "abc",
    }
    return ResumeState(**{**values, **changes})  # type: ignore[arg-type]


def test_a_new_folder_is_made_only_when_the_run_begins(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "runs" / "first")
    folder.check(resume=False)
    assert list(tmp_path.iterdir()) == []
    folder.begin("model: {}\n", data="videos", device="cpu")
    assert {file.name for file in folder.path.iterdir()} == {"recipe.yaml", "environment.json"}
    folder.check(resume=False)  # nothing was trained yet, so nothing can be lost


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("resume.safetensors", "already holds a run; add --resume to go on, or give another --out"),
        ("last.safetensors", "holds a run that cannot be resumed; remove it, or give another --out"),
        ("best.safetensors", "holds a run that cannot be resumed; remove it, or give another --out"),
    ],
)
def test_a_folder_with_a_run_is_refused(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(RunFolderError, match=told):
        RunFolder(tmp_path).check(resume=False)


def test_only_a_run_can_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"nothing to resume in .*: it has no resume"):
        RunFolder(tmp_path).check(resume=True)
    (tmp_path / "resume.safetensors").touch()
    RunFolder(tmp_path).check(resume=True)
    with pytest.raises(CheckpointError, match="damaged"):
        RunFolder(tmp_path).load_resume()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunFolderError, match=r"--out '.*file' is a file; give a folder"):
        RunFolder(tmp_path / "file").check(resume=False)


def test_the_log_has_empty_cells_where_nothing_was_measured(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_log([ROW], {})
    (row,) = read_rows(folder.log)
    assert (row["train_loss"], row["val_loss"], row["val_top1"], row["quarantined"]) == ("1.23457", "", "", "0")
    assert not (tmp_path / "quarantine.csv").exists()
    folder.write_log([ROW, ROW], {"a, b.mp4": 'no "frames"'})
    assert len(read_rows(folder.log)) == 2
    assert read_rows(tmp_path / "quarantine.csv") == [{"path": "a, b.mp4", "reason": 'no "frames"'}]


def test_the_state_of_a_run_comes_back_whole(tmp_path: Path) -> None:
    given, folder = state(), RunFolder(tmp_path)
    folder.save_resume(given)
    found = folder.load_resume()
    assert found.model.keys() == given.model.keys()
    assert all(torch.equal(found.model[name], tensor) for name, tensor in given.model.items())
    assert torch.equal(found.optimizer["momentum_buffer/a.weight"], given.optimizer["momentum_buffer/a.weight"])
    for name in ("position", "loss_scale", "tally", "quarantine", "best_top1", "recipe", "data"):
        assert getattr(found, name) == getattr(given, name), name
    assert list(found.rows) == [ROW]


def test_a_run_without_a_validation_has_no_best(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.save_resume(state(best_top1=None, optimizer={}))
    assert folder.load_resume().best_top1 is None
    assert folder.load_resume().optimizer == {}


def test_the_state_of_a_run_is_no_network(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.save_resume(state())
    with pytest.raises(CheckpointError, match="is the state of a run, for --resume alone"):
        read_checkpoint(folder.resumable)


def test_tensorboard_is_written_where_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "torch.utils.tensorboard", None)
        RunFolder(tmp_path / "without").write_tensorboard(ROW)
    assert not (tmp_path / "without").exists()
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    RunFolder(tmp_path / "with").write_tensorboard(ROW)
    events = EventAccumulator(str(tmp_path / "with" / "tensorboard")).Reload()
    assert set(events.Tags()["scalars"]) == {
        *("train/train_loss", "train/train_top1", "run/lr", "run/clips_per_second", "run/seconds", "run/quarantined"),
    }
    (point,) = events.Scalars("train/train_loss")
    assert (point.step, point.value) == (1, pytest.approx(1.23456789))
