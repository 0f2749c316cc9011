"""What the motion weights say of real videos without any training: how often a gesture gets the name of its motion.

Each video counts as right if, of all motion classes, its own is the most probable one; "among" leaves the network only
the classes that are asked for, and "shuffled" is that with frames in random order.

python studies/zero_shot.py --data air_gestures --classes left=move_left right=move_right
"""

from __future__ import annotations

import argparse
import csv
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from refusals import told_in_one_line

from vov3d.build import build_views, head_window
from vov3d.data.dataset import FrameOrder
from vov3d.data.items import Broken
from vov3d.data.sources import VideoIndex, VideoItem, read_index
from vov3d.errors import DataError, unknown_name
from vov3d.inference import video_probabilities
from vov3d.trained import Trained, load_trained
from vov3d.weights import FOLDER, weights_in

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "studies" / "results" / "zero_shot.csv"
CLASSES = ("left=move_left", "right=move_right", "up=move_up", "down=move_down")


@dataclass(frozen=True)
class Row:
    """The videos of one class; accuracies are fractions."""

    model: str
    label: str
    motion: str
    videos: int
    top1: float
    top1_among: float
    shuffled_top1_among: float


def probabilities(trained: Trained, items: Sequence[VideoItem], root: Path, order: FrameOrder) -> torch.Tensor:
    """Those of all motion classes, [videos, classes]."""
    index = VideoIndex(root, "videos", trained.labels, {"test": tuple(items)}, notes=(), flip="none", frame_fps=None)
    dataset = build_views(trained.recipe, index, "test", frame_order=order)
    found, cpu, window = [], torch.device("cpu"), head_window(trained.recipe)
    for number in range(len(items)):
        views = dataset[number]
        if isinstance(views, Broken):
            raise SystemExit(f"{views.path}: {views.reason}")
        found += video_probabilities(trained.model, [views], cpu, window, "softmax")
    return torch.stack(found)


def rows(trained: Trained, data: Path, asked: dict[str, str]) -> list[Row]:
    """One row for each class that is asked for, over the videos of all splits."""
    index = read_index(data)
    for label, motion in asked.items():
        for kind, name, known in (("label", label, index.labels), ("motion class", motion, trained.labels)):
            if name not in known:
                raise DataError(unknown_name(kind, name, known))
    numbers = [trained.labels.index(motion) for motion in asked.values()]
    items = [item for split in index.splits.values() for item in split]
    found = []
    for place, (label, motion) in enumerate(asked.items()):
        own = [item for item in items if index.labels[item.label] == label]
        given, shuffled = (probabilities(trained, own, index.root, order) for order in ("given", "shuffled"))
        found.append(
            Row(
                trained.recipe.model.name,
                label,
                motion,
                len(own),
                _share(given.argmax(1) == numbers[place]),
                _share(given[:, numbers].argmax(1) == place),
                _share(shuffled[:, numbers].argmax(1) == place),
            )
        )
    return found


def _share(right: torch.Tensor) -> float:
    return float(right.float().mean())


def main() -> None:
    """Predict, print and write the rows."""
    shipped = [one.path for one in weights_in(FOLDER)]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", nargs="+", default=shipped, help="checkpoints [those in the package]")
    parser.add_argument("--classes", nargs="+", default=list(CLASSES), help="LABEL=MOTION, as many as are compared")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    if not all(pair.count("=") == 1 for pair in args.classes):
        parser.error(f"--classes {' '.join(args.classes)}: each must be LABEL=MOTION")
    logging.basicConfig(level=logging.WARNING)
    torch.set_num_threads(args.threads)
    asked = dict(pair.split("=") for pair in args.classes)
    found = [row for weights in args.weights for row in rows(load_trained(weights), args.data, asked)]
    args.results.parent.mkdir(parents=True, exist_ok=True)
    with args.results.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(field.name for field in fields(Row))
        table.writerows(
            [f"{value:.4g}" if isinstance(value, float) else value for value in asdict(row).values()] for row in found
        )
    for row in found:
        print(row)


if __name__ == "__main__":
    with told_in_one_line():
        main()
