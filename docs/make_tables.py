"""Write the tables of numbers into README.md and docs; with --check, only say whether they are current.

python docs/make_tables.py
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch

from vov3d.models import create_model
from vov3d.models.counting import count_gmacs, count_parameters
from vov3d.recipe import load_recipe

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
MODELS = ("vov3d_m", "vov3d_l", "x3d_m", "x3d_l", "vov3d_s")
DATA_SETS = (  # name, training videos, recipe, what a clip of it is read like
    ("Kinetics-400", 234_619, "k400/vov3d_m_16", ("kinetics", "16x5 dense")),
    ("Something-Something v2", 168_913, "ssv2/vov3d_m_16", ("ssv2", "16 segments")),
)
GPU_COUNTS = (1, 8, 64, 512)
GPU_RATES = (250, 755)  # clips/s of one GPU that no run of ours measured, see docs/scaling.md


def models_table() -> str:
    """The README's table of models."""
    rows = []
    for name in MODELS:
        with torch.device("meta"):
            model = create_model(name, num_classes=174)
        gmacs = [f"{count_gmacs(model, *clip):.3f}" for clip in ((16, 224), (16, 256), (32, 256))]
        rows.append([f"`{name}`", f"{count_parameters(model):,}", *gmacs])
    columns = ["model", "parameters, 174 classes", "GMACs, 16x224x224", "GMACs, 16x256x256", "GMACs, 32x256x256"]
    return _table(columns, rows)


def reading_table() -> str:
    """How fast videos are read, in processor time on one core."""
    columns = [
        *("video", "asked for", "ours, ms", "clips/s and core", "whole file in order, ms", "JPEG frames, ms"),
        *("FFmpeg alone, ms", "beside FFmpeg", "then to floats, ms"),
    ]
    rows = [
        [
            *(row["kind"], row["pattern"], f"{row['ours_ms']:.0f}", f"{row['clips_per_second_core']:.1f}"),
            *(f"{row[key]:.0f}" for key in ("whole_file_ms", "jpeg_frames_ms", "decoder_alone_ms")),
            f"{row['beside_decoder_share']:.0%}",
            f"{row['views_to_float_ms']:.0f}" if "views_to_float_ms" in row else "",
        ]
        for row in _decoding()["readers"]
    ]
    return _table(columns, rows)


def seeking_table() -> str:
    """Where jumping to a keyframe pays."""
    rules = [key for key in _decoding()["seeking"][0] if key.startswith("jump")]
    saved = [rule.removeprefix("jump_if_saves_over_").removesuffix("_ms") for rule in rules]
    columns = ["keyframe every", "asked for", "in order, ms", *(f"jump over more than {one}, ms" for one in saved)]
    rows = [
        [str(row["gop_frames"]), row["pattern"], *(f"{row[key]:.0f}" for key in ("in_order_ms", *rules))]
        for row in _decoding()["seeking"]
    ]
    return _table(columns, rows)


def cache_table() -> str:
    """What copies of the videos bring, and what they cost."""
    columns = [
        *("video", "asked for", "short side", "video, ms", "copy, ms", "speed-up", "video, KB", "copy, KB"),
        *("made in, s", "PSNR, dB"),
    ]
    rows = [
        [
            *(row["kind"], row["pattern"], str(row["short_side"]), f"{row['source_ms']:.0f}", f"{row['copy_ms']:.0f}"),
            *(f"{row['speed_up']:.1f}", f"{row['source_bytes'] / 1000:.0f}", f"{row['copy_bytes'] / 1000:.0f}"),
            *(f"{row['made_seconds']:.2f}", f"{row['psnr_db']:.1f}"),
        ]
        for row in _decoding()["copies"]
    ]
    return _table(columns, rows)


def scaling_table() -> str:
    """What a training of the paper needs, by the number of GPUs and the clips that one of them takes each second."""
    columns = [
        *("data set", "clips/s of a GPU", "GPUs", "hours", "cores for each GPU", "clips/s of all", "storage, MB/s"),
    ]
    rows = []
    for name, num_videos, recipe_name, read in DATA_SETS:
        row = next(one for one in _decoding()["readers"] if (one["kind"], one["pattern"]) == read)
        clips = num_videos * load_recipe(recipe_name).train.epochs
        for rate in GPU_RATES:
            for count in GPU_COUNTS:
                hours, cores = clips / rate / count / 3600, rate * row["ours_ms"] / 1000
                megabytes = rate * count * row["file_bytes"] / 1e6
                needs = [f"{hours:.2g}", f"{cores:.0f}", f"{rate * count:,}", f"{megabytes:,.0f}"]
                rows.append([name, str(rate), str(count), *needs])
    return _table(columns, rows)


TABLES: dict[str, dict[str, Callable[[], str]]] = {
    "README.md": {"models": models_table},
    "docs/data.md": {"reading": reading_table, "seeking": seeking_table, "cache": cache_table},
    "docs/scaling.md": {"scaling": scaling_table},
}
"""Page -> name between its markers -> what makes the table."""


def with_tables(page: str, text: str) -> str:
    """A page with its tables made anew."""
    for name, make in TABLES[page].items():
        begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
        before, rest = text.split(begin)
        text = before + begin + make() + end + rest.split(end)[1]
    return text


def main(words: list[str]) -> int:
    """Write the tables, or say whether they are current."""
    stale = []
    for page in TABLES:
        text = (ROOT / page).read_text(encoding="utf-8")
        current = with_tables(page, text)
        if text != current:
            stale.append(page)
            if "--check" not in words:
                (ROOT / page).write_text(current, encoding="utf-8", newline="\n")
    return int("--check" in words and bool(stale))


def _decoding() -> dict[str, list[dict[str, object]]]:
    """The newest result of benchmarks/decoding.py."""
    return json.loads(max(RESULTS.glob("decoding-*.json"), key=lambda file: file.stem[-10:]).read_text())


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    names = ("model", "video", "asked for", "data set", "keyframe every")
    marks = "".join("---|" if column in names else "---:|" for column in columns)
    lines = [" | ".join(row) for row in (columns, *rows)]
    return "\n".join([f"| {lines[0]} |", f"|{marks}", *(f"| {line} |" for line in lines[1:])]) + "\n"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
