"""What a new frame costs a causal network that follows a camera, beside a clip of sixteen of them.

python benchmarks/streaming.py [--threads 1]
"""

from __future__ import annotations

import functools

import torch
from harness import Variant, in_shares, interleave, parser, write_results
from networks import Clips, network

from vov3d.compare.workers import Ready


def clip(name: str, clips: Clips) -> Ready:
    """What a window that slides computes for each new frame."""
    model, shown = network(name, causal=True), clips.drawn()
    run = torch.inference_mode()(lambda: model(shown))
    run()
    return Ready(run)


def frame(name: str, clips: Clips) -> Ready:
    """What a stream computes for each new frame; it has seen a clip."""
    stream, shown = network(name, causal=True).stream(), clips.drawn()
    run = torch.inference_mode()(lambda: stream(shown[:, :, :1]))
    torch.inference_mode()(stream)(shown)
    run()
    return Ready(run)


def main() -> None:
    """Measure and write the results."""
    args = parser(__doc__, 20).parse_args()
    clips = Clips(4, 64) if args.quick else Clips()
    rows = []
    cells = {(name, threads): 1.0 for name in ("vov3d_m", "vov3d_l", "x3d_m") for threads in args.threads}
    for (name, threads), seconds in in_shares(cells, args.seconds):
        what = {"model": name, "frames": clips.frames, "crop": clips.crop, "batch": clips.batch}
        ways = {"clip": functools.partial(clip, name, clips), "frame": functools.partial(frame, name, clips)}
        rows += interleave([Variant({**what, "way": way}, build, threads) for way, build in ways.items()], seconds)
    write_results("streaming", rows, args.out)


if __name__ == "__main__":
    main()
