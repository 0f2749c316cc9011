"""How fast motion clips are drawn where they are needed, without files: milliseconds and clips a second.

python benchmarks/motion_batches.py [--device cuda] [--rounds 5] prints a table. On a CPU: one thread, time of the
processor; on a GPU: time on the clock.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from vov3d.data.motion import DIFFICULTIES, MotionBatches

SIZES = (64, 112, 224)


def seconds(batches: MotionBatches, number: int) -> float:
    """Draw one batch."""
    if batches.device.type == "cpu":
        started = time.process_time()
        batches.batch(number)
        return time.process_time() - started
    torch.cuda.synchronize()
    started = time.perf_counter()
    batches.batch(number)
    torch.cuda.synchronize()
    return time.perf_counter() - started


def main() -> None:
    """Measure in interleaved rounds and print the medians."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--device", default="cpu")
    flags.add_argument("--rounds", type=int, default=5)
    args = flags.parse_args()
    torch.set_num_threads(1)
    batch_size = 16 if args.device == "cpu" else 64
    sources = {
        (size, name): MotionBatches(batch_size, size=size, difficulty=difficulty, device=args.device)
        for size in SIZES
        for name, difficulty in DIFFICULTIES.items()
    }
    times: dict[tuple[int, str], list[float]] = {key: [] for key in sources}
    for number in range(args.rounds + 1):
        for key, batches in sources.items():
            times[key].append(seconds(batches, number) / batch_size)
    print(f"{args.device}, batches of {batch_size} clips of 16 frames")
    print("| pixels | difficulty | ms a clip | clips a second |")
    print("|---:|---|---:|---:|")
    for (size, name), measured in times.items():
        median = statistics.median(measured[1:])
        print(f"| {size} | {name} | {1e3 * median:.1f} | {1 / median:.0f} |")


if __name__ == "__main__":
    main()
