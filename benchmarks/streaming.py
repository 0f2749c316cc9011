"""What one new frame costs in front of a camera, beside the clip of 16 frames that a sliding window computes for it.

    python benchmarks/streaming.py [--threads 1] [--models vov3d_m]

``speedup`` is over the plain clip: 16 would be the cost of one of its frames.
"""

from __future__ import annotations

import functools

import torch
from harness import Ready, Row, Variant, in_shares, interleave, parser, write_results

from vov3d.models import create_model
from vov3d.optimize.folding import folded

MODELS = ("vov3d_s", "vov3d_m", "vov3d_l", "x3d_m")
FRAMES, CROP = 16, 224


def clip(name: str, causal: bool) -> Ready:
    """A clip, as the catalogue computes it."""
    model, clips = create_model(name, causal=causal).eval(), torch.randn(1, 3, FRAMES, CROP, CROP)

    @torch.inference_mode()
    def run() -> None:
        model(clips)

    run()
    return Ready(run)


def frame(name: str, folds: bool) -> Ready:
    """A frame of a stream that has seen some."""
    model, frames = create_model(name, causal=True).eval(), torch.randn(1, 3, 1, CROP, CROP)
    stream = (folded(model) if folds else model).stream()
    for _ in range(3):
        stream(frames)
    return Ready(functools.partial(stream, frames))


def cell(name: str, threads: int, seconds: float) -> list[Row]:
    """One network; the first is the plain clip."""
    ways = {
        "clip": functools.partial(clip, name, False),
        "causal clip": functools.partial(clip, name, True),
        "frame": functools.partial(frame, name, False),
        "frame, norms folded": functools.partial(frame, name, True),
    }
    what = {"model": name, "frames": FRAMES, "crop": CROP, "batch": 1}
    return interleave([Variant({**what, "way": way}, build, threads) for way, build in ways.items()], seconds)


def main() -> None:
    """Measure and write the results."""
    flags = parser(__doc__, 30)
    flags.add_argument("--models", nargs="+", default=MODELS)
    args = flags.parse_args()
    names = args.models[: 1 if args.quick else None]
    cells = {(name, threads): 1.0 for name in names for threads in args.threads}
    rows = [row for one, seconds in in_shares(cells, args.seconds) for row in cell(*one, seconds)]
    write_results("streaming", rows, args.out)


if __name__ == "__main__":
    main()
