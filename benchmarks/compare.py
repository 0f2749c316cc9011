"""How long every system of the paper takes on this machine, and what it takes to find out.

    python benchmarks/compare.py [--threads 2] [--rounds 3]

Writes for docs/make_tables.py what `vov3d compare` writes, as JSON, since that is what it reads back.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from harness import machine_facts, results_path

from vov3d.compare.comparison import read_comparison
from vov3d.files import write_text

INPUTS = {"own": [], "16x256": ["--frames", "16", "--crop", "256"]}


def resident_bytes(root: int) -> int:
    """The memory of a process and all that it started, pages that they share counted once (Linux)."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has ended
    total, family = 0, {root}
    for _ in range(4):
        family |= {process for process, parent in parents.items() if parent in family}
    for process in family:
        try:
            rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
        except OSError:
            continue
        total += next((int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:")), 0)
    return total


def measured(words: list[str]) -> dict[str, object]:
    """Run the whole command, watching it."""
    with tempfile.TemporaryDirectory() as folder:
        started, peak = time.perf_counter(), 0
        running = subprocess.Popen([sys.executable, "-m", "vov3d", "compare", *words, "--out", folder])
        while running.poll() is None:
            peak = max(peak, resident_bytes(running.pid))
            time.sleep(3)  # to look costs time: it walks the pages of all processes
        seconds = time.perf_counter() - started
        if running.returncode:
            raise SystemExit(running.returncode)
        found = read_comparison(Path(folder) / "compare.json")
    assert found.made_on is not None
    rows = [{**asdict(cost.clip), **asdict(cost.measured)} for cost in found.costs if cost.measured is not None]
    whole = {"seconds": round(seconds), "peak_gib": round(peak / 2**30, 2)}
    return {"made_on": asdict(found.made_on), "whole": whole, "rows": rows}


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", default="2")
    parser.add_argument("--rounds", default="3")
    args = parser.parse_args()
    runs = {
        name: measured([*words, "--threads", args.threads, "--rounds", args.rounds]) for name, words in INPUTS.items()
    }
    path = results_path("compare", "json")
    write_text(path, json.dumps({"machine": machine_facts(), "runs": runs}, indent=1) + "\n")
    print(path)


if __name__ == "__main__":
    main()
