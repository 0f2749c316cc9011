"""The kernels compile for a GPU that need not be there: all that the published networks launch."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

SHARED_KIB = {80: 163, 86: 99, 89: 99, 90: 227, 100: 227, 120: 99}
"""What a program may have, by compute capability."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("networks", "dtype", "capability", "least", "most_spilled"),
    [
        (["vov3d_m", "vov3d_l", "x3d_m"], "bfloat16", 90, 340, 0),
        (["vov3d_m", "vov3d_l", "x3d_m"], "float32", 90, 340, 64),
        (["vov3d_m"], "bfloat16", 80, 140, 256),
        (["vov3d_m"], "float32", 89, 140, 64),
    ],
)
def test_kernels_compile_for_gpus_and_half_precision_spills_nothing_on_hopper(
    networks: list[str], dtype: str, capability: int, least: int, most_spilled: int
) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    script = Path(__file__).with_name("compile_for_gpu.py")
    command = [sys.executable, script, "--networks", *networks, "--dtype", dtype]
    command += ["--capability", str(capability)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = re.findall(r"(\d+) bytes spilled, (\d+) bytes shared", done.stdout)
    assert len(found) >= least
    assert max(int(spilled) for spilled, _ in found) <= most_spilled, done.stdout
    assert max(int(shared) for _, shared in found) <= SHARED_KIB[capability] * 1024
