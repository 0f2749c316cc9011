"""What bf16 and int8 cost a trained network: `vov3d evaluate` with `--fast` in each precision, beside float32.

    vov3d motion --out motion --train-per-class 50 --val-per-class 40 --seed 3
    vov3d train motion/vov3d_s_16 --data motion --out runs/s
    python benchmarks/precision_accuracy.py runs/s/last.safetensors --data motion --clips 2

Ranges of int8 are taken from up to 32 clips of the videos themselves, without their labels. "Same answers" is the share
of videos for which the most probable class is that of float32.
"""

from __future__ import annotations

from pathlib import Path

import torch
from harness import Row, parser, write_results

from vov3d.evaluate import evaluate
from vov3d.evaluation import Evaluation
from vov3d.memory import keep_freed_memory
from vov3d.optimize import PRECISIONS


def row(precision: str, found: Evaluation, plain: Evaluation) -> Row:
    """One test beside that of the network as it is."""
    probs, expected = (torch.stack([one.probs for one in test.scores]) for test in (found, plain))
    same = (probs.argmax(1) == expected.argmax(1)).double().mean()
    return {
        "precision": precision,
        "videos": found.metrics.num_videos,
        "top1": found.metrics.top1,
        "points": 100 * (found.metrics.top1 - plain.metrics.top1),
        "same_answers": float(same),
        "largest_difference": float((probs - expected).abs().max()),
        "engine": found.metrics.engine or "none: eager",
    }


def main() -> None:
    """Test the network in each precision and write the results."""
    flags = parser(__doc__, 0)
    flags.add_argument("checkpoint", type=Path)
    flags.add_argument("--data", required=True)
    flags.add_argument("--split", default="val")
    flags.add_argument("--clips", type=int, help="clips of a video; by default as the recipe says")
    args = flags.parse_args()
    torch.set_num_threads(args.threads[0])
    keep_freed_memory()
    tests = {
        name: evaluate(
            args.checkpoint, args.data, split=args.split, clips=args.clips, device="cpu", fast=name, workers=0
        )
        for name in (None, *PRECISIONS)
    }
    rows = [row(name or "eager", found, tests[None]) for name, found in tests.items()]
    for one in rows:
        print("  ".join(f"{key} {value}" for key, value in one.items()))
    write_results("precision-accuracy", rows, args.out, checkpoint=str(args.checkpoint), data=args.data)


if __name__ == "__main__":
    main()
