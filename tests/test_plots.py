"""Charts are well-formed, escaped pictures of the numbers given."""

from __future__ import annotations

import math
import re
from importlib.resources import files
from xml.etree import ElementTree

import pytest

from vov3d.plots import (
    COLOURS,
    STYLES,
    Bar,
    FieldRow,
    Panel,
    Point,
    Series,
    bar_chart,
    confusion_chart,
    cost_chart,
    field_chart,
    group_chart,
    line_chart,
    scatter_chart,
)

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<script>alert(\"1\")</script> & 'x'\x00\x1b\udc80"


def read(svg: str) -> ElementTree.Element:
    root = ElementTree.fromstring(svg.encode())
    assert root.tag == f"{SVG}svg"
    assert root.get("role") == "img"
    assert root.findtext(f"{SVG}title")
    assert root.findtext(f"{SVG}desc")
    assert "nan" not in re.sub(r">[^<]*<", "><", svg).lower()
    assert not root.findall(f".//{SVG}script")
    return root


def texts(root: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in root.iter(f"{SVG}text")]


def inside(root: ElementTree.Element) -> None:
    """Every text that is not turned begins and ends in the picture."""
    width, height = (float(root.get(side, "0")) for side in ("width", "height"))
    for element in root.iter(f"{SVG}text"):
        if not element.get("transform"):
            assert -1 <= float(element.get("x", "-9")) <= width + 1
            assert -1 <= float(element.get("y", "-9")) <= height + 1


def test_a_line_goes_through_its_points() -> None:
    root = read(line_chart("Loss", "epoch", [Series("training", [(0, 0.0), (5, 2.0), (10, 4.0)])]))
    path = next(p.get("d", "") for p in root.iter(f"{SVG}path") if p.get("fill") == "none")
    (x0, y0), (x1, y1), (x2, y2) = ([float(n) for n in point.split()] for point in path[1:].split("L"))
    assert x0 < x1 < x2
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.11)
    assert y0 > y1 > y2  # up is larger
    assert y0 - y1 == pytest.approx(y1 - y2, abs=0.11)
    assert {"training", "epoch", "0", "10", "4"} <= set(texts(root))
    assert root.findtext(f"{SVG}desc") == "training: 4 at epoch 10"


def test_values_that_are_not_finite_are_gaps() -> None:
    series = [
        Series("training", [(1, 0.5), (2, math.nan), (3, 0.7), (4, math.inf)]),
        Series("validation", [(1, math.nan)], "orange", markers=True),
    ]
    root = read(line_chart("Top-1", "epoch", series, fractions=True))
    assert root.findtext(f"{SVG}desc") == "training: 70.0% at epoch 3"
    assert "validation" not in texts(root)
    assert "80%" in texts(root)


@pytest.mark.parametrize("points", [[], [(1, math.nan)], [(1, 0.0)], [(7, 2.5)], [(0, -1.0), (1, 1.0)], [(1, 1e9)]])
def test_few_or_odd_points_still_make_a_chart(points: list[tuple[float, float]]) -> None:
    inside(read(line_chart("Loss", "epoch", [Series("training", points)])))


def test_a_long_legend_goes_on_in_another_row() -> None:
    names = [f"a run of some network, number {number}" for number in range(6)]
    series = [
        Series(name, [(5, 0.0), (16, -0.1)], role=style[0], dashed=style[1])
        for name, style in zip(names, STYLES, strict=True)
    ]
    root = read(line_chart("Drop", "stride", series, y_label="drop", x_ticks=(5, 16), fractions=True))
    inside(root)
    rows = {name.get("y") for name in root.iter(f"{SVG}text") if name.text in names}
    assert len(rows) == 6
    assert {"5", "16", "-10%", "drop"} <= set(texts(root)) and "10" not in texts(root)
    strokes = [(p.get("stroke"), p.get("stroke-dasharray")) for p in root.iter(f"{SVG}path") if p.get("fill") == "none"]
    assert len(set(strokes)) == 6


def test_bars_stand_in_groups() -> None:
    groups = [("x0.5", [0.5, 0.25, None]), ("reversed", [1.0, math.nan, 0.0])]
    root = read(group_chart("Speed", ["a", "b", "<c>"], groups))
    inside(root)
    bars = [float(rect.get("width", "0")) for rect in list(root.iter(f"{SVG}rect"))[4:]]
    assert bars == pytest.approx([bars[3] / 2, bars[3] / 4, 0, bars[3], 0, 0], abs=0.1)
    assert {"x0.5", "reversed", "50.0%", "25.0%", "100.0%", "0.0%", "<c>"} <= set(texts(root))
    assert texts(root).count("–") == 2
    assert root.findtext(f"{SVG}desc") == "x0.5 50.0%, 25.0%, –; reversed 100.0%, –, 0.0%"
    fills = {(rect.get("fill"), rect.get("fill-opacity")) for rect in root.iter(f"{SVG}rect")}
    assert len(fills) == 4  # three names and the ground
    with pytest.raises(ValueError, match="zip"):
        group_chart("too many", ["a"] * 7, [])


def test_fields_are_shaded_by_frame_and_underlined_as_far_as_they_reach() -> None:
    rows = [
        FieldRow("stem", [0, 0.25, 0.5, 0.25, 0, 0], (-1, 1), ("3", "3")),
        FieldRow("part", [0, 0, 1, 0.001, 0, 0], (-9, 9), ("19", "1"), indented=True),
        FieldRow("block", [0.5, 0, 0, 0, 0, 0.5], None, ("all", "6")),
        FieldRow("nothing", [0.0] * 6, (0, 0), ("1", "1")),
    ]
    root = read(field_chart("Fields", "frames", rows, position=2, heads=("theory", "95%")))
    inside(root)
    lines = [path.get("d", "") for path in root.iter(f"{SVG}path") if path.get("stroke") == COLOURS["orange"]][1:]
    ends = [[float(end) for end in re.fullmatch(r"M(\S+) \S+H(\S+)", line).groups()] for line in lines]  # type: ignore[union-attr]
    left, cell = ends[2][0], (ends[2][1] - ends[2][0]) / 6
    shares = [[round((end - left) / cell, 2) for end in pair] for pair in ends]
    assert shares == [[1, 4], [0, 6], [0, 6], [2, 3]]  # what reaches beyond the clip ends with it
    cells = [path for path in root.iter(f"{SVG}path") if path.get("fill") == COLOURS["blue"]]
    assert [path.get("d", "").count("M") for path in cells] == [2, 1, 1, 2]  # 0.1% of the largest is not seen
    assert [path.get("fill-opacity", "1") for path in cells] == ["0.75", "1", "1", "1"]
    assert {"−2", "0", "3", "all", "theory", "part"} <= set(texts(root))
    assert root.findtext(f"{SVG}desc", "").startswith("stem: theory 3, 95% 3; part: ")


def test_bars_are_as_long_as_their_values() -> None:
    bars = [Bar("given", 0.75, "3 of 4"), Bar("shuffled", 0.25, emphasis=False), Bar("none", None), Bar("?", math.nan)]
    root = read(bar_chart("Order", bars, ("chance", 0.5)))
    widths = [float(rect.get("width", "0")) for rect in list(root.iter(f"{SVG}rect"))[1:]]
    track = widths[0]
    assert widths[1::2] == pytest.approx([0.75 * track, 0.25 * track, 0, 0], abs=0.1)
    assert {"75.0%", "25.0%", "3 of 4", "chance 50.0%"} <= set(texts(root))
    assert texts(root).count("–") == 2
    inside(root)
    read(bar_chart("nothing", []))


def test_long_labels_stand_whole_above_their_bars() -> None:
    labels = ["Pushing something from left to right", "Pushing something from right to left"]
    root = read(bar_chart("Classes", [Bar(label, 0.5) for label in labels], ("chance", 0.01)))
    names = [element for element in root.iter(f"{SVG}text") if element.text in labels]
    assert [name.get("x") for name in names] == ["0", "0"]
    bars = list(root.iter(f"{SVG}rect"))[1::2]
    assert all(float(name.get("y", "99")) < float(bar.get("y", "0")) for name, bar in zip(names, bars, strict=True))
    inside(root)


@pytest.mark.parametrize("num_classes", [1, 2, 10, 25, 26, 60, 101, 174, 400])
def test_confusion_matrices_of_all_sizes(num_classes: int) -> None:
    labels = [f"class {index} moved from the left to the right" for index in range(num_classes)]
    confusion = [[0] * num_classes for _ in labels]
    for index in range(num_classes):
        confusion[index][index] = 7
        confusion[index][(index + 1) % num_classes] += 3
    svg = confusion_chart(labels, confusion)
    root = read(svg)
    inside(root)
    shown = texts(root)
    assert shown.count("7") == (num_classes if 1 < num_classes <= 25 else 0)
    assert ("class 0 moved…to the right" in shown) == (num_classes <= 60)
    assert len(svg) < 60_000
    if num_classes > 1:
        squares = sum(path.get("d", "").count("h1v1h-1z") for path in root.iter(f"{SVG}path"))
        assert squares == 2 * num_classes
        total = 10 * num_classes
        description = f"{7 * num_classes} of {total} videos of {num_classes} classes are right"
        assert root.findtext(f"{SVG}desc") == description


def test_a_class_without_videos_is_an_empty_row() -> None:
    root = read(confusion_chart(["a", "b"], [[2, 0], [0, 0]]))
    assert texts(root).count("2") == 1
    assert "0" not in texts(root)


def marks(root: ElementTree.Element) -> list[tuple[float, float]]:
    return [(float(mark.get("cx", "nan")), float(mark.get("cy", "nan"))) for mark in root.iter(f"{SVG}circle")]


def test_points_stand_on_a_logarithmic_axis() -> None:
    points = [Point("a", 1, 0.5), Point("b", 10, 0.6, "orange"), Point("c", 100, 0.7, "ink", hollow=True)]
    root = read(scatter_chart("Cost", "top-1", [Panel("GMACs", points), Panel("ms", points[:1])]))
    inside(root)
    (x0, y0), (x1, y1), (x2, y2), _ = marks(root)
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.11)
    assert y0 - y1 == pytest.approx(y1 - y2, abs=0.11) and y0 > y1
    assert {"a", "b", "c", "GMACs", "ms", "top-1", "1", "10", "100"} <= set(texts(root))
    assert root.findtext(f"{SVG}desc") == "a 50.0% at 1 GMACs; b 60.0% at 10 GMACs; c 70.0% at 100 GMACs"


def test_a_thin_line_leads_to_another_cost() -> None:
    points = [Point("a", 10, 0.5, printed_x=100), Point("b", 1, 0.6)]
    root = read(scatter_chart("Cost", "top-1", [Panel("GMACs", points)], [Point("printed", 1, 0, printed_x=1)]))
    inside(root)
    (x_a, y_a), (x_b, _) = marks(root)
    lines = [path.get("d", "") for path in root.iter(f"{SVG}path") if path.get("stroke-dasharray")]
    start, y, end = (float(one) for one in re.fullmatch(r"M(\S+) (\S+)H(\S+)", lines[1]).groups())  # type: ignore[union-attr]
    assert (start, y) == (x_a, y_a)
    assert end - start == pytest.approx(x_a - x_b, abs=0.11)
    assert root.findtext(f"{SVG}desc") == "a 50.0% at 10 GMACs, printed 100; b 60.0% at 1 GMACs"
    assert "printed" in texts(root)


@pytest.mark.parametrize("x", [0.0123, 0.52, 1, 3.3, 7.9, 122, 9_999])
@pytest.mark.parametrize("y", [0.0, 0.5, 1.0])
def test_one_point_has_axes_that_can_be_read(x: float, y: float) -> None:
    root = read(scatter_chart("Cost", "top-1", [Panel("GMACs", [Point("a", x, y)])]))
    inside(root)
    below = [float((text.text or "").replace(",", "")) for text in root.iter(f"{SVG}text") if text.get("y") == "394"]
    assert len(below) >= 2
    shares = [float((name or "").rstrip("%")) for name in texts(root) if (name or "").endswith("%")]
    assert 0 <= min(shares) <= 100 * y <= max(shares) <= 100
    assert len(set(shares)) == len(shares) >= 3


def test_long_names_are_cut_and_whole_in_their_hint() -> None:
    name = "a network with quite a long name that goes on and on and on, 16f"
    root = read(scatter_chart("Cost", name, [Panel("GMACs", [Point(name, 1, 0.5), Point("b" * 99, 9, 0.4)])]))
    inside(root)
    assert max(map(len, texts(root))) <= 37
    assert [element.findtext(f"{SVG}title") for element in root.iter(f"{SVG}text")].count(name) == 2


def test_names_of_many_equal_points_stand_apart() -> None:
    root = read(scatter_chart("Cost", "top-1", [Panel("GMACs", [Point(f"network {n}", 1, 0.5) for n in range(9)])]))
    apart(root, 9)


def test_what_is_far_below_all_others_does_not_take_their_room() -> None:
    points = [Point(f"p{number}", number + 1, 0.45 + number / 100) for number in range(8)]
    root = read(scatter_chart("Cost", "top-1", [Panel("GMACs", [*points, Point("far", 4, 0.18)])]))
    inside(root)
    assert "far (18.0%)" in texts(root)
    assert "20%" not in texts(root)
    *others, (_, lowest) = marks(root)
    assert lowest > max(y for _, y in others)


def test_names_of_points_do_not_cover_each_other() -> None:
    points = [Point(f"network number {n}", 10 + n % 3, 0.5 + n / 300) for n in range(9)]
    root = read(scatter_chart("Cost", "top-1", [Panel("GMACs", points)]))
    apart(root, 9)


def apart(root: ElementTree.Element, count: int) -> None:
    """So many names of networks stand beside each other, none over another."""
    widths = {"start": 0, "end": 6}
    boxes = [
        (x - widths[element.get("text-anchor", "")] * len(element.text or ""), y)
        for element in root.iter(f"{SVG}text")
        if (element.text or "").startswith("network")
        for x, y in [(float(element.get("x", "0")), float(element.get("y", "0")))]
    ]
    boxes = [(x, y, x + 6 * len("network 0"), y + 9) for x, y in boxes]
    assert len(boxes) == count
    for i, one in enumerate(boxes):
        for other in boxes[:i]:
            assert min(one[2], other[2]) <= max(one[0], other[0]) or min(one[3], other[3]) <= max(one[1], other[1])


def test_what_costs_as_expected_stands_on_the_diagonal() -> None:
    points = [Point("ten times", 10.0, 10.0), Point("dear", 2.0, 40.0, "orange"), Point("one", 1.0, 1.0)]
    root = read(cost_chart("Costs", ("work", "time"), [Panel("eager", points), Panel("fast", points[:2])], points[:1]))
    inside(root)
    dots = [(float(dot.get("cx", "0")), float(dot.get("cy", "0"))) for dot in root.iter(f"{SVG}circle")]
    (x10, y10), (x2, y2), (x1, y1) = dots[1:4]  # after the one of the legend
    dashed = next(path.get("d", "") for path in root.iter(f"{SVG}path") if path.get("stroke-dasharray"))
    start, end = ([float(n) for n in point.split()] for point in dashed[1:].split("L"))
    slope = (end[1] - start[1]) / (end[0] - start[0])
    for x, y in ((x10, y10), (x1, y1)):
        assert y - start[1] == pytest.approx(slope * (x - start[0]), abs=1)
    assert x1 < x2 < x10
    assert y2 < y10 < y1
    assert {"eager", "fast", "work", "time"} <= set(texts(root))
    assert "dear 40 at 2" in (root.findtext(f"{SVG}desc") or "")


def test_bars_of_multiples_are_as_long_as_the_largest_allows() -> None:
    root = read(group_chart("Speed", ["fp32", "bf16"], [("M", [4.0, 8.0]), ("L", [None, 2.0])], times=True))
    widths = [float(bar.get("width", "0")) for bar in list(root.iter(f"{SVG}rect"))[3:]]  # after ground and legend
    assert widths[0] == pytest.approx(widths[1] / 2, abs=0.1)
    assert widths[2:] == pytest.approx([0, widths[1] / 4], abs=0.1)
    assert [one for one in texts(root) if one.endswith("x") or one == "–"] == ["4.0x", "8.0x", "–", "2.0x"]


def test_no_points_are_no_picture() -> None:
    assert "no values yet" in texts(read(scatter_chart("Cost", "top-1", [Panel("GMACs", [])])))
    partly = read(scatter_chart("Cost", "top-1", [Panel("GMACs", [Point("a", 1, 0.5)]), Panel("ms", [])]))
    assert "not measured" in texts(partly)


def test_names_are_escaped_everywhere() -> None:
    charts = [
        line_chart(HOSTILE, HOSTILE, [Series(HOSTILE, [(1, 1.0)])]),
        bar_chart(HOSTILE, [Bar(HOSTILE, 0.5, HOSTILE)], (HOSTILE, 0.1)),
        group_chart(HOSTILE, [HOSTILE], [(HOSTILE, [0.5])]),
        confusion_chart([HOSTILE, "b"], [[1, 1], [0, 1]]),
        field_chart(HOSTILE, HOSTILE, [FieldRow(HOSTILE, [1.0], None, (HOSTILE,))], position=0, heads=[HOSTILE]),
        scatter_chart(HOSTILE, HOSTILE, [Panel(HOSTILE, [Point(HOSTILE, 1, 0.5)])], [Point(HOSTILE, 1, 0.5)]),
    ]
    for svg in charts:
        read(svg)
        assert "<script" not in svg
        assert "&lt;script&gt;" in svg


def dark() -> dict[str, str]:
    """The dark colours of the report."""
    style = files("vov3d.report").joinpath("page.html").read_text().split("prefers-color-scheme: dark")[1]
    names = {"ink": "ink", "blue": "blue", "orange": "orange", "on-mark": "chart-on-mark", "surface": "page"}
    return {role: style.split(f"--{name}: ")[1][:7] for role, name in names.items()}


@pytest.mark.parametrize("colours", [COLOURS, dark()], ids=["light", "dark"])
@pytest.mark.parametrize("count", range(1, 9))
@pytest.mark.parametrize("role", ["blue", "orange"])
def test_the_numbers_in_the_cells_can_be_read(colours: dict[str, str], count: int, role: str) -> None:
    """The contrast of WCAG AA for small text, on paper and in the dark colours of the report."""
    column = 0 if role == "blue" else 1
    row = [count, 8 - count] if role == "blue" else [8 - count, count]
    root = read(confusion_chart(["a", "b"], [row, [0, 0]]))
    cell = next(
        p for p in root.iter(f"{SVG}path") if f"M{column} 0h1" in p.get("d", "") and p.get("fill") == COLOURS[role]
    )
    number = [element for element in root.iter(f"{SVG}text") if element.find(f"{SVG}title") is not None][
        0 if role == "blue" or count == 8 else 1
    ]
    assert number.text == str(count)
    opacity = float(cell.get("fill-opacity", "1"))
    mark, surface = rgb(colours[role]), rgb(colours["surface"])
    ground = [opacity * m + (1 - opacity) * s for m, s in zip(mark, surface, strict=True)]
    ink = next(name for name in ("on-mark", "ink") if f"--chart-{name}," in number.get("style", ""))
    assert contrast(ground, rgb(colours[ink])) >= 4.5


def rgb(colour: str) -> list[float]:
    return [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]


def contrast(one: list[float], other: list[float]) -> float:
    """Source: WCAG 2.2, relative luminance and contrast ratio."""

    def luminance(parts: list[float]) -> float:
        red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
