"""The study of what reads time: runs that go on and are made once, and a page that says no more than they do."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import clip_times
import evidence
import pytest
import torch
import trial
from evidence_page import evidence_files, mean_and_half, paired, shown, verdict
from questions import PACES, PROTOCOLS, QUESTIONS, SYSTEMS, Run, runs_of

from vov3d.distributed import process_group
from vov3d.errors import DataError

TINY = replace(PROTOCOLS["cpu"], families=("rotation", "speed"), clips=24, batch=4, test_clips=12)
WORDS = ("--families", "rotation", "speed", "--clips", "24", "--batch", "4", "--test-clips", "12", "--device", "cpu")


def study(folder: Path, *words: str) -> None:
    """Run the command with tiny sizes."""
    evidence.main([*WORDS, "--results", str(folder / "results"), "--work", str(folder / "work"), *words])


def test_every_system_reads_clips_and_is_asked_about() -> None:
    asked = {system for question in QUESTIONS.values() for system in question.systems}
    assert asked == set(SYSTEMS)
    builds = [system.small for system in SYSTEMS.values()]
    for build in (*builds, SYSTEMS["between_both"].full, SYSTEMS["strided_input"].full):
        with torch.device("meta"):
            assert build(5)(torch.empty(2, 3, 8, 32, 32)).shape == (2, 5)
    assert all(question.paired_with in question.systems for question in QUESTIONS.values())


def test_runs_are_shared_and_frames_vary_where_asked() -> None:
    frames = runs_of(QUESTIONS["frames"], PROTOCOLS["cpu"], seeds=[0])
    assert frames == [Run(system, count, 0) for count in (8, 16, 32) for system in ("vov3d", "x3d")]
    every = evidence.open_runs(PROTOCOLS["cpu"], list(QUESTIONS), [0, 1, 2], [])
    assert len(every) == len(set(every)) == 63
    assert len(evidence.open_runs(PROTOCOLS["gpu"], ["systems"], [0], [])) == 8


def test_a_clip_at_another_pace() -> None:
    times = (torch.arange(4) + 0.5) / 4
    assert torch.equal(trial.at_pace(times, 1.0), times)
    assert trial.at_pace(times, 0.5).tolist() == [0.3125, 0.4375, 0.5625, 0.6875]
    assert trial.at_pace(times, 2.0).tolist() == [0.25, 0.75, 0.875, 0.875]


def test_a_stopped_run_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    run = Run("vov3d", 8, 0)
    with process_group("cpu") as group:
        whole = trial.Trial(TINY, run, group, tmp_path / "whole").finish(lambda: False)
        calls = iter([False, False, False, True])
        assert trial.Trial(TINY, run, group, tmp_path / "cut").finish(lambda: next(calls)) is None
        assert len(list((tmp_path / "cut").glob("*.safetensors"))) == 1
        goes_on = trial.Trial(TINY, run, group, tmp_path / "cut")
        assert goes_on.done == 3
        row = goes_on.finish(lambda: False)
    assert whole is not None and row is not None
    assert {**row, "train_seconds": ""} == {**whole, "train_seconds": ""}
    assert (tmp_path / "cut").exists()  # until its row is written
    goes_on.forget()
    assert not (tmp_path / "cut").exists()
    assert row["family direction"] == "" and 0 <= float(row["family speed"]) <= 1


def test_a_run_is_made_once_and_listed_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    only = ("--only", "strided", "--seeds", "0")
    study(tmp_path, *only, "--list")
    assert capsys.readouterr().out.endswith("2 runs\n")
    study(tmp_path, *only, "--minutes", "0")
    assert "stopped at vov3d 8 0, run 1 of 2" in capsys.readouterr().out
    study(tmp_path, *only, "--share", "2/2")
    study(tmp_path, *only)
    study(tmp_path, *only)
    rows = evidence.read_rows(tmp_path / "results")
    assert [row["system"] for row in rows] == ["strided_input", "vov3d"]
    assert capsys.readouterr().out.count("top-1") == 2
    assert not list((tmp_path / "work").rglob("*.safetensors"))
    study(tmp_path, *only, "--lr", "0.001", "--list")
    assert capsys.readouterr().out.endswith("2 runs\n")  # rows of another learning rate do not count


def test_intervals_are_students_and_pairs_are_of_one_seed() -> None:
    mean, half = mean_and_half([1.0, 2.0, 3.0])
    assert (mean, half) == (2.0, pytest.approx(4.303 / math.sqrt(3)))
    assert math.isnan(mean_and_half([1.0])[1])
    one, other = (
        [{"seed": seed, "top1": top1} for seed, top1 in rows.items()]
        for rows in ({"0": "0.5", "1": "0.7", "2": "0.9"}, {"2": "0.8", "0": "0.4", "3": "0.1"})
    )
    assert paired(one, other) == pytest.approx([10.0, 10.0])
    cases = {"too few seeds": [1, 1], "above": [1, 1.1, 1.2], "below": [-1, -1.1, -1.2], "not told apart": [-1, 1, 0]}
    assert [verdict(values) for values in cases.values()] == list(cases)
    assert [shown(values) for values in ([], [1.0], [1.0, 2.0, 3.0])] == ["not run", "1.0", "2.0 ± 2.5"]


def test_the_page_says_what_is_missing(tmp_path: Path) -> None:
    (page,) = evidence_files(tmp_path).values()
    assert page.count("Not run yet") == 2
    cells = {"device": "cpu", "parameters": "1000", "gmacs": "0.01", "train_seconds": "60"}
    cells |= {f"family {name}": "0.5" for name in TINY.families} | {f"pace {one:g}": "0.4" for one in PACES}
    cells |= {"shuffled": "0.3"}
    for system, top1 in (("vov3d", 0.6), ("vov3d_d1plus2d", 0.5)):
        for seed in range(3):
            run = {"system": system, "frames": "8", "seed": str(seed), "top1": f"{top1 + 0.01 * seed}"}
            evidence.add_row({**trial.columns_of(TINY), **run, **cells}, tmp_path)
    files = evidence_files(tmp_path)
    assert [*files][1:] == [f"docs/evidence-cpu-{name}.svg" for name in ("top1", "families", "tempo")]
    page = files["docs/evidence.md"]
    line = next(line for line in page.splitlines() if line.startswith("| T-OSA of D(1+2)D"))
    assert "51.0 ± 2.5 | 30.0 ± 0.0 | -10.0 ± 0.0 | below" in line
    assert "Runs so far: 6 of 63" in page
    assert "Not answered yet: 3 of 5 rows" in page
    assert page.count("Not run yet") == 1


def test_a_share_is_a_part_of_a_whole(tmp_path: Path) -> None:
    for wrong in ("0/2", "3/2", "1/0", "x", "1"):
        with pytest.raises(SystemExit, match=r"^2$"):
            study(tmp_path, f"--share={wrong}", "--list")


def test_a_row_counts_once_and_is_whole(tmp_path: Path) -> None:
    study(tmp_path, "--only", "strided", "--seeds", "0", "--systems", "vov3d")
    (path,) = (tmp_path / "results").glob("*.csv")
    (tmp_path / "results" / "evidence-other.csv").write_text(path.read_text())
    (tmp_path / "results" / "evidence-empty.csv").touch()
    assert len(evidence.read_rows(tmp_path / "results")) == 1
    cut = path.read_text().rstrip().rpartition(",")[0]
    path.write_text(cut + "\n")
    with pytest.raises(DataError, match="the row 'vov3d 8 0' has more or fewer cells than columns"):
        evidence.read_rows(tmp_path / "results")
    path.write_text(path.read_text().replace("shuffled,", "mixed,"))
    with pytest.raises(DataError, match="lacks shuffled"):
        evidence.read_rows(tmp_path / "results")


def test_a_run_that_another_process_has_made_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("--only", "strided", "--seeds", "0", "--systems", "vov3d")
    study(tmp_path, *words)
    seen = iter([[], evidence.read_rows(tmp_path / "results")])
    monkeypatch.setattr(evidence, "read_rows", lambda _: next(seen))
    study(tmp_path, *words)
    assert capsys.readouterr().out.endswith("another process has made it\n")


def test_every_system_of_the_study_is_timed_and_the_page_shows_it(tmp_path: Path) -> None:
    clip_times.main(["--device", "cpu", "--rounds", "1", "--results", str(tmp_path)])
    times = clip_times.read_times(tmp_path)
    wanted = {(run.system, run.frames) for question in QUESTIONS.values() for run in runs_of(question, TINY)}
    assert {key[3:] for key in times} == {(system, str(frames)) for system, frames in wanted}
    assert all(0 < ms < 1e5 for ms in times.values())
