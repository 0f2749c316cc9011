"""What every test may use."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """The tests run side by side, one process a core."""
    torch.set_num_threads(1)


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
