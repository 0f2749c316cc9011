"""How long a clip takes: plain eager, with an allocator that keeps memory, as the catalogue computes it, optimised.

    python benchmarks/inference.py [--threads 1 2] [--models vov3d_m] [--batch 1]

What is optimised runs, at 16x224x224 of VoV3D-M and X3D-M, on every back end that is present and in every precision
that it has; elsewhere on the one that `vov3d.optimize` picks.
"""

from __future__ import annotations

import functools

from harness import Row, Variant, in_shares, interleave, parser, write_results
from networks import Clips, optimised, ours, plain, ways

from vov3d.models import create_model
from vov3d.models.counting import count_gmacs
from vov3d.optimize import PRECISIONS

MODELS = ("vov3d_m", "vov3d_l", "x3d_m")
CLIPS = (Clips(16, 224), Clips(16, 256), Clips(16, 224, 8))


def cell(name: str, clips: Clips, threads: int, seconds: float) -> list[Row]:
    """One network at one input in every way; the first is plain eager."""
    present = ways(name)
    if clips != CLIPS[0] or name == "vov3d_l":
        present = [("auto", precision) for precision in PRECISIONS if precision in {one for _, one in present}]
    what = {"model": name, "frames": clips.frames, "crop": clips.crop, "batch": clips.batch}
    variants = [
        Variant({**what, "way": "plain", "precision": "fp32"}, functools.partial(plain, name, clips), threads),
        Variant(
            {**what, "way": "plain, memory kept", "precision": "fp32"},
            functools.partial(plain, name, clips),
            threads,
            keeps_memory=True,
        ),
        Variant({**what, "way": "eager", "precision": "fp32"}, functools.partial(ours, name, clips), threads),
    ]
    for backend, precision in present:
        build = functools.partial(optimised, name, clips, precision, backend, with_memory=clips.batch == 1)
        variants.append(Variant({**what, "way": "optimised", "precision": precision}, build, threads))
    return interleave(variants, seconds, min_rounds=3 if clips.batch == 1 else 2)


def main() -> None:
    """Measure and write the results."""
    flags = parser(__doc__, 330, (1, 2))
    flags.add_argument("--models", nargs="+", default=MODELS)
    flags.add_argument("--batch", type=int, nargs="+", default=(1, 8))
    args = flags.parse_args()
    shown = [clips for clips in CLIPS if clips.batch in args.batch][: 1 if args.quick else None]
    cells = {
        (name, clips, threads): 1 + count_gmacs(create_model(name), clips.frames, clips.crop) * clips.batch / 20
        for clips in shown
        for name in args.models
        for threads in args.threads
        if clips.batch == 1 or name == "vov3d_m" or threads > 1  # a batch of eight on one thread takes long
    }
    rows = [row for one, seconds in in_shares(cells, args.seconds) for row in cell(*one, seconds)]
    write_results("inference", rows, args.out)


if __name__ == "__main__":
    main()
