"""How the cost of VoV3D-M grows with frames, pixels, clips and threads.

python benchmarks/growth.py [--threads 1 2]
"""

from __future__ import annotations

import functools
from dataclasses import replace

from harness import Row, Variant, in_shares, interleave, parser, remaining, write_results
from networks import Clips, optimised, plain

BASE = Clips(16, 224, 1)
FRAMES, CROPS, BATCHES = (4, 8, 16, 32), (112, 160, 224, 320), (1, 2, 4)


def points(threads: list[int]) -> list[tuple[Clips, int]]:
    """What is measured: one thing after the other grows."""
    grown = [replace(BASE, frames=frames) for frames in FRAMES]
    grown += [replace(BASE, crop=crop) for crop in CROPS]
    grown += [replace(BASE, batch=batch) for batch in BATCHES]
    found = [(clips, threads[0]) for clips in dict.fromkeys(grown)]
    return found + [(BASE, more) for more in threads[1:]]


def main() -> None:
    """Measure and write the results."""
    args = parser(__doc__, 40, (1, 2)).parse_args()
    wanted = points(args.threads)[: 1 if args.quick else None]
    weights = {(clips, threads): 1 + clips.frames * clips.crop**2 * clips.batch / 8e5 for clips, threads in wanted}
    rows = []
    for (clips, threads), seconds in in_shares(weights, remaining(args.seconds)):
        what: Row = {"model": "vov3d_m", "frames": clips.frames, "crop": clips.crop, "batch": clips.batch}
        ways = {"plain": functools.partial(plain, "vov3d_m", clips)}
        ways |= {one: functools.partial(optimised, "vov3d_m", clips, one) for one in ("fp32", "bf16")}
        variants = [Variant({**what, "way": way}, build, threads) for way, build in ways.items()]
        rows += interleave(variants, seconds, min_rounds=2)
    write_results("growth", rows, args.out)


if __name__ == "__main__":
    main()
