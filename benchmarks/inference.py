"""How long a clip takes: plain eager, with an allocator that keeps memory, as the catalogue computes it, optimised.

    python benchmarks/inference.py [--threads 1 2]
    python benchmarks/inference.py --models vov3d_l --threads 2 --batch 1   # this alone; today's other rows stay

At 16x224x224 on the first number of threads, VoV3D-M runs on every back end that is present in every precision that it
has, and X3D-M always on the native one and OpenVINO; everything else on the one that `vov3d.optimize` picks. Eight
clips at a time take long: without ``--batch 8`` they are shown to VoV3D-M alone, and of 224 pixels.
"""

from __future__ import annotations

import functools

from harness import Row, Variant, after_rows_of_today, in_shares, interleave, parser, remaining, write_results
from networks import Clips, optimised, ours, plain, ways

from vov3d.models import create_model
from vov3d.models.counting import count_gmacs
from vov3d.optimize import PRECISIONS

ENGINES = {"vov3d_m": ("native", "openvino", "torch", "onnxruntime"), "x3d_m": ("native", "openvino")}
ONE, WIDE, EIGHT, WIDE_EIGHT = Clips(16, 224), Clips(16, 256), Clips(16, 224, 8), Clips(16, 256, 8)
CELLS = {"vov3d_m": (ONE, WIDE, EIGHT, WIDE_EIGHT), "vov3d_l": (ONE, WIDE, EIGHT, WIDE_EIGHT), "x3d_m": (ONE, EIGHT)}


def cell(name: str, clips: Clips, threads: int, seconds: float, *, by_engine: bool) -> list[Row]:
    """One network at one input in every way; the first is plain eager."""
    present = ways(name)
    if by_engine and name in ENGINES:
        chosen = [(engine, precision) for engine, precision in present if engine in ENGINES[name]]
    else:
        chosen = [("auto", precision) for precision in PRECISIONS if precision in {one for _, one in present}]
    what: Row = {"model": name, "frames": clips.frames, "crop": clips.crop, "batch": clips.batch}
    checked = clips.batch == 1
    base = functools.partial(plain, name, clips, checked=checked)
    eager = functools.partial(ours, name, clips, checked=checked)
    variants = [
        Variant({**what, "way": "plain", "precision": "fp32"}, base, threads),
        Variant({**what, "way": "plain, memory kept", "precision": "fp32"}, base, threads, keeps_memory=True),
        Variant({**what, "way": "eager", "precision": "fp32"}, eager, threads),
    ]
    for backend, precision in chosen:
        build = functools.partial(optimised, name, clips, precision, backend, checked=checked)
        variants.append(Variant({**what, "way": "optimised", "precision": precision}, build, threads))
    return interleave(variants, seconds, min_rounds=3 if checked else 2)


def main() -> None:
    """Measure and write the results."""
    flags = parser(__doc__, 230, (1, 2))
    flags.add_argument("--models", nargs="+", default=list(CELLS), choices=list(CELLS))
    flags.add_argument("--batch", type=int, nargs="+", choices=(1, 8))
    args = flags.parse_args()
    cells = {
        (name, clips, threads): 1 + count_gmacs(create_model(name), clips.frames, clips.crop) * clips.batch / 20
        for threads in args.threads
        for name in args.models
        for clips in CELLS[name][: 1 if args.quick else None]
        if (clips.batch in args.batch if args.batch else clips.batch == 1 or (name, clips) == ("vov3d_m", EIGHT))
    }
    rows: list[Row] = []
    for (name, clips, threads), seconds in in_shares(cells, remaining(args.seconds)):
        rows += cell(
            name, clips, threads, seconds, by_engine=name == "x3d_m" or (clips == ONE and threads == args.threads[0])
        )
    keys = ("model", "frames", "crop", "batch", "threads")
    write_results("inference", after_rows_of_today("inference", rows, keys, args.out), args.out)


if __name__ == "__main__":
    main()
