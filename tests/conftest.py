"""What every test may use."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # before Triton is imported: its kernels then run without a GPU

from tests.tiny import small_network, tiny_recipe, write_data_set, write_filled
from vov3d.models import MODELS
from vov3d.train import train

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """The tests run side by side, one process a core."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _freed_memory_goes_back() -> Iterator[None]:
    """Commands that run in this process leave it as small as it was: what forks from it copies its page tables."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vov3d.cli.frame.keep_freed_memory", lambda: False)
        yield


@pytest.fixture(scope="module", autouse=True)
def _usual_scheduling() -> Iterator[None]:
    """An encoder of AV1 has an administrator's process run before all others, and never undoes it."""
    yield
    if hasattr(os, "SCHED_OTHER"):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@pytest.fixture
def golden() -> Path:
    """The folder of golden numbers."""
    return GOLDEN


@pytest.fixture
def shared() -> Path:
    """The folder of real videos that may lie beside the checkout; the test is skipped where it is absent."""
    folder = Path(__file__).parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("no ../shared beside this checkout")
    return folder


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of 18 real videos in three classes; read only."""
    return write_data_set(tmp_path_factory.mktemp("videos"))


@pytest.fixture
def own_videos(videos: Path, tmp_path: Path) -> Path:
    """A copy of the data set that a test may spoil."""
    return Path(shutil.copytree(videos, tmp_path / "own_videos"))


@pytest.fixture(scope="session")
def run(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a VoV3D-M, two epochs on the data set; read only."""
    return train(tiny_recipe(), videos, tmp_path_factory.mktemp("run"), device="cpu", workers=0, quiet=True).out


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint for the classes of the data set, not trained, that tells any two clips apart; for `small` tests."""
    return write_filled(tmp_path_factory.mktemp("filled") / "filled.safetensors", tiny_recipe())


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small network in the place of VoV3D-M."""
    monkeypatch.setitem(MODELS, "vov3d_m", small_network)  # type: ignore[arg-type]
