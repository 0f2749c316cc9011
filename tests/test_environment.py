"""What a run says about its origin."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
import torch

from vov3d import environment
from vov3d.environment import Environment, describe_environment
from vov3d.version import __version__


def test_the_environment_is_whole_and_can_be_written_as_json() -> None:
    made = json.loads(json.dumps(describe_environment("videos", "cpu", "vov3d train x --data videos")))
    assert set(made) == set(Environment.__annotations__)
    assert made["vov3d"] == __version__
    assert made["torch"] == torch.__version__ == made["packages"]["torch"]
    assert {"numpy", "av", "pillow", "pyyaml"} <= set(made["packages"])
    assert not {"vov3d", "pytest", "ruff"} & set(made["packages"])
    assert (made["data"], made["device"], made["command"]) == ("videos", "cpu", "vov3d train x --data videos")
    assert made["cores"] >= 1
    assert made["processor"]
    assert datetime.fromisoformat(made["started"]).tzinfo is not None


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (["/venv/bin/vov3d", "train", "--out", "my runs"], "vov3d train --out 'my runs'"),
        (["/site-packages/vov3d/__main__.py", "info"], "vov3d info"),
        (["study.py", "3"], "python study.py 3"),
    ],
)
def test_the_command_can_be_typed_again(argv: list[str], command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", argv)
    assert describe_environment()["command"] == command


def test_the_commit_is_that_of_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "CHECKOUT", tmp_path)
    assert describe_environment()["commit"] is None
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    subprocess.run([*git, "init", "-q"], check=True)
    assert describe_environment()["commit"] is None  # no commit yet: git fails
    tracked = tmp_path / "file.txt"
    tracked.write_text("one")
    subprocess.run([*git, "add", "file.txt"], check=True)
    subprocess.run([*git, "commit", "-q", "--no-verify", "-m", "first"], check=True)
    commit = describe_environment()["commit"]
    assert commit is not None
    assert len(commit) == 40
    tracked.write_text("two")
    assert describe_environment()["commit"] == f"{commit}-dirty"


def test_nothing_fails_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".git").mkdir()
    monkeypatch.setattr(environment, "CHECKOUT", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert describe_environment()["commit"] is None
