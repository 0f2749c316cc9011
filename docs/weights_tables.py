"""The tables of docs/weights.md: what is shipped, and what it gave."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Sequence
from pathlib import Path

from vov3d.checkpoint import read_checkpoint
from vov3d.weights import FOLDER, weights_in

RESULTS = Path(__file__).parents[1] / "studies" / "results"
SHIPPED_COLUMNS = (
    *("network", "bytes", "clips drawn", "seed", "motion version"),
    *("motion set, top-1", "hands, top-1", "the same, shuffled", "SHA-256"),
)
TRANSFER_COLUMNS = (
    *("network", "training videos", "start", "runs", "epochs", "macro top-1", "lowest to highest"),
    *("shuffled", "half of the videos right after", "processor minutes"),
)
ZERO_SHOT_COLUMNS = ("network", "gesture", "class", "videos", "first of all classes", "first of these", "shuffled")


def shipped_rows() -> list[list[str]]:
    """What lies in the package, one row a file."""
    rows = []
    for one in weights_in(FOLDER):
        about = read_checkpoint(one.path).description["weights"]
        assert isinstance(about, dict)
        given, shuffled = about["top1"], about["top1_shuffled"]
        assert isinstance(given, dict)
        assert isinstance(shuffled, dict)
        rows.append(
            [
                *(f"`{one.model}`", f"{one.path.stat().st_size:,}", f"{about['clips']:,}"),
                *(str(about["seed"]), str(about["motion_version"])),
                *(f"{given[kind]:.3f}" for kind in ("motion_set", "hands")),
                *(f"{shuffled['motion_set']:.3f}, {shuffled['hands']:.3f}", f"`{one.sha256}`"),
            ]
        )
    return rows


def transfer_rows() -> list[list[str]]:
    """The runs of ``studies/transfer.py``, seeds together."""
    groups: dict[tuple[str, int, str], list[dict[str, str]]] = {}
    for row in _read("transfer.csv"):
        groups.setdefault((row["model"], int(row["videos"]), row["start"]), []).append(row)
    rows = []
    for (model, videos, start), runs in sorted(groups.items(), key=lambda one: (one[0][0], -one[0][1], one[0][2])):
        found = [float(run["macro_top1"]) for run in runs]
        half = [int(run["epochs_to_half"]) for run in runs if run["epochs_to_half"]]
        rows.append(
            [
                *(f"`{model}`", str(videos), start, str(len(runs)), runs[0]["epochs"]),
                *(f"**{statistics.mean(found):.2f}**", f"{min(found):.2f} to {max(found):.2f}"),
                f"{_mean(runs, 'shuffled_macro_top1'):.2f}",
                f"{statistics.median(half):.0f} epochs ({len(half)} of {len(runs)})" if half else "never",
                f"{_mean(runs, 'minutes'):.1f}",
            ]
        )
    return rows


def zero_shot_rows() -> list[list[str]]:
    """What ``studies/zero_shot.py`` found."""
    return [
        [
            *(f"`{row['model']}`", row["label"], row["motion"], row["videos"]),
            *(f"{float(row[key]):.2f}" for key in ("top1", "top1_among", "shuffled_top1_among")),
        ]
        for row in _read("zero_shot.csv")
    ]


def _mean(runs: Sequence[dict[str, str]], key: str) -> float:
    return statistics.mean(float(run[key]) for run in runs)


def _read(name: str) -> list[dict[str, str]]:
    with (RESULTS / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
