"""Blocks that are freed and asked for again cost no page faults."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import torch
from vov3d.memory import keep_freed_memory

if sys.argv[1] == "kept":
    assert keep_freed_memory()
for turn in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(1 << 24).add(1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(kept: str) -> int:
    done = subprocess.run([sys.executable, "-c", FAULTS, kept], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_freed_memory_is_used_again() -> None:
    """Where addresses, which are drawn, leave the heap no room to grow, blocks are mapped after all."""
    assert faults("given back") > 100
    assert any(faults("kept") < 100 for _ in range(4))
