"""What the motion weights give on a small data set of one's own, over random weights: few clips, few passes.

Every run trains on a part of the training videos, as evenly spread over the classes as can be, with the recipe for
small data sets cut to the same number of clips for every start; the test is that of the recipe on the validation
videos, of the network at the end. One row of results for each run, added to those that are there already; a run that
has one is not made again.

python studies/transfer.py --data air_gestures --model vov3d_s --starts null motion --videos 70 35 10 --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import csv
import logging
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from refusals import told_in_one_line

from vov3d.data.sources import VideoItem, read_index
from vov3d.errors import DataError
from vov3d.evaluate import evaluate
from vov3d.memory import keep_freed_memory
from vov3d.recipe import Recipe, load_recipe, override, with_epochs
from vov3d.train import train

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "studies" / "results" / "transfer.csv"
PACES = {"vov3d_s": {}, "vov3d_m": {"clip.crop": "80", "clip.short_side": "84,100", "test.crop": "84"}}
"""What is smaller than in the recipe, so that a CPU trains it in minutes."""


@dataclass(frozen=True)
class Run:
    """One row: what was trained on what, and what came out.

    Accuracies are fractions; ``epochs_to_half`` is the first epoch after which half of the
    validation videos were right.
    """

    model: str
    start: str
    videos: int
    clips: int
    seed: int
    macro_top1: float | None
    shuffled_macro_top1: float | None
    epochs: int
    epochs_to_half: int | None
    minutes: float


def recipe_for(model: str, start: str, videos: int, clips: int, seed: int) -> Recipe:
    """The recipe for small data sets, with as many passes as make the number of clips."""
    recipe = load_recipe(f"folder/{model}_16")
    epochs = max(1, round(clips / videos))
    settings = {
        "model.init": start,
        "train.seed": str(seed),
        "train.batch_size": str(min(recipe.train.batch_size, videos)),
        "train.evaluate_every_epochs": str(max(1, epochs // 10)),
        "train.checkpoint_every_epochs": str(epochs),
        **PACES[model],
    }
    return override(with_epochs(recipe, epochs), settings)


def chosen(items: Sequence[VideoItem], count: int, seed: int) -> Iterator[VideoItem]:
    """So many videos, one class after the other in turns."""
    rng = random.Random(seed)
    of_class: dict[int, list[VideoItem]] = {}
    for item in items:
        of_class.setdefault(item.label, []).append(item)
    for own in of_class.values():
        rng.shuffle(own)
    turns = [
        own[turn] for turn in range(max(map(len, of_class.values()))) for own in of_class.values() if turn < len(own)
    ]
    yield from turns[:count]


def write_part(data: Path, count: int, seed: int, out: Path) -> Path:
    """Write a table of a part of the training videos and of all those that are tested.

    Raises:
        DataError: if there are not so many, or none to test.
    """
    index = read_index(data)
    there = len(index.splits["train"])
    if not 1 <= count <= there or not index.splits.get("val"):
        tested = len(index.splits.get("val", ()))
        raise DataError(f"{data} has {there} videos to train on and {tested} to test on; {count} to train on are asked")
    rows = [
        (str(item.path), index.labels[item.label], split)
        for split, items in (("train", chosen(index.splits["train"], count, seed)), ("val", index.splits["val"]))
        for item in items
    ]
    with out.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "label", "split"), *rows])
    return out


def measured(args: argparse.Namespace, start: str, videos: int, seed: int, folder: Path) -> Run:
    """Train and test once."""
    data = write_part(args.data, videos, seed, folder / "part.csv")
    recipe = recipe_for(args.model, start, videos, args.clips, seed)
    started = time.process_time()
    run = train(recipe, data, folder / "run", device="cpu", workers=0, cache=args.cache, quiet=True)
    minutes = (time.process_time() - started) / 60
    found = [
        evaluate(run.checkpoint, data, frame_order=order, device="cpu", workers=0, cache=args.cache).metrics
        for order in ("given", "shuffled")
    ]
    with (run.out / "log.csv").open(newline="", encoding="utf-8") as file:
        log = [(int(row["epoch"]), float(row["val_top1"])) for row in csv.DictReader(file) if row["val_top1"]]
    half = next((epoch for epoch, top1 in log if top1 >= 0.5), None)
    return Run(
        args.model,
        start_name(start),
        videos,
        args.clips,
        seed,
        found[0].macro_top1,
        found[1].macro_top1,
        run.epochs,
        half,
        minutes,
    )


def is_made(args: argparse.Namespace, start: str, videos: int, seed: int) -> bool:
    """Whether the results have a row of this run."""
    path: Path = args.results
    if not path.exists():
        return False
    wanted = {"model": args.model, "start": start_name(start), "videos": str(videos), "clips": str(args.clips)}
    wanted["seed"] = str(seed)
    with path.open(newline="", encoding="utf-8") as file:
        return any(wanted.items() <= row.items() for row in csv.DictReader(file))


def start_name(start: str) -> str:
    """What a start is called in the results."""
    return "random" if start == "null" else Path(start).stem


def add(row: Run, path: Path) -> None:
    """Add a row to the results."""
    path.parent.mkdir(parents=True, exist_ok=True)
    begun = path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        if not begun:
            table.writerow(field.name for field in fields(Run))
        table.writerow(
            "" if value is None else f"{value:.4g}" if isinstance(value, float) else value
            for value in asdict(row).values()
        )


def main() -> None:
    """Train and test all that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="videos with a split train and a split val")
    parser.add_argument("--model", choices=sorted(PACES), default="vov3d_s")
    parser.add_argument("--starts", nargs="+", default=["null", "motion"], help="null, motion, or checkpoints")
    parser.add_argument("--videos", nargs="+", type=int, default=[70, 35, 10], help="training videos")
    parser.add_argument("--clips", type=int, default=2400, help="training clips of every run")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--cache", type=Path, help="keep small copies of the videos there")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    keep_freed_memory()
    torch.set_num_threads(args.threads)
    for seed in args.seeds:
        for videos in args.videos:
            for start in args.starts:
                if is_made(args, start, videos, seed):
                    continue
                with tempfile.TemporaryDirectory() as folder:
                    row = measured(args, start, videos, seed, Path(folder))
                add(row, args.results)
                print(row, flush=True)


if __name__ == "__main__":
    with told_in_one_line():
        main()
