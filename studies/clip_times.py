"""What one clip costs each system of the study: all take turns, so that no other work falls on one alone.

python studies/clip_times.py                                # the reduced size, on one thread
python studies/clip_times.py --preset gpu --device cuda
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from evidence import RESULTS, facts_of_machine, results_path, rows_in
from questions import PROTOCOLS, QUESTIONS, SYSTEMS, Protocol, runs_of
from refusals import told_in_one_line
from torch import nn

from vov3d.data.motion import classes_of
from vov3d.distributed import resolve_device
from vov3d.files import csv_text, write_text

NAME = "clip-times"
COLUMNS = ("preset", "size", "precision", "system", "frames", "device", "ms")
Key = tuple[str, ...]


def read_times(folder: Path) -> dict[Key, float]:
    """The least of all machines and days, by all columns but the device and the time itself."""
    found: dict[Key, float] = {}
    for path in sorted(folder.glob(f"{NAME}-*.csv")):
        for row in rows_in(path):
            key = tuple(row[name] for name in COLUMNS[:5])
            found[key] = min(float(row["ms"]), found.get(key, float("inf")))
    return found


def key_of(protocol: Protocol, system: str, frames: int) -> Key:
    """What a time is known by."""
    return protocol.name, str(protocol.size), protocol.precision, system, str(frames)


@torch.inference_mode()
def milliseconds(protocol: Protocol, device: torch.device, rounds: int) -> dict[Key, float]:
    """The median over rounds of one clip's time, for each system and number of frames that is asked about."""
    wanted = {(run.system, run.frames) for question in QUESTIONS.values() for run in runs_of(question, protocol)}
    models: dict[str, nn.Module] = {
        system: SYSTEMS[system].build(protocol)(len(classes_of(protocol.families))).eval().to(device)
        for system in sorted({system for system, _ in wanted})
    }
    times: dict[Key, list[float]] = {}
    narrow = torch.autocast(device.type, torch.bfloat16, enabled=protocol.precision == "bf16")
    for _ in range(rounds + 1):  # the first is thrown away
        for system, frames in sorted(wanted):
            clip = torch.randn(1, 3, frames, protocol.size, protocol.size, device=device)
            clip = clip.contiguous(memory_format=torch.channels_last_3d)
            with narrow:
                models[system](clip).cpu()
                begun = time.perf_counter()
                models[system](clip).cpu()
            times.setdefault(key_of(protocol, system, frames), []).append(1e3 * (time.perf_counter() - begun))
    return {key: statistics.median(mine[1:]) for key, mine in times.items()}


def main(words: Sequence[str] | None = None) -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=sorted(PROTOCOLS), default="cpu")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args(words)
    torch.set_num_threads(1)
    device = resolve_device(args.device)
    found = milliseconds(PROTOCOLS[args.preset], device, max(1, args.rounds))
    rows = [COLUMNS, *((*key, device.type, f"{ms:.4g}") for key, ms in found.items())]
    path = results_path(args.results, f"{NAME}-{args.preset}")
    write_text(path, "\n".join(facts_of_machine()) + "\n" + csv_text(rows))
    print(path)


if __name__ == "__main__":
    with told_in_one_line():
        main()
