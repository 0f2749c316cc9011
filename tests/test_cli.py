"""The command line: help that teaches, one line for a mistake, one document for a program."""

from __future__ import annotations

import importlib
import inspect
import json
import logging
import os
import re
import signal
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from vov3d.bound import Bound
from vov3d.cli import main
from vov3d.cli.frame import VERBS
from vov3d.cli.output import duration, facts, percent, shell_command, table, to_json
from vov3d.cli.parser import Parser
from vov3d.cli.verb import Answer, Verb
from vov3d.errors import DataError
from vov3d.recipe import list_recipes, load_recipe, recipe_keys
from vov3d.version import __version__

Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch


@pytest.fixture(autouse=True)
def _wide(monkeypatch: Patch, tmp_path: Path) -> None:
    """The width that help is written for, in a folder with something in it."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "videos").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "best.safetensors").touch()


def fails(capsys: Capture, *words: str, code: int = 2) -> str:
    """The one line that a command ends with, without its ``vov3d: ``."""
    assert main(words) == code
    found = capsys.readouterr()
    assert found.out == ""
    assert found.err.startswith("vov3d: ")
    assert found.err.count("\n") == 1
    return found.err.removeprefix("vov3d: ").rstrip("\n")


def prints(capsys: Capture, *words: str) -> str:
    """What a command that succeeds prints on stdout."""
    assert main(words) == 0, capsys.readouterr().err
    return capsys.readouterr().out


# ---- help -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"]])
def test_overview_lists_every_verb(capsys: Capture, words: list[str]) -> None:
    text = prints(capsys, *words)
    assert len(VERBS) == 17
    for verb in VERBS.values():
        assert re.search(rf"^  {verb.name} +{re.escape(verb.help)}$", text, re.MULTILINE)
    assert "$ vov3d demo" in text


def test_version(capsys: Capture) -> None:
    assert prints(capsys, "--version") == f"vov3d {__version__}\n"


@pytest.mark.parametrize("name", VERBS)
def test_help_of_a_verb_teaches(capsys: Capture, name: str) -> None:
    text = prints(capsys, name, "--help")
    assert text == prints(capsys, "help", name)
    verb = VERBS[name]
    assert text.startswith(f"usage: {verb.usage}\n")
    assert verb.description.split(". ")[0][:40] in text
    assert len(verb.examples) >= 3
    for purpose, command in verb.examples:
        assert f"  # {purpose}\n  {command}\n" in text
        assert command.startswith("vov3d ")
    assert "--json" in text
    assert "--traceback" in text
    assert max(len(line) for line in text.splitlines()) <= 100


@pytest.mark.parametrize("name", VERBS)
def test_every_flag_is_explained_and_every_example_parses(name: str) -> None:
    assert all(action.help for action in Parser(VERBS[name], [])._actions)
    for path in ("ssv2", "kinetics", "motion", "packed", "runs/first/evaluation", "runs/other"):
        Path(path).mkdir(parents=True, exist_ok=True)
    checkpoints = ("runs/first/last.safetensors", "runs/other/last.safetensors", "vov3d_m_k400.pyth", "x3d_m.pyth")
    for path in (*checkpoints, "my.mp4"):
        Path(path).touch()
    for _, command in VERBS[name].examples:
        for part in command.partition(" > ")[0].replace("*.mp4", "my.mp4").replace("'", "").split(" && "):
            _, other, *words = part.split()
            Parser(VERBS[other], words).parse()


def test_the_dotted_flags_of_train_are_the_keys_of_a_recipe(capsys: Capture) -> None:
    parser = Parser(VERBS["train"], [])
    flags = [flag for flag in parser._option_string_actions if "." in flag]
    assert flags == [f"--{key.name}" for key in recipe_keys()]
    text = prints(capsys, "train", "--help")
    for section in ("model", "clip", "optim", "train", "test"):
        assert f"\nrecipe, {section}:\n" in text
    for key in recipe_keys():
        assert f"  --{key.name}" in text


def test_train_help_shows_the_values_of_the_recipe_asked_about(capsys: Capture) -> None:
    text = " ".join(prints(capsys, "train", "ssv1/vov3d_m_16_k400", "--help").split())
    assert "In brackets are the values of ssv1/vov3d_m_16_k400" in text
    assert "passes over the training videos [50] (released config: 100, fine-tuning 50, Kinetics 256)" in text
    assert "[0,35,45]" in text
    assert "60% of the batch norms" in text
    assert "[300] (released config: 100" in " ".join(prints(capsys, "train", "--help").split())
    assert fails(capsys, "train", "ssv1/vov3d_m_61", "--help").startswith("unknown recipe 'ssv1/vov3d_m_61'; did you")


# ---- mistakes -------------------------------------------------------------------------------------------------------

OUT = ("--out", "new")
RUN = ("--data", "videos", *OUT)

MISTAKES: dict[tuple[str, ...], str] = {
    ("train", "--data", "videos", "--out", ""): "argument --out: the name is empty; is a variable of your shell unset?",
    ("train", "", *RUN): "'' is a folder, not a recipe",
    ("predict", "", "videos"): "argument CHECKPOINT: the name is empty",
    ("predict", "run/best.safetensors", ""): "argument SOURCE: the name is empty",
    ("info", "VoV3D_M"): "unknown model 'VoV3D_M'; did you mean 'vov3d_m'?",
    ("info", "vov3d_m", "--frames", "999999999999"): "argument --frames: '999999999999' is too large; allowed is up to",
    ("trian",): "unknown verb 'trian'; did you mean 'train'? Allowed: bench, check, ",
    ("train",): "the following arguments are required: --data, --out (see vov3d train --help)",
    ("train", "--dta", "videos"): "unknown flag '--dta'; did you mean '--data'? Allowed: ",
    ("train", *RUN, "--batch_size", "4"): "unknown flag '--batch_size'; did you mean '--batch-size'?",
    ("train", *RUN, "--optim.learning-rate", "4"): "unknown flag '--optim.learning-rate'; did you mean '--optim.",
    ("train", *RUN, "--optmi.lr=4"): "unknown flag '--optmi.lr'; did you mean '--optim.lr'? Allowed: --optim.lr (see",
    ("train", *RUN, "-x"): "unknown flag '-x'",
    ("train", *RUN, "--optim.lr"): "argument --optim.lr/--lr: expected one argument (see vov3d train --help)",
    ("train", *RUN, "--optim.lr=low"): "recipe key 'optim.lr' must be a number, not \"low\"",
    ("train", *RUN, "--lr", "-1"): "recipe key 'optim.lr' must be greater than 0, not -1",
    ("train", *RUN, "--clip.crop", "512"): "recipe key clip.short_side starts at 58, below clip.crop 512",
    ("train", "vov3d_m_8", *RUN): "unknown recipe 'vov3d_m_8'; did you mean 'folder/vov3d_m_8'?",
    ("train", "videos", *OUT, "--data", "videos"): "'videos' is a folder, not a recipe; a folder of videos is given as",
    ("train", "a", "b", *RUN): "unrecognized arguments: b",
    (
        "train",
        "ssv1/vov3d_m_16_k400",
        *RUN,
    ): "recipe 'ssv1/vov3d_m_16_k400' starts from k400 weights; give them as --mo",
    ("train", *OUT, "--data", "vidoes"): "argument --data: 'vidoes' does not exist; did you mean '",
    ("train", *OUT, "--data", "none/deeper"): "argument --data: 'none/deeper' does not exist; '",
    (
        "train",
        "--data",
        "videos",
        "--out",
        "run/best.safetensors",
    ): "argument --out: 'run/best.safetensors' is a file al",
    ("train", "--data", "videos", "--out", "run/best.safetensors/x"): "argument --out: cannot make the folder",
    ("train", *RUN, "--workers", "-1"): "argument --workers: '-1' is not a whole number of at least 0",
    ("train", *RUN, "--workers", "two"): "argument --workers: 'two' is not a whole number of at least 0",
    (
        "evaluate",
        "run/best.safetensor",
        "--data",
        "videos",
    ): "argument CHECKPOINT: 'run/best.safetensor' does not exist;",
    ("evaluate", "run/best.safetensors", "--data", "videos", "--crops", "2"): "argument --crops: invalid choice: 2",
    ("evaluate", "run/best.safetensors", "--data", "videos", "--frame-order", "shufled"): (
        "argument --frame-order: unknown frame order 'shufled'; did you mean 'shuffled'? Allowed: given, reversed, shuf"
    ),
    ("predict", "run/best.safetensors"): "the following arguments are required: SOURCE",
    ("predict", "run/best.safetensors", "videos", "--format", "xml"): "argument --format: unknown format 'xml'",
    (
        "predict",
        "run/best.safetensors",
        "videos",
        "--out",
        "none/x.csv",
    ): "argument --out: cannot write 'none/x.csv': th",
    ("predict", "run/best.safetensors", "videos", "--out", "videos"): "argument --out: 'videos' is a folder already",
    ("info", "vov3d_m", "--crop", "8"): "argument --crop: '8' is not a whole number of at least 32",
    ("models", "alexnet"): "no model matches 'alexnet'; there are ",
    ("recipes", "resnet"): "no recipe matches 'resnet'; `vov3d recipes` lists all 34",
    ("recipes", "ssv1/vov3d_m_61", "--yaml"): "unknown recipe 'ssv1/vov3d_m_61'; did you mean 'ssv1/vov3d_m_16'?",
    ("report", "nowhere"): "argument RUN: 'nowhere' does not exist",
}


@pytest.mark.parametrize("words", MISTAKES, ids=" ".join)
def test_a_mistake_is_told_in_one_line(capsys: Capture, words: tuple[str, ...]) -> None:
    assert fails(capsys, *words).startswith(MISTAKES[words])
    assert not Path("new").exists()


def test_traceback_shows_where(capsys: Capture) -> None:
    assert main(["recipes", "resnet", "--traceback"]) == 2
    found = capsys.readouterr().err
    assert found.startswith("Traceback (most recent call last):")
    assert found.endswith("\nvov3d: no recipe matches 'resnet'; `vov3d recipes` lists all 34\n")


def test_a_folder_that_may_not_be_written_to(capsys: Capture, monkeypatch: Patch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: (Path(path), mode) != (Path("videos").absolute(), os.W_OK))
    line = fails(capsys, "motion", "--out", "videos/deeper/set")
    assert line.startswith("argument --out: cannot write 'videos/deeper/set': no permission to write to '")
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_flag=os.ST_RDONLY))
    line = fails(capsys, "motion", "--out", "videos/deeper/set")
    assert line.startswith("argument --out: cannot write 'videos/deeper/set': a read-only file system holds '")


# ---- the frame, with a verb of the test's own -----------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """A result with everything that a result may hold."""

    where: Path
    share: float
    top: tuple[tuple[str, float], ...]
    missing: float


FOUND = Found(Path("a/b"), 0.5, (("Ä [thing]", 1.0),), float("nan"))


@pytest.fixture
def probe(monkeypatch: Patch) -> Callable[[Callable[[], object]], None]:
    """Makes ``vov3d probe`` do something."""

    def install(action: Callable[[], object]) -> None:
        def run(args: Namespace) -> Answer:
            action()
            return Answer(FOUND, "for people")

        verb = Verb("probe", "a probe", "vov3d probe", "A probe.", (("try", "vov3d probe"),), lambda _: None, run)
        monkeypatch.setitem(VERBS, "probe", verb)

    return install


def raising(error: BaseException) -> Callable[[], object]:
    def action() -> object:
        raise error

    return action


def test_json_is_one_document_whatever_a_verb_prints(capsys: Capture, probe: Callable[..., None]) -> None:
    def noise() -> None:
        print("noise")
        logging.getLogger("vov3d").info("logged")

    probe(noise)
    assert main(["probe", "--json"]) == 0
    found = capsys.readouterr()
    assert json.loads(found.out) == {
        "where": str(Path("a/b")),
        "share": 0.5,
        "top": [["Ä [thing]", 1.0]],
        "missing": None,
    }
    assert found.err == "noise\nlogged\n"
    assert main(["probe"]) == 0
    found = capsys.readouterr()
    assert found.out == "noise\nfor people\n"
    assert found.err == "logged\n"


def test_only_the_first_process_answers(capsys: Capture, probe: Callable[..., None], monkeypatch: Patch) -> None:
    monkeypatch.setenv("RANK", "1")
    probe(lambda: logging.getLogger("vov3d").info("logged"))
    assert main(["probe"]) == 0
    found = capsys.readouterr()
    assert (found.out, found.err) == ("", "")


@pytest.mark.parametrize("told", [True, False])
def test_an_error_that_the_first_process_tells_is_not_told_again(
    capsys: Capture, probe: Callable[..., None], monkeypatch: Patch, told: bool
) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr("vov3d.meeting.first_ends_with", lambda line: told and line == "it is gone")
    usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        probe(raising(DataError("it is gone")))
        assert main(["probe"]) == 2
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
    assert capsys.readouterr().err == ("" if told else "vov3d: it is gone\n")
    probe(raising(KeyboardInterrupt()))
    assert main(["probe"]) == 130
    assert capsys.readouterr().err == ""  # the first process gets the signal too


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (DataError("a folder\nis missing"), "a folder is missing"),
        (OSError(28, "No space left on device", "run/last"), "No space left on device: 'run/last'"),
        (PermissionError(13, "Permission denied", "x"), "Permission denied: 'x'"),
        (OSError("odd"), "odd"),
        (OSError(), "OSError"),
        (ValueError("size must be even"), "size must be even (--traceback shows where)"),
    ],
)
def test_an_error_of_a_verb_is_one_line(
    capsys: Capture, probe: Callable[..., None], error: Exception, line: str
) -> None:
    probe(raising(error))
    assert fails(capsys, "probe") == line
    assert fails(capsys, "probe", "--json") == line


def test_an_interruption_is_one_line(capsys: Capture, probe: Callable[..., None]) -> None:
    probe(raising(KeyboardInterrupt()))
    assert fails(capsys, "probe", code=130) == "interrupted"


def test_a_fault_of_ours_is_not_hidden(probe: Callable[..., None]) -> None:
    probe(raising(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        main(["probe"])


def test_the_console_script_and_the_module_are_main() -> None:
    import vov3d.__main__ as module

    assert module.main is main


# ---- verbs call their functions -------------------------------------------------------------------------------------

METRICS = SimpleNamespace(
    top1=0.5, top5=1.0, macro_top1=0.5, chance=0.5, num_videos=4, num_classes=3, split="val", num_clips=2, num_crops=3,
    crop=64, frame_order="given", missing=(), seconds=75.0, multi_label=False, bound=Bound("model", 3.1, 0.4, 9.6, 1),
    engine=None,
    per_class=(
        SimpleNamespace(label="[Something] up", num_videos=2, top1=1.0),
        SimpleNamespace(label="down", num_videos=2, top1=0.0),
        SimpleNamespace(label="absent", num_videos=0, top1=None),
    ),
)  # fmt: skip
PREDICTIONS = [
    SimpleNamespace(
        source="my.mp4",
        top=(("[a]", 0.9), ("b, c", 0.1)),
        num_frames=30,
        duration_seconds=1.0,
        error=None,
        exclusive=True,
    )
]
BROKEN = SimpleNamespace(
    source="bad.mp4", top=(), num_frames=0, duration_seconds=0.0, error="no frames", exclusive=True
)


@pytest.fixture
def called(monkeypatch: Patch) -> Callable[[str, str, object], dict[str, object]]:
    """Replaces a verb's function; returns the arguments it will have been called with, under its true signature."""

    def install(module_name: str, function: str, result: object) -> dict[str, object]:
        module = importlib.import_module(module_name)
        signature = inspect.signature(getattr(module, function))
        seen: dict[str, object] = {}

        def fake(*values: object, **named: object) -> object:
            seen.update(signature.bind(*values, **named).arguments)
            return result

        monkeypatch.setattr(module, function, fake)
        return seen

    return install


def test_train_resolves_the_recipe(capsys: Capture, called: Callable[..., dict[str, object]]) -> None:
    result = SimpleNamespace(
        out=Path("a new one"),
        epochs=3,
        best_top1=0.75,
        last_top1=0.5,
        score_name="top-1",
        checkpoint=Path("new/last"),
        quarantined=2,
        seconds=5.0,
    )
    seen = called("vov3d.train", "train", result)
    settings = ("--epochs", "3", "--clip.short_side", "112,128", "--lr=5e-3")
    text = prints(capsys, "train", *RUN, *settings, "--device", "cpu", "--quiet")
    recipe = seen["recipe"]
    assert (recipe.train.epochs, recipe.clip.short_side, recipe.optim.lr) == (3, (112, 128), 0.005)  # type: ignore[attr-defined]
    assert recipe.optim.warmup_epochs == pytest.approx(0.2)  # type: ignore[attr-defined]
    assert recipe.model.name == "vov3d_s"  # type: ignore[attr-defined]
    assert (seen["data"], seen["out"], seen["device"]) == (Path("videos"), Path("new"), "cpu")
    assert (seen["workers"], seen["resume"], seen["quiet"]) == (None, False, True)
    assert "best top-1     75.0 %\n" in text
    assert "not decodable  2 videos" in text
    assert "next           vov3d report 'a new one'\n" in text


def test_resume_takes_the_recipe_of_the_run(capsys: Capture, called: Callable[..., dict[str, object]]) -> None:
    from vov3d.recipe import override, to_yaml

    begun = override(load_recipe("k400/x3d_m_16"), {"train.seed": "7"})
    Path("run/recipe.yaml").write_text(to_yaml(begun))
    result = SimpleNamespace(
        out=Path("run"),
        epochs=3,
        best_top1=0.75,
        last_top1=0.5,
        score_name="top-1",
        checkpoint=Path("new/last"),
        quarantined=0,
        seconds=5.0,
    )
    seen = called("vov3d.train", "train", result)
    prints(capsys, "train", "--data", "videos", "--out", "run", "--resume")
    assert seen["recipe"] == begun
    assert seen["resume"] is True


@pytest.mark.parametrize(("order", "folder"), [("given", "evaluation"), ("shuffled", "evaluation-shuffled")])
def test_evaluate_writes_beside_the_run(
    capsys: Capture, called: Callable[..., dict[str, object]], order: str, folder: str
) -> None:
    seen = called("vov3d.evaluate", "evaluate", SimpleNamespace(metrics=METRICS, out=Path("there")))
    command = ("evaluate", "run/best.safetensors", "--data", "videos", "--frame-order", order, "--clips", "1")
    text = prints(capsys, *command)
    assert seen["out"] is None  # a checkpoint that lies in no run
    assert (seen["checkpoint"], seen["clips"], seen["crops"]) == (Path("run/best.safetensors"), 1, None)
    assert "top-1              50.0 %  (chance 50.0 %)\n" in text
    assert (
        "time               1 min 15 s, bounded by the model: decoding took 31% of the time, the model waited 4%"
        in text
    )
    assert re.search(r"^down +2 +0\.0\n\[Something\] up +2 +100\.0$", text, re.MULTILINE)
    Path("run/recipe.yaml").touch()
    prints(capsys, *command)
    assert seen["out"] == Path("run") / folder
    prints(capsys, *command, "--fast", "int8")
    assert (seen["fast"], seen["out"]) == ("int8", Path("run") / f"{folder}-int8")


def test_evaluate_with_several_labels_a_video(capsys: Capture, called: Callable[..., dict[str, object]]) -> None:
    metrics = SimpleNamespace(**vars(METRICS))
    metrics.multi_label, metrics.mean_average_precision, metrics.macro_top1, metrics.chance = True, 0.625, None, 0.21
    metrics.per_class = (
        SimpleNamespace(label="walk", num_videos=3, top1=None, average_precision=0.75),
        SimpleNamespace(label="talk", num_videos=2, top1=None, average_precision=0.5),
        SimpleNamespace(label="absent", num_videos=0, top1=None, average_precision=None),
    )
    called("vov3d.evaluate", "evaluate", SimpleNamespace(metrics=metrics, out=None))
    text = prints(capsys, "evaluate", "run/best.safetensors", "--data", "videos")
    assert "mAP          62.5 %  (chance about 21.0 %)\nhit at 1     50.0 %" in text
    assert re.search(r"^weakest classes +videos +average precision %$", text, re.MULTILINE)
    assert re.search(r"^talk +2 +50\.0\nwalk +3 +75\.0$", text, re.MULTILINE)
    assert "top-1" not in text and "mean over classes" not in text


def test_predict_says_that_probabilities_stand_alone(capsys: Capture, called: Callable[..., dict[str, object]]) -> None:
    own = SimpleNamespace(**{**vars(PREDICTIONS[0]), "exclusive": False})
    called("vov3d.predict", "predict", [BROKEN, own])
    assert main(["predict", "run/best.safetensors", "videos"]) == 2
    note = "The network was trained with several labels a video: each probability is that of its class alone.\n"
    assert capsys.readouterr().out.endswith(note)
    called("vov3d.predict", "predict", PREDICTIONS)
    assert "alone" not in prints(capsys, "predict", "run/best.safetensors", "videos")


def test_predict_in_every_form(capsys: Capture, called: Callable[..., dict[str, object]]) -> None:
    seen = called("vov3d.predict", "predict", PREDICTIONS)
    command = ("predict", "run/best.safetensors", "videos", "--top-k", "2")
    document = [
        {
            "source": "my.mp4",
            "top": [{"label": "[a]", "probability": 0.9}, {"label": "b, c", "probability": 0.1}],
            "num_frames": 30,
            "duration_seconds": 1.0,
            "error": None,
        }
    ]
    assert re.search(r"^my\.mp4 +\[a\] +90\.0\n +b, c +10\.0$", prints(capsys, *command), re.MULTILINE)
    assert list(seen["sources"]) == ["videos"]  # type: ignore[call-overload]
    assert seen["top_k"] == 2
    csv = 'source,rank,label,probability,error\nmy.mp4,1,[a],0.900000,\nmy.mp4,2,"b, c",0.100000,\n'
    assert prints(capsys, *command, "--format", "csv") == csv
    assert json.loads(prints(capsys, *command, "--format", "json")) == document
    assert json.loads(prints(capsys, *command, "--json")) == document
    assert prints(capsys, *command, "--out", "found.csv") == "1 predictions in found.csv\n"
    assert Path("found.csv").read_text() == csv
    prints(capsys, *command, "--out", "found.json")
    assert json.loads(Path("found.json").read_text()) == document
    prints(capsys, *command, "--out", "found.txt")
    assert "[a]" in Path("found.txt").read_text()


def test_predict_reports_what_cannot_be_decoded_in_its_place(
    capsys: Capture, called: Callable[..., dict[str, object]]
) -> None:
    seen = called("vov3d.predict", "predict", [BROKEN, *PREDICTIONS])
    assert main(["predict", "run/best.safetensors", "*.mp4"]) == 2
    assert re.search(r"^bad\.mp4 +cannot be decoded: no frames +-\nmy\.mp4", capsys.readouterr().out, re.MULTILINE)
    assert list(seen["sources"]) == ["*.mp4"]  # type: ignore[call-overload]
    assert main(["predict", "run/best.safetensors", "*.mp4", "--format", "csv"]) == 2
    assert capsys.readouterr().out.splitlines()[1] == "bad.mp4,1,,nan,no frames"
    assert main(["predict", "run/best.safetensors", "*.mp4", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)[0]["error"] == "no frames"


def test_info(capsys: Capture, called: Callable[..., dict[str, object]]) -> None:
    result = SimpleNamespace(
        name="vov3d_m", num_classes=174, num_frames=16, crop=256, parameters=3_204_286, gmacs=6.4241, activations=10**8,
        latency_ms=None, latency_ms_spread=None, causal=False, weights=None,
    )  # fmt: skip
    seen = called("vov3d.info", "info", result)
    text = prints(capsys, "info", "vov3d_m", "--crop", "256", "--num-classes", "174", "--no-measure")
    assert "3,204,286 (3.20 million)" in text
    assert "6.424 GMACs at 16x256x256" in text
    assert "latency" not in text
    assert (seen["model"], seen["frames"], seen["crop"], seen["measure"]) == ("vov3d_m", 16, 256, False)


def test_convert(capsys: Capture, called: Callable[..., dict[str, object]]) -> None:
    result = SimpleNamespace(
        source="a", destination="b", model="x3d_m", direction="ours", num_tensors=568, notes=("n1", "n2")
    )
    called("vov3d.convert", "convert", result)
    assert "note       n1; n2\n" in prints(capsys, "convert", "run/best.safetensors", "best.pyth")


def test_check(capsys: Capture, called: Callable[..., dict[str, object]]) -> None:
    result = SimpleNamespace(verdicts=[SimpleNamespace(level="look")])
    seen = called("vov3d.check", "check", result)
    called("vov3d.check", "render", None)
    assert main(["check", "--data", "videos", "--max-videos", "3"]) == 0
    assert (seen["data"], seen["max_videos"]) == (Path("videos"), 3)
    result.verdicts.append(SimpleNamespace(level="wrong"))
    assert main(["check", "--data", "videos"]) == 1


def test_motion(capsys: Capture, called: Callable[..., dict[str, object]]) -> None:
    seen = called("vov3d.data.motion", "write_motion_set", Path("set"))
    text = prints(capsys, "motion", "--out", "set", "--train-per-class", "2", "--val-per-class", "1", "--json")
    assert seen["videos_per_class"] == {"train": 2, "val": 1}
    assert seen["size"] == 96
    assert json.loads(text)["num_videos"]["val"] == len(json.loads(text)["labels"]) == 14
    words = ["--families", "shapes,direction", "--difficulty", "hard", "--test-per-class", "3"]
    text = prints(capsys, "motion", "--out", "set", *words, "--json")
    assert seen["videos_per_class"] == {"train": 40, "val": 10, "test": 3}
    assert (seen["families"], seen["difficulty"]) == (["shapes", "direction"], 0.8)
    assert json.loads(text)["num_videos"]["test"] == 3 * 22
    assert len(json.loads(prints(capsys, "motion", "--out", "set", "--families", "all", "--json"))["labels"]) == 45
    assert "did you mean 'shapes'" in fails(capsys, "motion", "--out", "set", "--families", "direction,shape")
    assert "did you mean 'hard'" in fails(capsys, "motion", "--out", "set", "--difficulty", "har")
    called("vov3d.data.motion", "write_motion_set", Path("a set"))
    assert "  vov3d train motion/vov3d_s_16 --data 'a set' --out runs/motion\n" in prints(
        capsys, "motion", "--out", "x"
    )


def test_report(capsys: Capture, called: Callable[..., dict[str, object]]) -> None:
    seen = called("vov3d.report", "report", Path("run/report.html"))
    assert prints(capsys, "report", "run") == f"written {Path('run/report.html')}\n"
    assert seen == {"run": Path("run")}


def test_demo(capsys: Capture, called: Callable[..., dict[str, object]]) -> None:
    seen = called("vov3d.demo", "demo", Path("runs/demo/report.html"))
    assert json.loads(prints(capsys, "demo", "--json"))["report"] == str(Path("runs/demo/report.html"))
    assert seen["out"] == Path("runs/demo")


def test_models(capsys: Capture) -> None:
    text = prints(capsys, "models", "vov3d")
    assert "vov3d_l" in text
    assert "x3d" not in text
    assert "3,204,286" in text
    assert [one["name"] for one in json.loads(prints(capsys, "models", "x3d_?", "--json"))] == [
        "x3d_l",
        "x3d_m",
        "x3d_s",
    ]


def test_recipes(capsys: Capture) -> None:
    text = prints(capsys, "recipes")
    assert all(name in text for name in list_recipes())
    assert re.search(r"^ssv1/vov3d_m_16 +vov3d_m +16 +224 +100 +49\.0 / 78\.2 +Table 5 +-$", text, re.MULTILINE)
    (listed,) = json.loads(prints(capsys, "recipes", "ssv2/x3d_m_16", "--json"))
    assert (listed["name"], listed["optim"]["lr"]) == ("ssv2/x3d_m_16", 0.1)


def test_a_printed_recipe_is_a_recipe(capsys: Capture, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(prints(capsys, "recipes", "ssv1/vov3d_m_16", "--yaml"))
    assert "# " in mine.read_text()
    assert load_recipe(mine) == load_recipe("ssv1/vov3d_m_16")
    assert json.loads(prints(capsys, "recipes", "ssv1/vov3d_m_16", "--yaml", "--json"))["train"]["epochs"] == 100


# ---- how results are shown ------------------------------------------------------------------------------------------


def test_output() -> None:
    assert percent(0.4904) == "49.0"
    assert percent(None) == percent(float("nan")) == "-"
    assert [duration(seconds) for seconds in (0.26, 59.4, 60, 3600, 86399)] == [
        "0.3 s", "59.4 s", "1 min 0 s", "1 h 0 min", "23 h 59 min"
    ]  # fmt: skip
    assert facts({"a": 1, "long name": "x", "none": None}) == "a          1\nlong name  x"
    assert "[red]x" in table(("a",), [("[red]x",)])
    assert table(("a", "b"), [("x\ny", "1"), ("\x1b[31mz\u2028", "2")]).splitlines()[2:] == [
        r"x\ny              1", r"\x1b[31mz\u2028   2"
    ]  # fmt: skip
    assert shell_command("vov3d", "report", Path("a b\n")) == "vov3d report 'a b\n'"
    assert json.loads(to_json({"a": (1, Path("b"))})) == {"a": [1, "b"]}


def test_the_frame_itself_needs_nothing_heavy() -> None:
    """Verbs import at work what they need, so that the frame comes at once; the package's own root is left out."""
    code = (
        "import sys, types; root = sys.modules['vov3d'] = types.ModuleType('vov3d'); root.__path__ = [sys.argv[1]]\n"
        "import vov3d.cli; print(*sorted(sys.modules))"
    )
    root = str(Path(sys.modules["vov3d"].__path__[0]))
    found = subprocess.run([sys.executable, "-c", code, root], capture_output=True, text=True, check=True)
    modules = set(found.stdout.split())
    assert "vov3d.cli.frame" in modules
    assert not modules & {"torch", "numpy", "av", "pydantic", "rich", "yaml", "matplotlib", "safetensors", "vov3d.data"}
