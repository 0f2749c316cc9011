"""The kernels compile for a GPU that need not be there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")


@pytest.mark.slow
def test_kernels_compile_for_hopper_and_spill_nothing() -> None:
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    script = Path(__file__).with_name("compile_for_hopper.py")
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    spilled = [int(number) for number in re.findall(r"(\d+) bytes spilled", done.stdout)]
    assert len(spilled) == 23
    assert max(spilled) == 0, done.stdout
