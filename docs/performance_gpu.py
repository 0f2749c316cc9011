"""The part of `docs/performance.md` about GPUs, from what `benchmarks/gpu.py` measured, if it ever ran on one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from performance_results import NAMES, RESULTS, Results, Row, goal, ms, newest, number, shown, table, times

from vov3d.plots import Series, line_chart

NO_GPU = "none"
"""What the fact ``gpu`` of results begins with where the kernels were computed by Triton's interpreter."""

HEAD = """\
## On a GPU

{said}

A training step must move so many bytes at least, if each tensor is read and written once in each direction, in
bfloat16, 16 frames of 224 pixels; the fused kernels move those beside (`benchmarks/gpu_traffic.py`). The times are
those of {rate:,.0f} GB/s, which an H200 copies.

{traffic}"""

NOTHING = "Nothing has been measured on a GPU yet: `python benchmarks/gpu.py` does it, in 8 minutes."

MEASURED = """\
Measured on {gpu} with torch {torch}, on {day} (`python benchmarks/gpu.py`); a copy of memory reads and writes
{rate:,.0f} GB/s. {right}

{goals}"""

CURVES = """\
### The same training twice{title}

A network, plain and fused, from the same weights on the same clips {of}, {where}: after {steps} steps the
losses are {plain:.4f} and {fused:.4f}; averaged over ten steps they are never more than {apart:.1g} apart.

![Loss over steps](performance-{picture}.svg)
"""

KERNELS = """\
### What a step launches

Kernels of a step, what launches them (a graph at once), how long they compute, and the slowest, in parts of that time.

"""


def gpu_section(folder: Path = RESULTS) -> tuple[str, dict[str, str]]:
    """The text and its pictures by name."""
    counted = newest("gpu-traffic", folder)
    if counted is None:
        return "", {}
    training = _on_gpu("gpu-training", folder)
    said = NOTHING if training is None else _measured(training, folder)
    rate = float(counted.facts["gigabytes_per_second"])
    parts = [HEAD.format(said=said.rstrip(), rate=rate, traffic=_traffic(counted))]
    if training is not None:
        parts.append(f"### A training step\n\n{_steps(training)}")
        parts.append(KERNELS + _kernels(training))
    for what, title, make in (
        ("gpu-depthwise", "The depthwise pair alone", _depthwise),
        ("gpu-inference", "Logits", _logits),
    ):
        if (results := _on_gpu(what, folder)) is not None:
            parts.append(f"### {title}\n\n{make(results)}")
    pictures: dict[str, str] = {}
    for what, title, of, picture in (
        ("gpu-loss-curves", "", "of the motion set", "gpu-curves"),
        ("gpu-video-curves", ", on videos", "of a folder of videos", "gpu-video-curves"),
    ):
        text, drawn = _curves(newest(what, folder), title, of, picture)
        pictures |= drawn
        parts += [text] if text else []
    return "\n".join(parts), pictures


def _on_gpu(what: str, folder: Path) -> Results | None:
    found = newest(what, folder)
    return None if found is None or found.facts["gpu"].startswith(NO_GPU) else found


def _traffic(counted: Results) -> str:
    rows = [
        [NAMES[row["model"]], row["batch"], *(row[key] for key in ("floor_gb", "kernels_gb", "floor_ms", "kernels_ms"))]
        for row in counted.rows
    ]
    names = ("network", "clips>", "at least, GB>", "kernels, GB>", "at least, ms>", "kernels, ms>")
    return table(names, rows)


def _measured(training: Results, folder: Path) -> str:
    rate = max(number(row, "copy_gb_per_second") for row in training.rows if row["copy_gb_per_second"])
    facts = training.facts
    return MEASURED.format(
        gpu=facts["gpu"],
        torch=facts["torch"],
        day=facts["started"][:10],
        rate=rate,
        right=_right(_on_gpu("gpu-correctness", folder)),
        goals=table(
            ("goal", "aim>", "worst>", "best>", "reached>"), _goals(training, _on_gpu("gpu-depthwise", folder))
        ),
    )


def _right(checks: Results | None) -> str:
    if checks is None:
        return "Whether the kernels are right there was not checked."
    wrong = [f"{row['block'] or row['part']} in {row['dtype']}" for row in checks.rows if row["right"] != "yes"]
    said = f"in {', '.join(wrong)} they are NOT" if wrong else "in all of them the kernels are"
    return f"Of {len(checks.rows)} checks against float64 on odd shapes and memory full of NaN, {said} right."


def _goals(training: Results, pair: Results | None) -> list[list[str]]:
    aims: dict[str, tuple[float, list[float]]] = {
        "times as fast as plain AMP": (3.0, []),
        "times as fast as the best of torch.compile": (1.5, []),
        "peak memory, beside plain AMP's": (0.5, []),
        "of the step's floor, so many times as long": (2.0, []),
    }
    for ours in training.where(way="fused, replayed"):
        if not ours["model"].startswith("vov3d"):
            continue
        others = training.where(model=ours["model"], batch=ours["batch"])
        plain = next((row for row in others if row["way"] == "plain AMP"), None)
        compiled = [number(row, "step_ms") for row in others if row["way"].startswith("torch.compile")]
        step, best = number(ours, "step_ms"), min((one for one in compiled if math.isfinite(one)), default=math.nan)
        memory = number(ours, "peak_mib") / number(plain, "peak_mib")
        found = (number(plain, "step_ms") / step, best / step, memory, number(ours, "times_floor"))
        for (_, values), value in zip(aims.values(), found, strict=True):
            values.append(value)
    goals = [
        goal(f"VoV3D-M and L, a step: {name}{_of(values)}", aim, values, at_most="peak" in name or "floor" in name)
        for name, (aim, values) in aims.items()
    ]
    keys = ("forward_of_copy_rate", "backward_of_copy_rate")
    shares = [number(row, key) for row in pair.rows for key in keys] if pair else []
    return [*goals, goal("the depthwise pair, both ways, of the rate of a copy", 0.6, shares, "{:.2f}", at_most=False)]


def _of(values: Sequence[float]) -> str:
    """Say how many there are, if some could not be measured."""
    known = sum(map(math.isfinite, values))
    return "" if known == len(values) else f" ({known} of {len(values)} measured)"


def _steps(training: Results) -> str:
    rows = [
        [
            *_first(row),
            *(ms(number(row, key)) for key in ("forward_ms", "backward_ms", "step_ms")),
            *(shown(number(row, key), "{:,.0f}") for key in ("clips_per_second", "peak_mib")),
            *(times(number(row, "times_floor")), _share(row, "of_copy_rate"), row.get("failure", "")),
        ]
        for row in training.rows
    ]
    names = ("network", "clips>", "way", "forward, ms>", "backward, ms>", "step, ms>", "clips/s>", "peak, MiB>")
    return table((*names, "times the floor>", "of copy rate>", "failure"), rows)


def _kernels(training: Results) -> str:
    rows = [
        [*_first(row), row["kernels"], row["launches"], ms(number(row, "busy_ms")), row["slowest"]]
        for row in training.rows
        if row.get("kernels")
    ]
    return table(("network", "clips>", "way", "kernels>", "launches>", "computing, ms>", "slowest"), rows)


def _first(row: Row) -> list[str]:
    return [NAMES.get(row["model"], row["model"] or row["part"]), row["batch"] or "-", row["way"] or "-"]


def _share(row: Row, key: str) -> str:
    return shown(100 * number(row, key), "{:.0f}%")


def _depthwise(results: Results) -> str:
    rows = [
        [
            *(row["channels"], row["side"], ms(number(row, "forward_ms")), _share(row, "forward_of_copy_rate")),
            *(ms(number(row, "backward_ms")), _share(row, "backward_of_copy_rate")),
        ]
        for row in results.rows
    ]
    names = ("channels>", "side>", "forward, ms>", "of copy rate>", "backward, ms>", "of copy rate>")
    return table(names, rows)


def _logits(results: Results) -> str:
    rows = [
        [
            *(*_first(row), ms(number(row, "ms")), shown(number(row, "clips_per_second"), "{:,.0f}")),
            *(shown(number(row, "max_error"), "{:.0e}"), shown(number(row, "cosine"), "{:.5f}")),
            row.get("failure", ""),
        ]
        for row in results.rows
    ]
    names = ("network", "clips>", "way", "ms>", "clips/s>", "largest error>", "cosine>", "failure")
    return table(names, rows)


def _curves(results: Results | None, title: str, of: str, picture: str) -> tuple[str, dict[str, str]]:
    rows = [row for row in results.rows if row["step"]] if results is not None else []
    if results is None or len(rows) < 20:
        return "", {}
    plain_name, fused_name = (key for key in rows[0] if key not in ("part", "step", "failure"))
    lines = {name: [number(row, name) for row in rows] for name in (plain_name, fused_name)}
    smooth = [[sum(line[at : at + 10]) / 10 for at in range(len(rows) - 9)] for line in lines.values()]
    apart = max(abs(one - other) for one, other in zip(*smooth, strict=True))
    where = "in Triton's interpreter on a CPU" if results.facts["gpu"].startswith(NO_GPU) else results.facts["gpu"]
    last = [line[-1] for line in lines.values()]
    series = [
        Series(name, list(enumerate(line)), role, dashed=role == "blue")
        for (name, line), role in zip(lines.items(), ("ink", "blue"), strict=True)
    ]
    ticks = [float(step) for step in range(0, len(rows) + 1, max(len(rows) // 4, 1))]
    drawn = line_chart("Loss over steps, plain and fused", "step", series, y_label="loss", x_ticks=ticks)
    said = {"title": title, "of": of, "picture": picture, "where": where, "steps": len(rows)}
    return CURVES.format(**said, plain=last[0], fused=last[1], apart=apart), {picture: drawn}
