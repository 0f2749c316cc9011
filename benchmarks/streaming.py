"""What one new frame costs in front of a camera, beside the clip of 16 frames that a sliding window computes for it.

    python benchmarks/streaming.py [--threads 1] [--models vov3d_m]

``speedup`` is over the clip as plain modules compute it: 16 would be the cost of one of its frames.

    python benchmarks/streaming.py --long 100000

shows so many frames, one by one, to a stream in float32 and one in float64, and writes how far apart they are and how
much memory the process holds after 100, 1,000, ... of them; minutes.
"""

from __future__ import annotations

import copy
import functools
import time
from collections.abc import Callable

import torch
from harness import Row, Variant, in_shares, interleave, parser, remaining, resident_mib, write_results
from networks import as_plain

from vov3d.compare.workers import Ready
from vov3d.layers import Stream
from vov3d.models import ClipClassifier, VoV3D, create_model
from vov3d.optimize import fast_stream
from vov3d.optimize.folding import folded

MODELS = ("vov3d_s", "vov3d_m", "vov3d_l", "x3d_m")
FRAMES, CROP = 16, 224


def clip(name: str, causal: bool, is_plain: bool = False) -> Ready:
    """A clip, as the catalogue computes it, or as plain modules do."""
    model, clips = create_model(name, causal=causal).eval(), torch.randn(1, 3, FRAMES, CROP, CROP)
    model = as_plain(model) if is_plain else model

    @torch.inference_mode()
    def run() -> None:
        model(clips)

    run()
    return Ready(run)


def frame(name: str, begin: Callable[[ClipClassifier], Stream]) -> Ready:
    """A frame of a stream that has seen some."""
    frames = torch.randn(1, 3, 1, CROP, CROP)
    stream = begin(create_model(name, causal=True).eval())
    for _ in range(3):
        stream(frames)
    return Ready(functools.partial(stream, frames))


def folded_stream(model: ClipClassifier) -> Stream:
    """A stream whose norms are folded."""
    return folded(model).stream()


def cell(name: str, threads: int, seconds: float) -> list[Row]:
    """One network; the first is the plain clip."""
    ways = {
        "plain clip": functools.partial(clip, name, False, True),
        "clip": functools.partial(clip, name, False),
        "causal clip": functools.partial(clip, name, True),
        "frame": functools.partial(frame, name, ClipClassifier.stream),
        "frame, norms folded": functools.partial(frame, name, folded_stream),
        "frame, fast_stream": functools.partial(frame, name, fast_stream),
    }
    what: Row = {"model": name, "frames": FRAMES, "crop": CROP, "batch": 1}
    return interleave([Variant({**what, "way": way}, build, threads) for way, build in ways.items()], seconds)


def long_stream(num_frames: int) -> list[Row]:
    """A row after 100, 1,000, ... frames and at the end: what changed since the row before."""
    torch.manual_seed(0)
    model = VoV3D(8, (1, 1, 1, 1), num_classes=10, causal=True).eval()
    exact, stream = copy.deepcopy(model).double().stream(), model.stream()
    rows: list[Row] = []
    far, since = 0.0, time.perf_counter()
    for number in range(1, num_frames + 1):
        frame = torch.randn(1, 3, 1, 32, 32)
        expected = exact(frame.double())
        far = max(far, float((stream(frame) - expected).abs().max()))
        if number == num_frames or number in (10**power for power in range(2, 10)):
            taken = time.perf_counter() - since
            rows.append({"frames": number, "largest_difference": far, "resident_mib": resident_mib(), "seconds": taken})
            print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
            far, since = 0.0, time.perf_counter()
    rows[-1]["logits_std"] = float(expected.std())
    return rows


def main() -> None:
    """Measure and write the results."""
    flags = parser(__doc__, 30)
    flags.add_argument("--models", nargs="+", default=MODELS)
    flags.add_argument(
        "--long", type=int, default=0, metavar="N", help="frames of one long stream, in place of the rest"
    )
    args = flags.parse_args()
    if args.long:
        torch.set_num_threads(args.threads[0])
        write_results("long-stream", long_stream(args.long), args.out)
        return
    names = args.models[: 1 if args.quick else None]
    cells = {(name, threads): 1.0 for name in names for threads in args.threads}
    rows = [row for one, seconds in in_shares(cells, remaining(args.seconds)) for row in cell(*one, seconds)]
    write_results("streaming", rows, args.out)


if __name__ == "__main__":
    main()
