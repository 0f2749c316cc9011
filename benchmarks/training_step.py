"""How long a training step takes: forward, backward, SGD; plain Conv3d modules against ours.

With memory kept is how the command line trains (`vov3d.memory`).

python benchmarks/training_step.py [--threads 1]
"""

from __future__ import annotations

import functools

import torch
from harness import Row, Variant, in_shares, interleave, parser, peak_mib, remaining, resident_mib, write_results
from networks import Clips, as_plain, network
from torch.nn import functional as F

from vov3d.compare.workers import Ready

CLIPS = Clips(16, 112, 4)


def step(name: str, clips: Clips, *, is_plain: bool) -> Ready:
    """One step of a network that has made one before."""
    shown, labels = clips.drawn(), torch.arange(clips.batch)
    before = resident_mib()
    model = (as_plain(network(name)) if is_plain else network(name)).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)

    def run() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(shown), labels).backward()
        optimizer.step()

    run()
    peak = peak_mib(run)
    return Ready(run, {"peak_mib": None if before is None or peak is None else peak - before})


def cell(name: str, clips: Clips, threads: int, seconds: float) -> list[Row]:
    """One network in both ways."""
    what: Row = {"model": name, "frames": clips.frames, "crop": clips.crop, "batch": clips.batch}
    variants = [
        Variant(
            {**what, "way": f"{way}, memory kept" if is_kept else way},
            functools.partial(step, name, clips, is_plain=way == "plain"),
            threads,
            is_kept,
        )
        for is_kept in (False, True)
        for way in ("plain", "ours")
    ]
    return interleave(variants, seconds, min_rounds=2)


def main() -> None:
    """Measure and write the results."""
    args = parser(__doc__, 70, (1, 2)).parse_args()
    clips = Clips(4, 64, 2) if args.quick else CLIPS
    cells = {(name, clips, threads): 1.0 for name in ("vov3d_m", "x3d_m") for threads in args.threads}
    rows = [row for one, seconds in in_shares(cells, remaining(args.seconds)) for row in cell(*one, seconds)]
    write_results("training-step", rows, args.out)


if __name__ == "__main__":
    main()
