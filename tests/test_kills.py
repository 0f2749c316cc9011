"""A run that is killed again and again ends in the weights of the run that was not, to the last bit."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_train import LONGER, assert_same_run, train_here
from tests.tiny import small_network
from vov3d.files import remove_leftovers
from vov3d.models import MODELS
from vov3d.train import Safety

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there"),
]

KILLS = 20
SETTINGS = {**LONGER, "train.epochs": "4", "train.ema_decay": "0.9", "optim.name": "adamw", "optim.lr": "0.002"}

RUN = """
import os, random, signal, sys, threading, time
from pathlib import Path
import torch
from tests.test_kills import SETTINGS
from tests.test_train import train_here
from tests.tiny import small_network
from vov3d import files
from vov3d.models import MODELS
from vov3d.train import Safety

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def dying(call, number):
    calls = []
    def wrapped(*args):
        calls.append(None)
        if len(calls) == number:
            die()
        return call(*args)
    return wrapped

def half_written(number):
    calls = []
    def write(path, content):
        calls.append(None)
        if len(calls) == number:
            path.write_bytes(content[: len(content) // 2])
            die()
        path.write_bytes(content)
    return write

data, out, how, seed = sys.argv[1:]
rng = random.Random(int(seed))
torch.set_num_threads(1)
MODELS["vov3d_m"] = small_network
if how == "at any time":
    threading.Timer(rng.uniform(0, 2.5), die).start()
if how == "between writing and naming":
    files.flush = dying(files.flush, rng.randint(5, 40))  # on the temporary file or on its folder, in turn
if how == "within a write":
    files._write = half_written(rng.randint(2, 12))
train_here(
    Path(data),
    Path(out),
    SETTINGS,
    workers=rng.randint(0, 1),
    resume="auto",
    safety=Safety(save_minutes=rng.choice([0, 9])),
)
"""


def start(videos: Path, out: Path, how: str, seed: int) -> int:
    """Begin or go on with the run in a process that may kill itself; return its exit code."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, videos, out, how, str(seed)],
        cwd=Path(__file__).parents[1],
        check=False,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


def test_twenty_kills_and_more_leave_no_trace(videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, "vov3d_m", small_network)  # type: ignore[arg-type]
    whole, out = tmp_path / "whole", tmp_path / "run"
    train_here(videos, whole, SETTINGS, safety=Safety(save_minutes=9))
    rng = random.Random(5)
    kills, runs = 0, 0
    while kills < KILLS:
        how = rng.choice(["at any time", "at any time", "between writing and naming", "within a write"])
        if start(videos, out, how, seed=1000 * runs + kills) == 0:
            assert_same_run(out, whole)
            runs += 1
            out = tmp_path / f"run {runs}"
        else:
            kills += 1
    assert start(videos, out, "never", seed=0) == 0
    assert_same_run(out, whole)
    remove_leftovers(out)
    assert not list(out.rglob(".*"))
