"""The goals of `docs/performance.md`, each judged by the worst of all inputs that it is about."""

from __future__ import annotations

from collections.abc import Callable

from performance_results import NAMES, Cell, Found, goal, number, table

REFERENCE = "vov3d_m"
FIELD_GOALS = {"tsm_r50": 10.0, "tea_r50": 10.0, "slowfast_r50_4x16": 4.0}


def _from_file_goals(found: Found) -> list[list[str]]:
    rows = [row for row in found["from-file"].rows if row["views"] != "1" and row["way"].startswith("predict")]
    title = "from file to answer, 30 views: times as fast as a loop over views"
    goals = [goal(title, 4.0, [number(row, "speedup") for row in rows])]
    if "packets" in found:
        rows = [row for row in found["packets"].where(way="every fourth frame") if row["video"] != "no B-frames"]
        saved = [1 / number(row, "speedup") for row in rows]
        goals.append(goal("every fourth frame with H.264 packets withheld, beside all decoded", 0.92, saved, "{:.2f}"))
    return goals


def _streaming_goals(found: Found) -> list[list[str]]:
    title = "a frame of a stream, times as fast as a clip of 16 by"
    by = {"plain modules": "plain clip", "the catalogue": "clip"}
    cells = found["streaming"].inputs()
    return [goal(f"{title} {name}", 12.0, [clip_over_frame(one, way) for one in cells]) for name, way in by.items()]


def clip_over_frame(cell: Cell, way: str) -> float:
    """A clip over the quickest of the frames."""
    clip = next(iter(cell.ways.where(way=way)), None)
    return number(clip, "ms") / min(number(row, "ms") for row in cell.ways.rows if row["way"].startswith("frame"))


def _inference_goals(found: Found) -> list[list[str]]:
    vov3d = [one for one in found["inference"].inputs() if one.model != "x3d_m"]
    cells = [one for one in vov3d if one.batch == "1"]
    goals = []
    for clips, seen in (("one clip", cells), ("eight clips", [one for one in vov3d if one.batch == "8"])):
        for precision, aim in (("fp32", 5.0), ("bf16", 9.0), ("int8", 11.0)):
            fast = [number(one.best(precision), "speedup") for one in seen]
            name = f"VoV3D-M and L, {clips} of 224 or 256 pixels, 1 or 2 threads, {precision}: times as fast as plain"
            goals.append(goal(name, aim, fast))
    errors = [number(one.best("fp32"), "max_error") for one in cells]
    goals.append(goal("largest difference of one of their float32 logits", 1e-4, errors, "{:.0e}"))
    small = [one for one in cells if one.model == REFERENCE]
    memory = [number(one.best("fp32"), "peak_mib") / number(one.way("plain"), "peak_mib") for one in small]
    goals.append(goal("peak of memory of one VoV3D-M clip in fp32, beside plain's", 1 / 3, memory, "{:.2f}"))
    ratios = [
        number(row, "ms") / number(one.best(row["precision"]), "ms")
        for one in found["inference"].inputs()
        if one.model == "x3d_m"
        for row in one.ways.where(backend="openvino")
    ]
    return [*goals, goal("X3D-M, one or eight clips, 1 or 2 threads: times as fast as in OpenVINO", 1.0, ratios)]


def _field_goals(found: Found) -> list[list[str]]:
    goals = []
    for name, aim in FIELD_GOALS.items():
        rows = found["field"].where(model=name, way="best fp32", threads="1")
        title = f"`{name}`, times as long as VoV3D-M, each in its best engine, fp32, 1 thread"
        goals.append(goal(title, aim, [number(row, "times_reference") for row in rows]))
    return goals


def _training_goals(found: Found) -> list[list[str]]:
    rows = found["training-step"].where(way="ours, memory kept")
    return [
        goal(
            f"training step of {NAMES[model]} as `vov3d train` makes it, 1 or 2 threads: times as fast as plain",
            2.7,
            [number(row, "speedup") for row in rows if row["model"] == model],
        )
        for model in dict.fromkeys(row["model"] for row in rows)
    ]


GOALS: dict[str, Callable[[Found], list[list[str]]]] = {
    "inference": _inference_goals,
    "field": _field_goals,
    "training-step": _training_goals,
    "from-file": _from_file_goals,
    "streaming": _streaming_goals,
}


def goals_section(found: Found) -> str:
    """Every goal, how far it is reached, and whether it is."""
    rows = [row for what, goals in GOALS.items() if what in found for row in goals(found)]
    text = "Of all the inputs that a goal is about, the worst and the best.\n"
    return f"## Goals\n\n{text}\n{table(('goal', 'aim>', 'worst>', 'best>', 'reached>'), rows)}"
