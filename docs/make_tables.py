"""Write the tables of numbers into README.md and docs; docs/numbers.md, docs/performance.md, docs/evidence.md.

With --check it only says whether they are current.

python docs/make_tables.py
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from evidence_page import evidence_files
from performance_page import performance_files
from torch.utils.flop_counter import FlopCounterMode
from weights_tables import (
    SHIPPED_COLUMNS,
    TRANSFER_COLUMNS,
    ZERO_SHOT_COLUMNS,
    shipped_rows,
    transfer_rows,
    zero_shot_rows,
)

from vov3d.compare.comparison import Comparison, MadeOn, make_comparison, with_measurements
from vov3d.compare.costs import Clip, Measurement
from vov3d.compare.page import markdown, plots
from vov3d.files import write_text
from vov3d.layers import OPERATORS, Operator
from vov3d.models import create_model
from vov3d.models.counting import count_gmacs, count_parameters
from vov3d.recipe import load_recipe

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
MODELS = ("vov3d_m", "vov3d_l", "x3d_m", "x3d_l", "vov3d_s")
VARIANTS = (  # the rows of Table 4
    *("vov3d_m_bottleneck", "vov3d_m_r2plus1d", "vov3d_m_dw_bottleneck", "vov3d_m_d1plus2d", "vov3d_m"),
    *("x3d_m", "x3d_m_d2plus1d"),
)
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
            f"{max(row['beside_decoder_share'], 0):.0%}",
            f"{row['views_to_float_ms']:.0f}" if "views_to_float_ms" in row else "",
        ]
        for row in _newest("decoding")["readers"]
    ]
    return _table(columns, rows)


def seeking_table() -> str:
    """Where jumping to a keyframe pays."""
    rules = [key for key in _newest("decoding")["seeking"][0] if key.startswith("jump")]
    saved = [rule.removeprefix("jump_if_saves_over_").removesuffix("_ms") for rule in rules]
    columns = ["keyframe every", "asked for", "in order, ms", *(f"jump over more than {one}, ms" for one in saved)]
    rows = [
        [str(row["gop_frames"]), row["pattern"], *(f"{row[key]:.0f}" for key in ("in_order_ms", *rules))]
        for row in _newest("decoding")["seeking"]
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
        for row in _newest("decoding")["copies"]
    ]
    return _table(columns, rows)


def scaling_table() -> str:
    """What a training of the paper needs, by the number of GPUs and the clips that one of them takes each second."""
    columns = [
        *("data set", "clips/s of a GPU", "GPUs", "hours", "cores for each GPU", "clips/s of all", "storage, MB/s"),
    ]
    rows = []
    for name, num_videos, recipe_name, read in DATA_SETS:
        row = next(one for one in _newest("decoding")["readers"] if (one["kind"], one["pattern"]) == read)
        clips = num_videos * load_recipe(recipe_name).train.epochs
        for rate in GPU_RATES:
            for count in GPU_COUNTS:
                hours, cores = clips / rate / count / 3600, rate * row["ours_ms"] / 1000
                megabytes = rate * count * row["file_bytes"] / 1e6
                needs = [f"{hours:.2g}", f"{cores:.0f}", f"{rate * count:,}", f"{megabytes:,.0f}"]
                rows.append([name, str(rate), str(count), *needs])
    return _table(columns, rows)


def variants_table() -> str:
    """Tables 3 and 4: what the paper prints, and what the networks of these names count."""
    printed = {row["id"]: row for row in _paper("table4")}
    alone = {row["t_osa"]: row for row in _paper("table3") if row["model"] == "L" and row["t_osa"] != row["d2p1d"]}
    rows = [
        [f"4 ({row})", f"`{name}`", *_printed_and_built(printed[row], *_counted(name))]
        for row, name in zip(printed, VARIANTS, strict=True)
    ]
    for name, has_tosa in (("vov3d_l_dw_bottleneck", True), ("x3d_l_d2plus1d", False)):
        rows.append(["3", f"`{name}`", *_printed_and_built(alone[has_tosa], *_counted(name))])
    columns = [
        *("row", "network", "paper: M parameters", "built", "paper: GFLOPs", "built: GMACs", "paper: top-1 / top-5"),
    ]
    return _table(columns, rows)


def older_table() -> str:
    """The network whose GFLOPs Table 4 prints in two of its rows."""
    printed = {row["id"]: row for row in _paper("table4")}
    rows = []
    for row, operator in (("a", "_bottleneck"), ("b", "_r2plus1d"), (None, "")):
        parameters, gmacs = _counted(f"vov3d_m_2020{operator}")
        shown = [str(printed[row][key]) for key in ("params", "gflops")] if row else ["", ""]
        name = f"`vov3d_m_2020{operator}`"
        rows.append([f"4 ({row})" if row else "", name, shown[0], f"{parameters / 1e6:.3f}", shown[1], f"{gmacs:.2f}"])
    return _table(["row", "network", "paper: M parameters", "built", "paper: GFLOPs", "built: GMACs"], rows)


def formulas_table() -> str:
    """Table 1's formulas and what the operators count, at strides 1 and 2."""
    rows = []
    for row, (name, operator) in zip(_paper("table1"), OPERATORS.items(), strict=True):
        cells = [f"({row['id']}) {row['type']}", f"`{name}`", f"`{row['params']}`", f"`{row['flops']}`"]
        for stride in (1, 2):
            sizes = {"C": 80, "T": 16, "H": 28, "W": 28, "t": 3, "k": 3, "s": stride}
            counted = _operator_counts(operator, sizes)
            formulas = [eval(row[key].replace("^", "**"), {}, sizes) for key in ("params", "flops")]
            if stride == 1:
                cells.append(f"{formulas[0]:,} / {counted[0]:,}")
            cells.append(f"{formulas[1] / 1e6:,.3f} / {counted[1] / 1e6:,.3f}")
        rows.append(cells)
    columns = ["row", "operator", "parameters", "multiply-adds", "parameters: formula / counted"]
    return _table([*columns, "10^6, stride 1", "10^6, stride 2"], rows)


TABLES: dict[str, dict[str, Callable[[], str]]] = {
    "README.md": {"models": models_table},
    "docs/ablations.md": {"variants": variants_table, "older": older_table, "formulas": formulas_table},
    "docs/data.md": {"reading": reading_table, "seeking": seeking_table, "cache": cache_table},
    "docs/scaling.md": {"scaling": scaling_table},
    "docs/weights.md": {
        "shipped": lambda: _table(SHIPPED_COLUMNS, shipped_rows()),
        "transfer": lambda: _table(TRANSFER_COLUMNS, transfer_rows()),
        "zero shot": lambda: _table(ZERO_SHOT_COLUMNS, zero_shot_rows()),
    },
}
"""Page -> name between its markers -> what makes the table."""

NUMBERS = """\
# Every system, side by side

The systems that the paper compares, and some that a user may choose beside them: counted, measured and as published.
This page is made by `docs/make_tables.py` with what these commands measured, in all:

```bash
vov3d compare --threads {threads}                         # as published: {own[seconds]} s, {own[peak_gib]} GiB
vov3d compare --threads {threads} --frames 16 --crop 256  # at equal input: {equal[seconds]} s, {equal[peak_gib]} GiB
```

{body}"""


def numbers_files() -> dict[str, str]:
    """What `docs/numbers.md` and its plots must be: counted now, measured when benchmarks/compare.py last ran."""
    runs = _newest("compare")["runs"]
    own = _with(make_comparison(None), runs["own"])
    equal = _with(make_comparison(None, 16, 256), runs["16x256"])
    body = markdown(own, "numbers", [equal])
    threads = runs["own"]["made_on"]["threads"]
    page = NUMBERS.format(own=runs["own"]["whole"], equal=runs["16x256"]["whole"], threads=threads, body=body)
    pictures = {f"docs/{name}": picture for name, picture in plots(own, "numbers").items()}
    return {"docs/numbers.md": page, **pictures}


def _with(comparison: Comparison, run: dict[str, Any]) -> Comparison:
    found = {}
    for row in run["rows"]:
        clip = Clip(*(row.pop(name) for name in ("model", "frames", "crop")))
        found[clip] = Measurement(**row)
    return with_measurements(comparison, found, MadeOn(**run["made_on"]))


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
    tables = {page: with_tables(page, (ROOT / page).read_text(encoding="utf-8")) for page in TABLES}
    for page, current in {**tables, **numbers_files(), **performance_files(), **evidence_files()}.items():
        file = ROOT / page
        if not file.exists() or file.read_text(encoding="utf-8") != current:
            stale.append(page)
            if "--check" not in words:
                write_text(file, current)
    return int("--check" in words and bool(stale))


def _paper(table: str) -> list[dict[str, Any]]:
    """The rows of a table as the paper prints them."""
    rows: list[dict[str, Any]] = json.loads((ROOT / "tests/golden/paper_tables.json").read_text())[table]["rows"]
    return rows


def _counted(name: str) -> tuple[int, float]:
    """Parameters at 174 classes and GMACs at 16x256x256."""
    with torch.device("meta"):
        model = create_model(name, num_classes=174)
    return count_parameters(model), count_gmacs(model, 16, 256)


def _printed_and_built(row: dict[str, Any], parameters: int, gmacs: float) -> list[str]:
    accuracies = f"{row['top1']:.1f} / {row['top5']:.1f}"
    printed = [str(row.get(key, "")) for key in ("params", "gflops")]
    return [printed[0], f"{parameters / 1e6:.3f}", printed[1], f"{gmacs:.3f}", accuracies]


def _operator_counts(operator: Operator, sizes: dict[str, int]) -> tuple[int, float]:
    """Parameters and multiply-adds of an operator alone."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        layer = operator(sizes["C"], sizes["s"])
        layer(torch.empty(1, *(sizes[axis] for axis in "CTHW")))
    return count_parameters(layer), counter.get_total_flops() / 2


def _newest(what: str) -> dict[str, Any]:
    """The newest results of a benchmark, by the day in their name."""
    newest = max(RESULTS.glob(f"{what}-*.json"), key=lambda file: file.stem[-10:])
    found: dict[str, Any] = json.loads(newest.read_text())
    return found


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    names = {"model", "video", "asked for", "data set", "keyframe every", "row", "network", "operator"}
    names |= {"start", "gesture", "class", "SHA-256"}
    marks = "".join("---|" if column in names else "---:|" for column in columns)
    lines = [" | ".join(row) for row in (columns, *rows)]
    return "\n".join([f"| {lines[0]} |", f"|{marks}", *(f"| {line} |" for line in lines[1:])]) + "\n"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
