"""Every system side by side: the paper's numbers, counts, measurements that outlive what fails, tables and files."""

from __future__ import annotations

import functools
import json
import multiprocessing
import multiprocessing.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

from vov3d.cli import main
from vov3d.compare import compare, comparison, costs
from vov3d.compare.comparison import Comparison, make_comparison, read_comparison, with_measurements
from vov3d.compare.costs import Clip, Measurement
from vov3d.compare.field import DATASETS, FIELD, SOMETHING, VARIANTS, Accuracy, Published
from vov3d.compare.measuring import Machine, measure
from vov3d.compare.notes import NOTES
from vov3d.compare.page import markdown, plots
from vov3d.compare.tables import cost_table, note_numbers, notes, printed_and_counted, section_tables
from vov3d.compare.workers import Ready, Worker, failure_reason
from vov3d.errors import ArgumentError, DataError
from vov3d.models import MODELS

TINY = Clip("x3d_xs", 2, 32)
ONE_THREAD = Machine("cpu", 1)
linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit is one of Linux")


@pytest.fixture(scope="module")
def counted() -> Comparison:
    """All of the field, as published, counted."""
    return make_comparison(None)


# ---- the field ------------------------------------------------------------------------------------------------------


def printed(row: dict[str, object], dataset: str) -> tuple[object, ...]:
    """A row of the golden tables as what must be in the field."""
    found = row[dataset]
    assert isinstance(found, dict)
    system = " ".join(str(part) for part in (row["model"], row.get("backbone")) if part)
    percents = tuple(None if found[key] is None else round(found[key] / 100, 4) for key in ("top1", "top5"))
    return system, row["frames"], row["params"], row["gflops"], row["views"], row.get("pretrain"), percents


@pytest.mark.parametrize(("table", "datasets", "num_rows"), [("T6", ("ssv1", "ssv2"), 17), ("T7", ("k400",), 12)])
def test_the_field_is_the_papers(golden: Path, table: str, datasets: tuple[str, ...], num_rows: int) -> None:
    rows = json.loads((golden / "paper_tables.json").read_text())[f"table{table[1]}"]["rows"]
    assert len(rows) == num_rows
    for dataset in datasets:
        ours = [
            (
                *(row.system, row.frames, row.params_millions, row.gflops, row.views, row.pretrained),
                (accuracy.top1, accuracy.top5),
            )
            for row in FIELD
            if row.source == table
            for accuracy in [row.accuracy.get(dataset, Accuracy(None, None))]
        ]
        assert ours == [printed(row, dataset) for row in rows]


def test_table_5_is_in_the_field_or_in_a_note(golden: Path) -> None:
    table = json.loads((golden / "paper_tables.json").read_text())["table5"]["rows"]
    seen = 0
    for row in table:
        for key, start in (("scratch", None), ("k400_finetune", "Kinetics")):
            mine = [
                one
                for one in FIELD
                if (one.system, one.frames, one.pretrained) == (row["model"], row["frames"], start)
                and one.section == SOMETHING
                and "ssv1" in one.accuracy
            ]
            assert len(mine) == 1
            top1, top5 = row[key]["top1"], row[key]["top5"]
            if mine[0].accuracy["ssv1"] != Accuracy(round(top1 / 100, 4), round(top5 / 100, 4)):
                assert any(f"{top1}/{top5}" in NOTES[note] for note in mine[0].notes), (mine[0], top1)
            seen += 1
    assert seen == 16


def test_tables_3_and_4_are_in_the_field(golden: Path) -> None:
    tables = json.loads((golden / "paper_tables.json").read_text())
    ours = {
        (row.source, row.params_millions, row.gflops, row.views, row.accuracy["ssv1"])
        for row in FIELD
        if row.section == VARIANTS
    }
    table_4 = {
        ("T4", row["params"], row["gflops"], row["views"], as_fractions(row)) for row in tables["table4"]["rows"]
    }
    assert len(table_4) == 7
    assert table_4 <= ours
    accuracies = {row.accuracy["ssv1"] for row in FIELD if row.frames == 16 and "ssv1" in row.accuracy}
    for row in tables["table3"]["rows"]:
        if (row["top1"], row["top5"]) != (49.6, 78.1):  # of VoV3D-L, which the note of Table 6's row has
            assert as_fractions(row) in accuracies
    assert "49.6/78.1" in NOTES["l-16"]


def as_fractions(row: dict[str, float]) -> Accuracy:
    return Accuracy(round(row["top1"] / 100, 4), round(row["top5"] / 100, 4))


def test_every_model_of_the_field_is_in_the_catalogue_or_has_a_reason() -> None:
    assert len(FIELD) >= 40
    assert [row.system for row in FIELD if (row.model in MODELS) == bool(row.absent)] == []


def test_every_contradiction_of_print_and_count_has_a_note(counted: Comparison) -> None:
    assert len(counted.rows) == len(FIELD)
    compared, without = 0, []
    for row in counted.rows:
        pairs = [
            (row.published.params_millions, None if row.parameters is None else row.parameters / 1e6),
            (row.published.gflops, row.gmacs),
        ]
        known = [(print_, count) for print_, count in pairs if print_ is not None and count is not None]
        compared += len(known)
        if not row.published.notes and not all(agree(*pair) for pair in known):
            without.append((row.published.system, row.published.source, known))
    assert compared >= 40
    assert without == []


def test_notes_are_used_and_exist(counted: Comparison) -> None:
    used = {note for row in FIELD for note in row.notes}
    assert used == set(NOTES)
    assert all(row.notes for row in FIELD if row.source == "lit.")
    texts = notes(counted)
    assert [texts[number - 1] for note, number in note_numbers(counted).items() if note in NOTES] == [
        NOTES[note] for note in note_numbers(counted) if note in NOTES
    ]


def agree(printed: float, counted: float) -> bool:
    """Whether a count is what is printed: within 1% or one of the last digit, since papers round and cut off."""
    last_digit = 10.0 ** -len(f"{printed:g}".partition(".")[2])
    return abs(counted - printed) < max(last_digit, 0.01 * printed)


@pytest.mark.parametrize(
    ("number", "count", "same"),
    [(12.1, 12.158, True), (6.1, 6.184, True), (3.3, 3.204, True), (33, 65.4, False), (24.3, 23.86, False)],
)
def test_a_last_digit_may_be_cut_off(number: float, count: float, same: bool) -> None:
    assert agree(number, count) is same


# ---- counts ---------------------------------------------------------------------------------------------------------


def test_each_system_is_counted_as_published(counted: Comparison) -> None:
    by_clip = {(cost.clip.model, cost.clip.size): cost for cost in counted.costs}
    assert len(by_clip) == len(counted.costs)
    assert by_clip["vov3d_m", "16x256"].gmacs == pytest.approx(6.4241, abs=5e-5)
    assert by_clip["vov3d_m", "16x256"].parameters == 3_204_286
    assert by_clip["x3d_l", "32x256"].gmacs == pytest.approx(23.9351, abs=1e-4)
    assert all(cost.activations and cost.activations > 1e6 for cost in counted.costs)
    kinetics = next(r for r in counted.rows if (r.published.system, r.published.source) == ("VoV3D-M", "T7"))
    assert kinetics.parameters == 3_667_360
    assert kinetics.gmacs_per_video == pytest.approx(30 * 6.4241, abs=1e-2)


def test_at_equal_input_each_network_is_counted_once() -> None:
    found = make_comparison(["vov3d_m", "x3d_[ml]"], 8, 64)
    assert [cost.clip for cost in found.costs] == [Clip("x3d_m", 8, 64), Clip("vov3d_m", 8, 64), Clip("x3d_l", 8, 64)]
    assert {row.published.model for row in found.rows} == {"vov3d_m", "x3d_m", "x3d_l"}
    frames_only = make_comparison(["vov3d_l"], 4)
    assert [cost.clip.size for cost in frames_only.costs] == ["4x256", "4x224"]
    assert "4 frames, own crop" in cost_table(frames_only).title


def test_a_model_of_no_row_can_be_compared() -> None:
    assert "r2plus1d_18" not in {row.model for row in FIELD}
    found = make_comparison(["r2plus1d_18"])
    assert [cost.clip.size for cost in found.costs] == ["16x224"]
    assert section_tables(found) == []
    assert "| r2plus1d_18 | 16x224 |" in markdown(found)


def test_a_network_that_does_not_take_the_clip_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> float:
        raise ArgumentError("x3d_s takes no clips today")

    monkeypatch.setattr(costs, "count_gmacs", refuse)
    found = compare(["x3d_s"], frames=5, rounds=1)
    assert (found.costs[0].gmacs, found.costs[0].measured) == (None, None)
    assert "- x3d_s at 5x160: x3d_s takes no clips today" in markdown(found)


def test_a_system_that_is_not_built_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    row = Published(
        "Ghost",
        "ghost",
        8,
        224,
        400,
        1.0,
        2.0,
        30,
        None,
        {"k400": Accuracy(0.5, 0.7)},
        "T7",
        absent="Gone.",
        section="K",
    )
    monkeypatch.setattr(comparison, "FIELD", (row,))
    found = make_comparison(None)
    assert found.costs == ()
    assert notes(found) == ["Gone."]
    assert section_tables(found)[0].rows == (("Ghost", "8x224", "-", "1.0", "2.0 x30", "50.0/70.0", "T7 1"),)


def test_an_accuracy_stays_with_the_clip_that_it_was_measured_at() -> None:
    own, equal = make_comparison(["x3d_xs", "tsm_r50"]), make_comparison(["x3d_xs", "tsm_r50"], 2, 32)
    assert [row.gmacs for row in own.rows] == [row.gmacs for row in equal.rows]
    assert own.costs[0].gmacs != equal.costs[0].gmacs
    assert section_tables(own) == section_tables(equal)
    assert ("TSM R50", "8x224", "IN", "(24.3)", "(32.7) x30", "74.1/-", "lit. 3 2") in section_tables(equal)[1].rows
    timed = Measurement.of([20.0], None)
    pictures = [
        plots(with_measurements(found, {cost.clip: timed for cost in found.costs}, None), "any")["any-k400.svg"]
        for found in (own, equal)
    ]
    assert [picture.count("X3D-XS, 4f</text>") for picture in pictures] == [2, 1]
    assert ["not measured at the clips of these accuracies" in picture for picture in pictures] == [False, True]


def test_plots_lead_to_the_cost_that_is_printed() -> None:
    pictures = plots(make_comparison(["r2plus1d_34", "tsm_r50", "x3d_m"]), "any")
    picture = ElementTree.fromstring(pictures["any-k400.svg"])
    svg = "{http://www.w3.org/2000/svg}"
    described = (picture.findtext(f"{svg}desc") or "").split("; ")
    assert [one for one in described if "printed" in one] == [
        "R(2+1)D, 16f * 72.0% at 76.2 GMACs of one view, printed 152"
    ]
    texts = [text.text for text in picture.iter(f"{svg}text")]
    assert "* another cost is printed" in texts
    assert {"X3D", "others", "pretrained"} <= set(texts) and "VoV3D" not in texts
    assert "*" not in plots(make_comparison(["x3d_m"]), "any")["any-k400.svg"]
    assert "VoV3D-M" not in pictures["any-ssv1.svg"]


@pytest.mark.parametrize(
    ("printed", "counted", "cell"),
    [
        (6.1, 6.184, "6.1 (6.2)"),  # cut off
        (35, 34.54, "35"),  # rounded
        (3.3, 3.338, "3.3"),
        (24.3, 23.86, "24.3 (23.9)"),
        (74.0, 83.29, "74.0 (83.3)"),
        (None, 0.0263, "(0.026)"),
        (None, None, "-"),
        (282, None, "282"),
    ],
)
def test_what_is_counted_stands_in_brackets(printed: float | None, counted: float | None, cell: str) -> None:
    assert printed_and_counted(printed, counted) == cell


# ---- measurements ---------------------------------------------------------------------------------------------------


def test_networks_take_turns() -> None:
    seen: list[tuple[int, int]] = []
    found = measure({TINY: 15, replace(TINY, frames=4): 3000}, ONE_THREAD, 2, lambda *done: seen.append(done))
    assert seen == [(0, 4), (1, 4), (2, 4), (3, 4)]
    for one in found.values():
        assert (one.num_runs, one.failure) == (2, "")
        assert one.latency_ms and one.fastest_ms and one.slowest_ms
        assert 0 < one.fastest_ms <= one.latency_ms <= one.slowest_ms
    assert multiprocessing.active_children() == []


@linux_only
def test_peak_memory_holds_the_weights_and_the_largest_maps() -> None:
    small, large = Clip("vov3d_s", 1, 32), Clip("vov3d_s", 16, 224)
    found = measure({small: 4, large: 4}, ONE_THREAD, 1)
    grown = (found[large].peak_mib or 0) - (found[small].peak_mib or 0)
    stem_mib = 16 * 16 * 112 * 112 * 4 / 2**20
    assert stem_mib < grown < 40 * stem_mib


@linux_only
def test_a_network_that_does_not_fit_is_reported_and_the_rest_go_on() -> None:
    large = Clip("x3d_xs", 64, 256)
    found = measure({large: 15, TINY: 15}, Machine("cpu", 1, memory_gib=0.2), 2)
    failure = found[large].failure
    assert re.fullmatch(
        r"does not fit into the 0\.2 GiB of --memory-gib: when they were full it asked for \d+ MiB", failure
    )
    assert found[large] == Measurement(failure=failure, verdict="over 0.2 GiB")
    assert found[TINY].num_runs == 2
    (cost,) = make_comparison(["x3d_xs"], 64, 256).costs
    table = cost_table(with_measurements(make_comparison(["x3d_xs"], 64, 256), found, None))
    assert (cost.clip, table.rows[0][-3:]) == (large, ("-", "over 0.2 GiB", "-"))


@pytest.mark.parametrize(
    ("error", "limit", "told"),
    [
        (
            RuntimeError("could not create\na primitive"),
            2,
            ("does not fit into the 2 GiB of --memory-gib", "over 2 GiB"),
        ),
        (RuntimeError("could not create a primitive"), None, ("could not create a primitive", "fails")),
        (MemoryError(), None, ("does not fit: it needs more memory than there is", "no memory")),
        (RuntimeError("mat1 and mat2"), 2, ("mat1 and mat2", "fails")),
        (ArgumentError("cannot allocate frames"), 2, ("cannot allocate frames", "fails")),
    ],
)
def test_why_a_network_failed(error: Exception, limit: float | None, told: tuple[str, str]) -> None:
    assert failure_reason(error, limit) == told


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_network_whose_process_is_killed_is_reported_and_the_rest_go_on() -> None:
    other = replace(TINY, frames=3)

    def kill(done: int, _total: int) -> None:
        if done == 2:  # the second round begins, the first network waits for its turn
            first = min(multiprocessing.active_children(), key=lambda process: process.name)
            assert first.pid is not None
            first.kill()
            first.join()

    found = measure({TINY: 15, other: 15}, ONE_THREAD, 3, kill)
    assert "its process was killed" in found[TINY].failure
    assert found[TINY].num_runs == 1
    assert (found[other].num_runs, found[other].failure) == (3, "")


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_kill_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "vov3d", "compare", "--models", "x3d_xs", "--rounds", "1000", "--out", str(out)]
    nowhere = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    running = subprocess.Popen(command, start_new_session=True, **nowhere)  # type: ignore[call-overload]
    time.sleep(6)
    assert running.poll() is None
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert not out.exists()
    deadline = time.monotonic() + 30
    with pytest.raises(ProcessLookupError):  # the processes of the networks end, too
        while time.monotonic() < deadline:
            os.killpg(running.pid, 0)
            time.sleep(0.1)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize(("number", "told", "code"), [("SIGINT", "interrupted", 130), ("SIGTERM", "terminated", 143)])
def test_what_was_measured_before_an_interrupt_is_printed(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    number: str,
    told: str,
    code: int,
) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # the shell may have it ignored
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    monkeypatch.chdir(tmp_path)
    run_once, workers = Worker.run, []

    def run(worker: Worker) -> float:
        workers.append(worker)
        if len(workers) == 2:
            os.kill(os.getpid(), getattr(signal, number))
        return run_once(worker)

    monkeypatch.setattr(Worker, "run", run)
    monkeypatch.setattr("vov3d.cli.compare.new_folder", Path)
    words = ["compare", "--models", "x3d_xs", "x3d_s", "--frames", "2", "--crop", "32", "--threads", "1", "--json"]
    assert main([*words, "--out", "nowhere"]) == code
    printed = capsys.readouterr()
    assert printed.err == f"{told}: here is what was measured until now; 'nowhere' is not written\n"
    first, second = (cost["measured"] for cost in json.loads(printed.out)["costs"])
    assert (first["num_runs"], second["num_runs"]) == (1, 0)
    assert not Path("nowhere").exists()
    assert multiprocessing.active_children() == []


# ---- files and the command ------------------------------------------------------------------------------------------


def test_everything_is_written_and_read_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = compare(["x3d_xs"], frames=2, crop=32, rounds=1, threads=1, out=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["compare-k400.svg", "compare.json", "compare.md"]
    again = read_comparison(tmp_path / "compare.json")
    assert again == found
    assert again.made_on is not None and again.made_on.rounds == 1
    page = (tmp_path / "compare.md").read_text()
    assert again.made_on.processor in page
    assert "](compare-k400.svg)" in page
    picture = ElementTree.fromstring((tmp_path / "compare-k400.svg").read_bytes())
    assert len(picture.findall(".//{http://www.w3.org/2000/svg}circle")) == 1  # at its own clip it was not measured
    reused = compare(["x3d_xs"], frames=2, crop=32, measured=tmp_path)
    assert reused == found
    assert not caplog.records
    other = compare(["x3d_xs"], frames=3, crop=32, measured=tmp_path / "compare.json")
    assert other.costs[0].measured is None
    assert "holds no measurement of any of these networks at these clips" in caplog.text


def test_accuracy_measured_here_is_a_row_of_its_own(run: Path, tmp_path: Path) -> None:
    metrics = {
        "checkpoint": str(run / "last.safetensors"),
        **{"data": "somewhere/videos", "split": "val", "num_videos": 6, "num_classes": 3, "top1": 0.5, "top5": 1.0},
        **{"num_clips": 2, "num_crops": 3, "crop": 32, "frame_order": "given", "multi_label": False, "labels": []},
    }
    file = tmp_path / "metrics.json"
    file.write_text(json.dumps(metrics))
    found = compare(["x3d_m"], rounds=0, results=[file, tmp_path])
    assert section_tables(compare(["x3d_m"], frames=2, crop=64, results=[file, tmp_path], rounds=0)) == section_tables(
        found
    )
    mine = found.rows[-1]
    assert (mine.published.model, mine.published.frames, mine.published.views) == ("vov3d_m", 4, 6)
    assert mine.published.accuracy == {"videos val": Accuracy(0.5, 1.0)}
    assert mine.parameters == 3_204_286 - 171 * 2049
    section = section_tables(found)[-1]
    assert section.title == "videos val"
    assert section.rows[0] == ("vov3d_m", "4x32", "-", "(2.9)", "(0.026) x6", "50.0/100.0", "here")
    for change, message in (
        ({"frame_order": "shuffled"}, "is a control, its frames are shuffled"),
        ({"multi_label": True}, "several labels a video"),
        ({"top1": "high"}, "is not a metrics.json"),
        ({"top1": 7.5}, "top1: Input should be less than or equal to 1"),
        ({"top1": float("nan")}, "top1: "),
        ({"num_classes": 10**12}, "num_classes: Input should be less than or equal to 1000000"),
        ({"num_clips": 0}, "num_clips: "),
        ({"crop": 5}, "crop: "),
        ({"checkpoint": "gone.safetensors"}, "nothing says which model it is of"),
    ):
        file.write_text(json.dumps({**metrics, **change}))
        with pytest.raises(DataError, match=message):
            compare(["x3d_m"], rounds=0, results=[file])


def test_a_test_that_lies_in_a_run_has_the_model_of_its_recipe(run: Path, tmp_path: Path) -> None:
    shutil.copy(run / "recipe.yaml", tmp_path / "recipe.yaml")
    folder = tmp_path / "evaluation"
    folder.mkdir()
    found = {"num_videos": 6, "num_classes": 3, "top1": 0.25, "top5": 0.5, "num_clips": 1, "num_crops": 1, "crop": 48}
    (folder / "metrics.json").write_text(json.dumps({"checkpoint": "gone", "data": "videos", "split": "val", **found}))
    row = make_comparison(["x3d_m"], results=[folder]).rows[-1].published
    assert make_comparison(["x3d_m"], results=[tmp_path]).rows[-1].published == row
    assert (row.model, row.frames, row.crop, row.views, row.num_classes) == ("vov3d_m", 4, 48, 1, 3)


def test_tests_of_one_network_are_told_apart(run: Path, tmp_path: Path) -> None:
    found = {"num_videos": 6, "num_classes": 3, "top1": 0.25, "top5": 0.5, "num_clips": 1, "num_crops": 1, "crop": 48}
    for name in ("first", "second"):
        (tmp_path / name / "evaluation").mkdir(parents=True)
        shutil.copy(run / "recipe.yaml", tmp_path / name / "recipe.yaml")
        text = json.dumps({"checkpoint": "gone", "data": "a\nb", "split": "val", **found})
        (tmp_path / name / "evaluation" / "metrics.json").write_text(text)
    runs = [tmp_path / "first", tmp_path / "second", tmp_path / "first" / "evaluation"]
    rows = [row.published for row in make_comparison(["x3d_m"], results=runs).rows[-2:]]
    assert [row.system for row in rows] == ["vov3d_m of first", "vov3d_m of second"]
    assert {row.section for row in rows} == {r"a\nb val"}  # a name stays in its line
    assert make_comparison(["x3d_m"], results=runs[:1]).rows[-1].published.system == "vov3d_m"


def test_little_is_not_none(counted: Comparison) -> None:
    clip = Clip("x3d_xs", 4, 160)
    little = replace(next(cost for cost in counted.costs if cost.clip == clip), gmacs=0.0061, activations=240_000)
    costs = tuple(little if cost.clip == clip else cost for cost in counted.costs)
    row = next(row for row in cost_table(replace(counted, costs=costs)).rows if row[:2] == ("x3d_xs", "4x160"))
    assert (row[5], row[6]) == ("0.18", "0.24")  # of 30 views


def test_measurements_of_another_comparison_are_taken_by_clip(counted: Comparison) -> None:
    measured = Measurement.of([30.0, 10.0, 20.0], 5.0)
    found = with_measurements(counted, {counted.costs[0].clip: measured}, None)
    assert [cost.measured for cost in found.costs] == [measured, *[None] * (len(counted.costs) - 1)]
    row = next(row for row in cost_table(found).rows if row[-2] == "20")
    assert row[0] == counted.costs[0].clip.model
    assert row[-3:] == ("5", "20", "100%")


def test_the_terminal_table_fits_100_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert main(["compare", "--no-measure", "--models", "vov3d*", "x3d*", "tsm*", "slowfast*"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    rows = [line for line in lines if line.startswith("VoV3D-M  ")]
    assert len(rows) == 5  # four of Tables 5 and 6, one of Table 7; none is folded
    assert any("49.0/78.2" in line and "63.6/88.6" in line and "T6" in line for line in rows)


@pytest.mark.parametrize("form", ["--json", "--markdown"])
def test_other_forms(capsys: pytest.CaptureFixture[str], form: str) -> None:
    assert main(["compare", "--no-measure", "--models", "x3d_xs", form]) == 0
    text = capsys.readouterr().out
    if form == "--json":
        assert json.loads(text)["costs"][0]["clip"] == {"model": "x3d_xs", "frames": 4, "crop": 160}
    else:
        assert "| x3d_xs | 4x160 | 3.79 | 0.61 | 30 |" in text


def test_the_terminal_table_breaks_no_word(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["vov3d_m*", "slowfast*", "ip_csn*"]
    for width, num_left_out in ((80, 2), (200, 0)):
        monkeypatch.setenv("COLUMNS", str(width))
        assert main(["compare", "--no-measure", "--models", *names]) == 0
        text = capsys.readouterr().out
        assert max(map(len, text.splitlines())) <= width
        assert {"vov3d_m_2020_dw_bottleneck", "slowfast_r50_16x8", "ip_csn_152"} <= set(text.split())
        assert text.count("131.4 x6") == text.count("74.0 (83.3) x10") == 1
        assert len(re.findall("^only in a wider terminal, or with --json: ", text, re.M)) == num_left_out
    assert "M act." in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--models", "x3dm"], "unknown model 'x3dm'; did you mean 'x3d_m'? Allowed: the 63 names that `vov3d models`"),
        (["--models"], "expected at least one argument"),
        (["--frames", "0"], "'0' is not a whole number of at least 1"),
        (["--crop", "16"], "'16' is not a whole number of at least 32"),
        (
            ["--device", "gpu", "--models", "x3d_xs"],
            "unknown device 'gpu'; did you mean 'cpu'? Allowed: auto, cpu, cuda",
        ),
        *(
            []
            if torch.backends.mps.is_available()
            else [(["--device", "mps", "--models", "x3d_xs"], "from the 'MPS' backend); use auto, cpu, cuda or mps")]
        ),
        (["--device", "meta", "--models", "x3d_xs"], "unknown device 'meta'. Allowed: auto, cpu, cuda, mps"),
        (["--results", "nowhere.json"], "'nowhere.json' does not exist"),
        (
            ["--results", "docs"],
            "'docs' holds no metrics.json, nor does its folder 'evaluation'; `vov3d evaluate` writes",
        ),
        (["--measured", "docs"], "'docs' holds no compare.json; `vov3d compare --out` writes it"),
        (["--out", "/proc/new"], "cannot make the folder '/proc/new': '/proc' takes none (No such file or directory)"),
        (["--measured", "pyproject.toml"], "is not a compare.json"),
    ],
)
def test_bad_arguments_are_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(Path(__file__).parents[1])
    assert main(["compare", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_bad_arguments_from_python() -> None:
    for arguments in ({"frames": 0}, {"crop": 31}, {"threads": 0}, {"memory_gib": 0.0}, {"device": "abacus"}):
        with pytest.raises(ArgumentError):
            compare(["x3d_xs"], **arguments)  # type: ignore[arg-type]
    assert set(DATASETS) == {"ssv1", "ssv2", "k400", "k600"}
    assert torch.get_num_threads() == 1


def leaves_in_order(mark: Path) -> Ready:
    multiprocessing.util.Finalize(None, mark.touch, exitpriority=0)
    return Ready(int)


def takes_a_minute(mark: Path) -> Ready:
    mark.touch()
    time.sleep(60)
    return Ready(int)


WANTS_IT = """
import functools, sys
from pathlib import Path
from tests.test_compare import Worker, takes_a_minute
Worker(functools.partial(takes_a_minute, Path(sys.argv[1])), 1, None).wait()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_process_that_computes_ends_with_one_that_is_killed(tmp_path: Path) -> None:
    mark = tmp_path / "computes"
    command = [sys.executable, "-c", WANTS_IT, str(mark)]
    running = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    while not mark.exists():
        assert running.poll() is None
        time.sleep(0.05)
    running.kill()
    running.wait()
    deadline = time.monotonic() + 20
    with pytest.raises(ProcessLookupError):
        while time.monotonic() < deadline:
            os.killpg(running.pid, 0)
            time.sleep(0.1)


def test_a_process_that_waits_ends_in_order(tmp_path: Path) -> None:
    """Killed, it leaves the semaphores of its packages behind, of which Python warns."""
    with Worker.started(functools.partial(leaves_in_order, tmp_path / "ended"), 1) as worker:
        worker.run()
    assert (tmp_path / "ended").exists()
