"""Ctrl+C and SIGTERM in the midst of every verb: real processes, real signals, nothing half-made left."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import vov3d
from tests.tiny import tiny_recipe
from vov3d.recipe import to_yaml

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no signals to other processes there")

CODES = {signal.SIGTERM: (143, "vov3d: terminated"), signal.SIGINT: (130, "vov3d: interrupted")}

SLOW_VERB = """
import importlib, signal, sys, time
from tests.tiny import small_network
from vov3d.cli import main
from vov3d.models import MODELS

signal.signal(signal.SIGINT, signal.default_int_handler)  # as it is for a person
MODELS["vov3d_m"] = small_network
module, name, number = sys.argv[1].split(":")
owner = importlib.import_module(module)
*path, name = name.split(".")
for part in path:
    owner = getattr(owner, part)
call, calls = getattr(owner, name), []

def slow(*args, **kwargs):
    calls.append(None)
    if len(calls) == int(number):
        print("now", flush=True)
        time.sleep(2.5)
    return call(*args, **kwargs)

setattr(owner, name, slow)
sys.exit(main(sys.argv[2:]))
"""


def everything_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def interrupt(number: signal.Signals, where: str, words: list[str], times: int = 1) -> tuple[int, list[str]]:
    """Start a verb that sends word where it waits for some seconds; signal it with its children; hear how it ends."""
    with subprocess.Popen(
        [sys.executable, "-c", SLOW_VERB, where, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        came = process.stdout.readline()
        assert came == "now\n", process.stderr.read()
        for _ in range(times):
            os.killpg(process.pid, number)
            time.sleep(0.2)
        process.wait(timeout=60)
        return process.returncode, process.stderr.read().splitlines()


PLACES = {
    "train, before it begins": (
        "vov3d.training:build_clips:1",
        ["train", "RECIPE", "--data", "VIDEOS", "--out", "out/run", "--workers", "0"],
    ),
    "train, in its first step": (
        "vov3d.train_step:mix:1",
        ["train", "RECIPE", "--data", "VIDEOS", "--out", "out/run", "--workers", "1"],
    ),
    "evaluate": (
        "vov3d.scoring:video_probabilities:2",
        ["evaluate", "CHECKPOINT", "--data", "VIDEOS", "--out", "out/test", "--workers", "1"],
    ),
    "evaluate, while its processes begin": (
        "torch.utils.data._utils.worker:_worker_loop:1",
        ["evaluate", "CHECKPOINT", "--data", "VIDEOS", "--out", "out/test", "--workers", "1"],
    ),
    "evaluate, while it makes a copy": (
        "vov3d.data.cache:encode:2",
        ["evaluate", "CHECKPOINT", "--data", "VIDEOS", "--workers", "0", "--cache", "out"],
    ),
    "evaluate, while another process makes a copy": (
        "vov3d.data.cache:encode:2",
        ["evaluate", "CHECKPOINT", "--data", "VIDEOS", "--workers", "1", "--cache", "out"],
    ),
    "evaluate, while it writes a copy": (
        "vov3d.files:flush:5",
        ["evaluate", "CHECKPOINT", "--data", "VIDEOS", "--workers", "0", "--cache", "out"],
    ),
    "evaluate, while it writes its tables": (
        "vov3d.files:flush:3",
        ["evaluate", "CHECKPOINT", "--data", "VIDEOS", "--out", "out", "--workers", "0"],
    ),
    "pack": ("vov3d.data.pack.write:SplitWriter.add:5", ["pack", "--data", "VIDEOS", "out/pack"]),
    "pack, at its end": ("vov3d.files:flush:1", ["pack", "--data", "VIDEOS", "out/pack"]),
    "motion": ("vov3d.data.motion.write:_encode:20", ["motion", "--out", "out/motion", "--size", "32"]),
    "demo, while it draws": ("vov3d.data.motion.write:_encode:20", ["demo", "--out", "out/demo", "--quiet"]),
    "check": ("vov3d.check.look:try_to_open:3", ["check", "--data", "VIDEOS"]),
    "predict": ("vov3d.predict:video_probabilities:2", ["predict", "CHECKPOINT", "VIDEOS", "--out", "out/found.csv"]),
    "predict, while it decodes": (
        "vov3d.predict:build_views:3",
        ["predict", "CHECKPOINT", "VIDEOS", "--out", "out/a.csv"],
    ),
    "predict, while it writes": ("vov3d.files:flush:1", ["predict", "CHECKPOINT", "VIDEOS", "--out", "out/found.csv"]),
    "report": ("vov3d.files:flush:1", ["report", "out"]),
    "convert": ("vov3d.files:flush:1", ["convert", "CHECKPOINT", "out/theirs.pyth"]),
}
STAYS = {
    "train, in its first step": ["run/environment.json", "run/recipe.yaml", "run/resume/STATE"],
    "evaluate, while it makes a copy": ["COPY", "README.txt"],
    "evaluate, while it writes a copy": ["COPY", "README.txt"],
    "evaluate, while another process makes a copy": ["COPY", "README.txt"],
    "evaluate, while it writes its tables": ["metrics.json"],
}
"""What was whole before the signal came, or was waited for."""


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
def test_a_signal_leaves_nothing_half_made_and_has_a_code_of_its_own(
    videos: Path, checkpoint: Path, tmp_path: Path, place: str, number: signal.Signals
) -> None:
    out, recipe = tmp_path / "out", tmp_path / "recipe.yaml"
    recipe.write_text(to_yaml(tiny_recipe()))
    out.mkdir()
    if place == "report":
        (out / "log.csv").write_text("epoch,step\n")
    before = everything_in(out)
    names = {"VIDEOS": videos, "CHECKPOINT": checkpoint, "RECIPE": recipe}
    where, words = PLACES[place]
    words = [str(names.get(word, tmp_path / word if word.split("/")[0] == "out" else word)) for word in words]
    code, said = interrupt(number, where, words)
    assert (code, said[-1]) == CODES[number], said
    assert not any("Traceback" in line or "Exception ignored" in line for line in said), said
    if place in STAYS:
        files = [name for name in everything_in(out) if (out / name).is_file()]
        named = [re.sub(r"epoch-\d+-step-\d+.safetensors$", "STATE", name) for name in files]
        assert sorted({re.sub(r"^\w\w/\w{32}\.mp4$", "COPY", name) for name in named}) == STAYS[place]
    else:
        assert everything_in(out) == before


def test_a_second_request_to_end_does_not_disturb_the_first(tmp_path: Path) -> None:
    words = ["motion", "--out", str(tmp_path / "motion"), "--size", "32"]
    code, said = interrupt(signal.SIGTERM, "vov3d.data.motion.write:_encode:20", words, times=5)
    assert (code, said) == (143, ["vov3d: terminated"])
    assert list(tmp_path.iterdir()) == []


STARTS_A_WORKER = """
import functools, os, signal, sys
from vov3d.compare.workers import Ready, Worker
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.insert(0, sys.argv[1])
os.environ["PYTHONPATH"] = os.pathsep.join([sys.argv[1], os.environ["PYTHONPATH"]])
try:
    with Worker.started(functools.partial(Ready, print), 1):
        pass
except KeyboardInterrupt:
    print("interrupted")
"""
TORCH_AFTER_A_WHILE = """
import sys, time
print("now", flush=True)
time.sleep(2)
sys.path.remove(str(__import__("pathlib").Path(__file__).parent))
del sys.modules["torch"]
import torch
"""


def test_processes_that_are_timed_say_nothing_of_an_interrupt(tmp_path: Path) -> None:
    """Not even while the first of them imports what all need."""
    (tmp_path / "torch.py").write_text(TORCH_AFTER_A_WHILE)
    with subprocess.Popen(
        [sys.executable, "-c", STARTS_A_WORKER, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(vov3d.__file__).parents[1])},
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "now\n"
        os.killpg(process.pid, signal.SIGINT)
        try:
            assert process.communicate(timeout=30) == ("interrupted\n", "")
        finally:
            process.kill()


SLOW_TORCH = """
import time
print("now", flush=True)
time.sleep(20)
"""
AS_FOR_A_PERSON = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)  # whatever started the tests may ignore it
os.execv(sys.argv[1], sys.argv[1:])
"""
SCRIPT = """
import sys
from vov3d.cli import main
sys.exit(main())
"""


@pytest.mark.parametrize("start", ["the module", "the script"])
@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
def test_a_signal_while_python_still_imports_is_one_line(tmp_path: Path, number: signal.Signals, start: str) -> None:
    (tmp_path / "torch.py").write_text(SLOW_TORCH)
    (tmp_path / "vov3d").write_text(SCRIPT)
    words = ["-m", "vov3d"] if start == "the module" else [str(tmp_path / "vov3d")]
    source = str(Path(vov3d.__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, "-c", AS_FOR_A_PERSON, sys.executable, *words, "recipes"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), source])},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "now\n"
        process.send_signal(number)
        _, said = process.communicate(timeout=15)
    assert (process.returncode, said.splitlines()) == (CODES[number][0], [CODES[number][1]])


def test_a_program_that_imports_the_package_keeps_its_handlers() -> None:
    code = "import signal; usual = [signal.getsignal(n) for n in (2, 15)]; import vov3d; " + (
        "print(usual == [signal.getsignal(n) for n in (2, 15)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
