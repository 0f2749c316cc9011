"""Folders that one process at a time writes to, tried with real processes."""

from __future__ import annotations

import errno
import logging
import os
import platform
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import av
import pytest

from tests.tiny import calling_back, tiny_recipe
from vov3d import locks
from vov3d.cli import main
from vov3d.demo import demo
from vov3d.errors import ArgumentError, DataError, InUseError
from vov3d.locks import sole_writer, whole_folder
from vov3d.models import MODELS
from vov3d.recipe import to_yaml
from vov3d.train import train

HOLD = """
import sys, time
from pathlib import Path
from vov3d.locks import {how}
with {how}(Path(sys.argv[1])) as given:
    print("held", flush=True)
    {work}
"""


@contextmanager
def process(folder: Path, how: str = "sole_writer", work: str = "time.sleep(60)") -> Iterator[subprocess.Popen[str]]:
    """A process that holds a folder."""
    code = HOLD.format(how=how, work=work)
    with subprocess.Popen([sys.executable, "-c", code, folder], stdout=subprocess.PIPE, text=True) as one:
        try:
            assert one.stdout is not None and one.stdout.readline() == "held\n"
            yield one
        finally:
            one.kill()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "PATIENCE_SECONDS", 0.2)


def test_a_second_process_is_told_who_writes_there_and_touches_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "first"
    with process(folder) as first:
        before = [(file.name, file.read_bytes(), file.stat().st_mtime_ns) for file in folder.iterdir()]
        with pytest.raises(InUseError) as told, sole_writer(folder):
            pass
        assert str(told.value) == (
            f"{str(folder)!r} is in use: process {first.pid} on {platform.node()} writes to it; wait for its end, stop "
            "it, or give another folder"
        )
        assert [(file.name, file.read_bytes(), file.stat().st_mtime_ns) for file in folder.iterdir()] == before


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_a_lock_goes_with_a_process_that_is_killed_even_if_its_children_live(tmp_path: Path) -> None:
    """As the processes that decode do for some seconds; they are copies of the one that held the lock."""
    work = "import os\n    print(os.fork() or time.sleep(60), flush=True)\n    time.sleep(60)"
    with process(tmp_path, work=work) as first:
        assert first.stdout is not None
        child = int(first.stdout.readline())
        try:
            first.send_signal(signal.SIGKILL)
            first.wait()
            os.kill(child, 0)
            with sole_writer(tmp_path) as locked:
                assert locked
        finally:
            os.kill(child, signal.SIGKILL)
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_is_about_to_end_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "PATIENCE_SECONDS", 30)
    with process(tmp_path, work="time.sleep(0.5)"), sole_writer(tmp_path) as locked:
        assert locked


def test_who_holds_a_folder_may_ask_again_and_another_thread_may_not(tmp_path: Path) -> None:
    def other() -> None:
        with pytest.raises(InUseError, match=f"process {os.getpid()} on "), sole_writer(tmp_path):
            pass
        refused.append(True)

    refused: list[bool] = []
    with sole_writer(tmp_path):
        with sole_writer(tmp_path) as locked:
            assert locked
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert refused == [True]


def test_nothing_is_left_but_what_was_written(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    with sole_writer(tmp_path / "old"), sole_writer(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").is_dir()
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "old"]
    with sole_writer(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "file").touch()
    assert list((tmp_path / "a" / "b").iterdir()) == [tmp_path / "a" / "b" / "file"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ArgumentError, match=r"file' is a file; give a folder"), sole_writer(tmp_path / "file"):
        pass


def failing(number: int) -> Callable[..., None]:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return flock


@pytest.mark.skipif(sys.platform == "win32", reason="locks are another call there")
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_where_there_are_no_locks_work_goes_on_with_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    monkeypatch.setattr("fcntl.flock", failing(number))
    with caplog.at_level(logging.INFO, "vov3d"), sole_writer(tmp_path / "run") as locked:
        assert not locked
    assert caplog.messages == [
        f"no locks on the file system of {str(tmp_path / 'run')!r}: see to it that no other process writes there"
    ]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="locks are another call there")
def test_other_errors_are_not_taken_for_a_want_of_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fcntl.flock", failing(errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)), sole_writer(tmp_path / "run"):
        pass


# ---- folders that are there whole or not at all ----------------------------------------------------------------------


def test_a_folder_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    with pytest.raises(ValueError, match="no"), whole_folder(out) as folder:
        (folder / "half").touch()
        raise ValueError("no")
    assert list(tmp_path.iterdir()) == []
    with whole_folder(out) as folder:
        (folder / "all").touch()
        assert not out.exists()
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "deep", out, out / "all"]
    with pytest.raises(ArgumentError, match="exists already"), whole_folder(out):
        pass


def test_a_disk_that_is_full_is_told_with_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    for error in (av.error.OSError(errno.ENOSPC, "No space left on device"), OSError(errno.ENOSPC, "No space left")):
        with pytest.raises(OSError, match="No space left") as told, whole_folder(out):
            raise error
        assert (told.value.errno, told.value.filename) == (errno.ENOSPC, str(out))
    monkeypatch.setattr(locks, "_sign", failing(errno.ENOSPC))
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)) as told, sole_writer(out):
        pass
    assert told.value.filename == str(out)
    assert list(tmp_path.iterdir()) == []


def test_what_was_made_meanwhile_stays(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="exists already"), whole_folder(tmp_path / "out"):
        (tmp_path / "out").mkdir()
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_two_processes_do_not_make_one_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with process(out, "whole_folder") as first:
        with pytest.raises(InUseError, match=rf"out' is in use: process {first.pid} on "), whole_folder(out):
            pass
        assert (tmp_path / ".out.unfinished").is_dir()


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    out = tmp_path / "out"
    work = "(given / 'half').touch(); print('written', flush=True); time.sleep(60)"
    with process(out, "whole_folder", work) as first:
        assert first.stdout is not None and first.stdout.readline() == "written\n"
        first.kill()
        first.wait()
    assert (tmp_path / ".out.unfinished" / "half").exists()
    with whole_folder(out) as folder:
        assert list(folder.iterdir()) == []
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.skipif(sys.platform == "win32", reason="locks are another call there")
def test_without_locks_nothing_of_others_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fcntl.flock", failing(errno.ENOLCK))
    with whole_folder(tmp_path / "out") as folder:
        (folder / "mine").touch()
        told = r"still makes .* or was killed; remove it if none does"
        with pytest.raises(InUseError, match=told), whole_folder(tmp_path / "out"):
            pass
        assert (folder / "mine").exists()
    assert list((tmp_path / "out").iterdir()) == [tmp_path / "out" / "mine"]


# ---- the verbs -------------------------------------------------------------------------------------------------------


def everything_in(folder: Path) -> list[tuple[Path, int]]:
    return sorted((path, path.lstat().st_mtime_ns) for path in folder.rglob("*"))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("verb", ["train", "evaluate", "demo", "motion", "pack"])
def test_a_verb_does_not_write_where_another_process_does(
    videos: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    out, recipe = tmp_path / "out", tmp_path / "recipe.yaml"
    recipe.write_text(to_yaml(tiny_recipe()))
    words = {
        "train": ["train", str(recipe), "--data", str(videos), "--out", str(out), "--workers", "0"],
        "evaluate": ["evaluate", str(checkpoint), "--data", str(videos), "--out", str(out), "--workers", "0"],
        "demo": ["demo", "--out", str(out), "--workers", "0"],
        "motion": ["motion", "--out", str(out)],
        "pack": ["pack", "--data", str(videos), str(out)],
    }[verb]
    with process(out, "whole_folder" if verb in ("motion", "pack") else "sole_writer") as first:
        before = everything_in(tmp_path)
        assert main(words) == 2
        assert everything_in(tmp_path) == before
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"vov3d: {str(out)!r} is in use: process {first.pid} on ")
    assert verb == "demo" or main(words) == 0


def test_the_demo_holds_its_folder_for_the_training_in_it(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train_in_it(_recipe: object, _data: object, out: Path, **_: object) -> None:
        with sole_writer(out) as locked:
            assert locked
        done = subprocess.run([sys.executable, "-c", HOLD.format(how="sole_writer", work="pass"), out], check=False)
        assert done.returncode == 1
        raise DataError("enough")

    monkeypatch.setattr(sys.modules["vov3d.demo"], "train", train_in_it)
    with pytest.raises(DataError, match="enough"):
        demo(tmp_path / "out", data=videos, quiet=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("resume", [False, "auto"])
def test_a_run_holds_its_folder_to_its_end(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resume: Literal["auto", False]
) -> None:
    """A second process comes in the midst of a step, and is refused; the first goes on."""

    def second() -> None:
        code = "import sys; from pathlib import Path; from vov3d import locks; locks.PATIENCE_SECONDS = 0.1\n"
        code += "with locks.sole_writer(Path(sys.argv[1])): pass"
        done = subprocess.run([sys.executable, "-c", code, out], capture_output=True, text=True, check=False)
        told.append(done.stderr.splitlines()[-1])

    told: list[str] = []
    out = tmp_path / "run"
    monkeypatch.setitem(MODELS, "vov3d_m", calling_back(4, second))  # type: ignore[arg-type]
    train(tiny_recipe(), videos, out, device="cpu", workers=0, resume=resume, quiet=True)
    (line,) = told
    assert f"is in use: process {os.getpid()} on " in line
    assert not (out / "vov3d.lock").exists()
