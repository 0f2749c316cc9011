"""Several processes as `torchrun` starts them: killed, asked to end, and on two nodes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.tiny import tiny_recipe
from vov3d.checkpoint import read_checkpoint
from vov3d.recipe import to_yaml
from vov3d.run_folder import RunFolder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes in /proc"),
]

SETTINGS = {"model.name": "vov3d_s", "train.epochs": "6", "model.dropout": "0.5"}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe of all runs here."""
    file = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    file.write_text(to_yaml(tiny_recipe(SETTINGS)))
    return file


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def torchrun(options: list[str], recipe: Path, videos: Path, out: Path) -> subprocess.Popen[bytes]:
    """Start `torchrun ... -m vov3d train`; what it says goes to a file beside the run."""
    command = [sys.executable, "-m", "torch.distributed.run", *options, "-m", "vov3d", "train", str(recipe)]
    command += ["--data", str(videos), "--out", str(out), "--workers", "1", "--save-minutes", "0", "--resume", "auto"]
    with out.with_suffix(".txt").open("a") as said:
        return subprocess.Popen(
            [*command, "--device", "cpu"],
            cwd=Path(__file__).parents[1],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=said,
            stderr=subprocess.STDOUT,
        )


def end_of(process: subprocess.Popen[bytes], out: Path) -> tuple[int, str]:
    """Wait for the end; return the exit code and all that was said so far."""
    code = process.wait(timeout=240)
    return code, out.with_suffix(".txt").read_text()


def alone(*options: str) -> list[str]:
    """The options of `torchrun` for two processes on one machine."""
    return ["--nproc-per-node", "2", "--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{free_port()}", *options]


def wait_for_states(out: Path, number: int) -> None:
    """Return once so many more states were written."""
    folder, began, seen = RunFolder(out), time.time(), set()
    for _ in range(2400):
        seen |= {file.name for file in folder.states.files() if file.stat().st_mtime > began}
        if len(seen) >= number:
            return
        time.sleep(0.05)
    raise AssertionError(f"only {len(seen)} states in two minutes")


def worker_of(rank: int, out: Path) -> int:
    """The process of a rank of the run that writes to a folder; not one that decodes for it."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().decode().split("\0")
            is_ours = str(out) in words and "torch.distributed.run" not in words
            if is_ours and f"RANK={rank}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except (OSError, ValueError):
            continue
    return min(found)  # its children decode


@pytest.fixture(scope="module")
def whole(recipe: Path, videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of two processes that nothing disturbed."""
    out = tmp_path_factory.mktemp("torchrun") / "whole"
    code, said = end_of(torchrun(alone(), recipe, videos, out), out)
    assert code == 0, said
    return out


def assert_same_weights(out: Path, reference: Path) -> None:
    ours, theirs = (read_checkpoint(folder / "last.safetensors").tensors for folder in (out, reference))
    assert [name for name in theirs if not torch.equal(ours[name], theirs[name])] == []


def test_a_killed_worker_is_started_anew_and_the_run_goes_on(
    recipe: Path, videos: Path, whole: Path, tmp_path: Path
) -> None:
    """Two kills, of one process and of the other, and nobody but `torchrun` to look after them."""
    out = tmp_path / "run"
    process = torchrun(alone("--max-restarts", "2"), recipe, videos, out)
    for rank in (1, 0):
        wait_for_states(out, 2)
        os.kill(worker_of(rank, out), signal.SIGKILL)
        time.sleep(1)  # what it was about to write is written
    code, said = end_of(process, out)
    assert code == 0, said
    assert said.count("resumed after epoch") == 2, said
    assert_same_weights(out, whole)


def test_a_request_to_end_reaches_all_and_the_run_goes_on_later(
    recipe: Path, videos: Path, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    process = torchrun(alone(), recipe, videos, out)
    wait_for_states(out, 2)
    process.send_signal(signal.SIGTERM)
    code, said = end_of(process, out)
    assert code == 1, said  # torchrun's own, whatever its processes end with
    assert said.count("vov3d: terminated\n") == 1, said
    code, said = end_of(torchrun(alone(), recipe, videos, out), out)
    assert code == 0, said
    assert "resumed after epoch" in said
    assert_same_weights(out, whole)


def test_two_nodes_are_one_run(recipe: Path, videos: Path, whole: Path, tmp_path: Path) -> None:
    """Two agents that find each other at an address, as on two machines; each starts one process."""
    out, port = tmp_path / "run", free_port()
    options = ["--nnodes", "2", "--nproc-per-node", "1", "--rdzv-backend", "c10d", "--rdzv-id", "7"]
    nodes = [torchrun([*options, "--rdzv-endpoint", f"127.0.0.1:{port}"], recipe, videos, out) for _ in range(2)]
    codes = [end_of(node, out)[0] for node in nodes]
    said = out.with_suffix(".txt").read_text()
    assert codes == [0, 0], said
    assert said.count("batch 4 = 2 processes") == 1  # the first process alone talks
    assert_same_weights(out, whole)


def test_what_both_processes_meet_is_told_once(recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    code, said = end_of(torchrun(alone(), recipe, tmp_path / "nowhere", out), out)
    assert code == 1
    assert said.count("nowhere' does not exist") == 1, said
