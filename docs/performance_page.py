"""`docs/performance.md` and its plots, from the newest results of every benchmark; `make_tables.py` writes them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable

from performance_goals import FIELD_GOALS, REFERENCE, clip_over_frame, goals_section
from performance_gpu import gpu_section
from performance_results import (
    NAMES,
    PRECISIONS,
    Cell,
    Found,
    Results,
    Row,
    ms,
    newest,
    number,
    shown,
    table,
    threads_of,
    times,
)
from performance_texts import (
    EXCHANGE,
    FIELD,
    FROM_FILE,
    GROWTH,
    HEAD,
    INFERENCE,
    PACKETS,
    PEERS,
    ROOFLINE,
    STREAMING,
    TRAINING,
)

from vov3d.plots import Panel, Point, Series, cost_chart, group_chart, line_chart

FIELD_WAYS = ("eager fp32", "best fp32", "best bf16")
Section = tuple[str, dict[str, str]]

ENGINES = {"openvino": "OpenVINO", "onnxruntime": "ONNX Runtime"}


def performance_files() -> dict[str, str]:
    """What `docs/performance.md` and its plots must be."""
    found = {what: results for what in SECTIONS if (results := newest(what)) is not None}
    pictures: dict[str, str] = {}
    sections = []
    for what in found:
        text, drawn = SECTIONS[what](found)
        sections.append(text)
        pictures |= {f"docs/performance-{name}.svg": picture for name, picture in drawn.items()}
    gpu, drawn = gpu_section()
    pictures |= {f"docs/performance-{name}.svg": picture for name, picture in drawn.items()}
    page = "\n".join([_head(found), goals_section(found), *filter(None, [*sections, gpu])])
    return {"docs/performance.md": page, **pictures}


def _head(found: Found) -> str:
    facts = found["inference"].facts
    rows = [row for one in found.values() for row in one.rows if row.get("q3_ms")]
    spread = statistics.median((number(row, "q3_ms") - number(row, "q1_ms")) / number(row, "ms") for row in rows)
    engines = "".join(f", {name} {facts[key]}" for key, name in ENGINES.items() if key in facts)
    kept = {key: facts[key] for key in ("processor", "cores", "torch")}
    return HEAD.format(engines=engines, day=facts["started"][:10], spread=spread, **kept)


# ---- sections --------------------------------------------------------------------------------------------------------


def inference(found: Found) -> Section:
    """Every network, input and engine."""
    cells = found["inference"].inputs()
    rows, accuracy, engines, groups = [], [], [], []
    for one in cells:
        plain, kept = one.way("plain"), one.way("plain, memory kept")
        best = {precision: one.best(precision) for precision in PRECISIONS}
        base = number(kept, "speedup")
        fast = [number(row, "speedup") for row in (one.way("eager"), *best.values())]
        both = [f"{times(value)} ({times(value / base)})" if math.isfinite(value) else "-" for value in fast]
        taken = ms(number(plain, "ms")), times(base)
        rows.append([*one.name, one.batch, one.threads, *taken, *both, _exchange(plain)])
        if one.batch == one.threads == "1":
            groups.append((f"{one.name[0]}, {one.crop} pixels", fast[1:]))
            far = [shown(number(best["fp32"], "max_error"), "{:.0e}")]
            far += [shown(number(best[precision], "cosine"), "{:.4f}") for precision in ("bf16", "int8")]
            memory = [shown(number(row, "peak_mib"), "{:.0f}") for row in (plain, one.way("eager"), *best.values())]
            accuracy.append([*one.name, *far, *memory])
        optimised = one.ways.where(way="optimised")
        if len({row["backend"] for row in optimised}) > 1:
            engines += [[*one.name, one.threads, *_engine(row)] for row in optimised]
    names = ["network", "clip", "clips>", "threads>", "plain, ms>", "memory kept>", "eager>", "fp32>", "bf16>", "int8>"]
    names += [EXCHANGE]
    far_names = ["network", "clip", "fp32: largest error>", "bf16: cosine>", "int8: cosine>"]
    far_names += ["MiB: plain>", "eager>", "fp32>", "bf16>", "int8>"]
    engine_names = ["network", "clip", "threads>", "back end", "precision", "ms>", "quartiles, ms>", "times as fast>"]
    engine_names += ["largest error>", "cosine>", "MiB>"]
    text = INFERENCE.format(
        table=table(names, rows), accuracy=table(far_names, accuracy), engines=table(engine_names, engines)
    )
    title = "Times as fast as plain, one clip of 16 frames, 1 thread"
    return text, {"speed": group_chart(title, PRECISIONS, groups, times=True)}


def _exchange(row: Row) -> str:
    return shown(number(row, "other_core_gbps"), "{:.0f}")


def _engine(row: Row) -> list[str]:
    quartiles = f"{ms(number(row, 'q1_ms'))} to {ms(number(row, 'q3_ms'))}"
    return [
        *(row["backend"] or row["failure"], row["precision"], ms(number(row, "ms")), quartiles),
        *(times(number(row, "speedup")), shown(number(row, "max_error"), "{:.0e}")),
        *(shown(number(row, "cosine"), "{:.5f}"), shown(number(row, "peak_mib"), "{:.0f}")),
    ]


def field(found: Found) -> Section:
    """The table of truth."""
    most = max((row["threads"] for row in found["field"].rows), key=int)
    results = Results(found["field"].facts, found["field"].where(threads=most))
    own = number(results.where(model=REFERENCE)[0], "gmacs")
    systems = sorted({row["model"] for row in results.rows}, key=lambda name: _gmacs(results, name))
    rows, panels = [], {way: list[Point]() for way in ("eager fp32", "best fp32")}
    for name in systems:
        ways = {row["way"]: row for row in results.where(model=name)}
        ratio, first = _gmacs(results, name) / own, next(iter(ways.values()))
        best = ways.get("best fp32")
        cells = [times(number(ways.get(way), "times_reference")) for way in panels]
        engine = (best or first).get("backend") or "-"
        rows.append(
            [f"`{name}`", f"{first['frames']}x{first['crop']}", times(ratio), *cells, engine, _exchange(best or first)]
        )
        for way, points in panels.items():
            value = number(ways.get(way), "times_reference")
            if math.isfinite(value):
                points.append(Point(NAMES.get(name, name), ratio, value, _role(name)))
    names = ("system", "clip", "multiply-adds>", "time, eager>", "time, best fp32>", "engine", EXCHANGE)
    text = FIELD.format(threads=threads_of(results.rows[0]), table=table(names, rows), wanted=_wanted(found["field"]))
    titles = {"eager fp32": "in eager float32", "best fp32": "in the best engine, float32"}
    drawn = [Panel(titles[way], points) for way, points in panels.items()]
    labels = ("multiply-adds, VoV3D-M = 1", "time, VoV3D-M = 1")
    legend = (Point("VoV3D", 1, 1), Point("X3D", 1, 1, "orange"), Point("others", 1, 1, "ink"))
    return text, {"field": cost_chart("Time over multiply-adds, both beside VoV3D-M's", labels, drawn, legend)}


def _wanted(results: Results) -> str:
    """The systems that a goal speaks of, in every way and on each number of threads."""
    rows = []
    for name in FIELD_GOALS:
        for threads in sorted({row["threads"] for row in results.where(model=name)}, key=int):
            ways = {row["way"]: row for row in results.where(model=name, threads=threads)}
            beside = [times(number(ways.get(way), "times_reference")) for way in FIELD_WAYS]
            rows.append([f"`{name}`", threads, *beside, _exchange(ways["best fp32"])])
    return table(("system", "threads>", *(f"time, {way}>" for way in FIELD_WAYS), EXCHANGE), rows)


def _gmacs(results: Results, name: str) -> float:
    return number(results.where(model=name)[0], "gmacs")


def _role(name: str) -> str:
    return "blue" if name.startswith("vov3d") else "orange" if name.startswith("x3d") else "ink"


def peers(found: Found) -> Section:
    """Other packages' networks."""
    results = found["peers"]
    rows, groups = [], []
    for package, name in dict.fromkeys((row["package"], row["model"]) for row in results.rows):
        ways = {row["way"]: row for row in results.where(package=package, model=name)}
        first = next(iter(ways.values()))
        found_ways = [ways.get(way) for way in ("eager fp32", "best fp32")]
        beside = [number(row, "times_reference") for row in found_ways]
        clip = f"{first['frames']}x{first['crop']}"
        taken = [ms(number(row, "ms")) for row in found_ways]
        rows.append([package, f"`{name}`", clip, shown(number(first, "gmacs"), "{:.1f}"), *taken, *map(times, beside)])
        groups.append((f"{name}, {package}", beside))
    names = ["package", "network", "clip", "GMACs>", "eager, ms>", "best fp32, ms>"]
    names += ["eager, VoV3D-M = 1>", "best fp32, VoV3D-M = 1>"]
    text = PEERS.format(threads=threads_of(results.rows[0]), table=table(names, rows))
    title = "How many times as long as VoV3D-M a clip takes"
    return text, {"peers": group_chart(title, ("eager", "best engine, fp32"), groups, times=True)}


def training(found: Found) -> Section:
    """Ours and plain."""
    rows = []
    for one in found["training-step"].inputs():
        plain, ours = one.way("plain"), one.way("ours")
        memory = [shown(number(row, "peak_mib"), "{:,.0f}") for row in (plain, ours)]
        taken = [ms(number(row, "ms")) for row in (plain, ours)]
        kept, plain_kept = (number(one.way(f"{way}, memory kept"), "speedup") for way in ("ours", "plain"))
        fast = [times(number(ours, "speedup")), times(kept / plain_kept), times(kept)]
        rows.append([*one.name, one.batch, one.threads, *taken, *fast, *memory])
    names = (
        "network",
        "clip",
        "clips>",
        "threads>",
        "plain, ms>",
        "ours, ms>",
        "times as fast>",
        "both with memory kept>",
        "ours alone with memory kept>",
        "plain, MiB>",
        "ours, MiB>",
    )
    return TRAINING.format(table=table(names, rows)), {}


GROWN = {"frames": "frames of 224x224 pixels", "crop": "side of 16 frames, in pixels", "batch": "clips at a time"}
LINES = {"plain": ("plain", "ink"), "fp32": ("optimised, fp32", "blue"), "bf16": ("optimised, bf16", "orange")}


def growth(found: Found) -> Section:
    """Lines over frames, pixels and clips; a table of all."""
    results = found["growth"]
    base = {"frames": "16", "crop": "224", "batch": "1", "threads": results.rows[0]["threads"]}
    pictures = {}
    for axis, label in GROWN.items():
        rows = [row for row in results.rows if all(row[key] == value for key, value in base.items() if key != axis)]
        lines = [
            Series(
                name, sorted((number(row, axis), _ms_of_a_clip(row)) for row in rows if row["way"] == way), role, True
            )
            for way, (name, role) in LINES.items()
        ]
        ticks = sorted({number(row, axis) for row in rows})
        pictures[axis] = line_chart(
            f"Milliseconds of a clip over {label}", label, lines, y_label="ms a clip", x_ticks=ticks
        )
    cells = [
        [f"{one.frames}x{one.crop}", one.batch, one.threads, *(ms(_ms_of_a_clip(one.way(way))) for way in LINES)]
        for one in results.inputs()
    ]
    names = ("clip", "clips>", "threads>", "plain, ms a clip>", "fp32>", "bf16>")
    return GROWTH.format(table=table(names, cells)), pictures


def _ms_of_a_clip(row: Row) -> float:
    return number(row, "ms") / number(row, "batch")


def roofline(found: Found) -> Section:
    """Peaks, floors, and how far each path is from its floor."""
    measured, counts = found["peaks"], sorted({row["threads"] for row in found["peaks"].rows})
    reached = {
        (one, kind): max(number(row, "giga_per_second") for row in measured.where(threads=one, precision=kind))
        for one in counts
        for kind in (*PRECISIONS, "copy")
    }
    peaks = [
        [one, *(f"{reached[one, kind]:,.0f}" for kind in PRECISIONS), f"{reached[one, 'copy']:.1f}"] for one in counts
    ]
    floors, groups = [], []
    for one in found["inference"].inputs():
        known = {row["precision"]: row for row in found["floors"].rows if _is_of(row, one)}
        if one.batch != "1" or not known:
            continue
        cells, shares = [], []
        for precision in PRECISIONS:
            floor, taken = number(known.get(precision), "floor_ms"), number(one.best(precision), "ms")
            shares.append(floor / taken)
            cells.append(f"{ms(floor)} of {ms(taken)}, {_share(shares[-1])}")
        plain = number(known["fp32"], "floor_ms") / number(one.way("plain"), "ms")
        traffic = shown(number(known["fp32"], "megabytes"), "{:,.0f}")
        floors.append([*one.name, one.threads, traffic, _share(plain), *cells])
        if one.threads == counts[0]:
            groups.append((f"{one.name[0]}, {one.crop} pixels", shares))
    names = ("threads>", "fp32, GFLOP/s>", "bf16, GFLOP/s>", "int8, GOP/s>", "copy, GB/s read and written>")
    floor_names = ("network", "clip", "threads>", "MB in fp32>", "floor/plain>", *(f"{one}, ms>" for one in PRECISIONS))
    text = ROOFLINE.format(peaks=table(names, peaks), floors=table(floor_names, floors))
    title = f"The floor of a clip as a share of the time of the fastest path, {threads_of({'threads': counts[0]})}"
    return text, {"roofline": group_chart(title, PRECISIONS, groups)}


def _share(value: float) -> str:
    return shown(100 * value, "{:.0f}%")


def _is_of(row: Row, cell: Cell) -> bool:
    return (row["model"], row["crop"], row["threads"]) == (cell.model, cell.crop, cell.threads)


def from_file(found: Found) -> Section:
    """Loops over views, and what vov3d does."""
    rows = []
    for row in found["from-file"].rows:
        seconds = shown(number(row, "ms") / 1e3 / number(row, "videos"), "{:.2f}")
        decoding = _share(number(row, "decoding_share"))
        bound = {"model": "the network"}.get(row.get("bounded_by", ""), row.get("bounded_by", "")) or "-"
        rows.append([row["views"], row["way"], row["threads"], seconds, times(number(row, "speedup")), bound, decoding])
    names = ("views>", "way", "threads>", "s a video>", "times as fast>", "bounded by", "decoding, of all time>")
    return FROM_FILE.format(table=table(names, rows), packets=_packets(found)), {}


def _packets(found: Found) -> str:
    if "packets" not in found:
        return ""
    results, rows = found["packets"], []
    for video in dict.fromkeys(row["video"] for row in results.rows):
        ways = {row["way"]: row for row in results.where(video=video)}
        taken = [ms(number(row, "ms")) for row in ways.values()]
        rows.append([video, *taken, shown(1 / number(ways["every fourth frame"], "speedup"), "{:.2f}")])
    names = ("H.264", "all decoded, ms>", "withheld, ms>", "all frames, ms>", "withheld / all decoded>")
    return PACKETS.format(table=table(names, rows))


def streaming(found: Found) -> Section:
    """A frame beside a clip."""
    rows = []
    shown_ways = ("plain clip", "clip", "causal clip", "frame", "frame, norms folded", "frame, fast_stream")
    for one in found["streaming"].inputs():
        ways = {row["way"]: row for row in one.ways.rows}
        taken = [ms(number(ways.get(way), "ms")) for way in shown_ways]
        ratios = [times(clip_over_frame(one, way)) for way in ("plain clip", "clip")]
        rows.append([*one.name, one.threads, *taken, *ratios])
    names = ["network", "clip", "threads>", *(f"{way}, ms>" for way in shown_ways)]
    names += ["plain clip / fastest frame>", "clip / fastest frame>"]
    return STREAMING.format(table=table(names, rows)), {}


def nothing(_found: Found) -> Section:
    """Shown together with the section before."""
    return "", {}


SECTIONS: dict[str, Callable[[Found], Section]] = {
    "inference": inference,
    "field": field,
    "peers": peers,
    "growth": growth,
    "peaks": roofline,
    "floors": nothing,
    "from-file": from_file,
    "packets": nothing,
    "streaming": streaming,
    "training-step": training,
}
"""Name of the results -> what shows them."""
