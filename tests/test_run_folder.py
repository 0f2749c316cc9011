"""The folder of a run: when it may be used, and what comes back from it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.tiny import read_rows
from vov3d.errors import RunFolderError
from vov3d.resume import EpochRow
from vov3d.run_folder import RunFolder

STATE = "resume/epoch-000001-step-000000.safetensors"

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
        (STATE, "already holds a run; add --resume to go on, or give another --out"),
        ("last.safetensors", "holds a run that cannot be resumed; remove it, or give another --out"),
        ("best.safetensors", "holds a run that cannot be resumed; remove it, or give another --out"),
    ],
)
def test_a_folder_with_a_run_is_refused(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    with pytest.raises(RunFolderError, match=told):
        RunFolder(tmp_path).check(resume=False)


def test_only_a_run_can_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"nothing to resume in .*: it has no resume/"):
        RunFolder(tmp_path).check(resume=True)
    assert RunFolder(tmp_path).check(resume="auto") is False
    (tmp_path / STATE).parent.mkdir()
    (tmp_path / STATE).touch()
    assert RunFolder(tmp_path).check(resume=True) is True
    assert RunFolder(tmp_path).check(resume="auto") is True


def test_what_a_killed_process_left_unfinished_is_removed(tmp_path: Path) -> None:
    (tmp_path / STATE).parent.mkdir()
    for folder in (tmp_path, tmp_path / "resume"):
        (folder / ".last.safetensors.unfinished-abc").touch()
        (folder / ".mine").touch()
    RunFolder(tmp_path).begin("model: {}\n", data="videos", device="cpu")
    assert sorted(file.name for file in tmp_path.rglob(".*")) == [".mine", ".mine"]


def test_the_log_has_empty_cells_where_nothing_was_measured(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_log([ROW], {})
    (row,) = read_rows(folder.log)
    assert (row["train_loss"], row["val_loss"], row["val_top1"], row["quarantined"]) == ("1.23457", "", "", "0")
    assert not (tmp_path / "quarantine.csv").exists()
    folder.write_log([ROW, ROW], {"a, b.mp4": 'no "frames"'})
    assert len(read_rows(folder.log)) == 2
    assert read_rows(tmp_path / "quarantine.csv") == [{"path": "a, b.mp4", "reason": 'no "frames"'}]


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
