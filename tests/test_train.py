"""Training: what it leaves behind, that it learns, and that a run that stopped goes on as if it had not."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.tiny import LABELS, SETTINGS, FrozenNorms, break_video, calling_back, read_rows, small_network, tiny_recipe
from vov3d.checkpoint import read_checkpoint
from vov3d.cli import main
from vov3d.data.fingerprint import TRAIN, VAL, fingerprint
from vov3d.data.sources import read_index
from vov3d.errors import CheckpointError, DataError, RecipeError, RunFolderError, TrainingError
from vov3d.evaluate import evaluate
from vov3d.models import MODELS, TSM, TSN, VoV3D
from vov3d.models.published.image_resnet import IMAGE_RESNET
from vov3d.progress import TrainingProgress
from vov3d.recipe import load_recipe, to_mapping, to_yaml
from vov3d.resume import Position
from vov3d.run_folder import RunFolder
from vov3d.train import Resume, Safety, TrainResult, train
from vov3d.trained import load_trained

TIMES = ("clips_per_second", "seconds")


def train_here(
    data: Path,
    out: Path,
    settings: dict[str, str] | None = None,
    *,
    workers: int = 0,
    resume: Resume = False,
    safety: Safety | None = None,
) -> TrainResult:
    recipe = tiny_recipe(settings)
    return train(recipe, data, out, device="cpu", workers=workers, resume=resume, safety=safety, quiet=True)


def log_of(out: Path) -> list[dict[str, str]]:
    """The log without what a clock measured."""
    return [{key: value for key, value in row.items() if key not in TIMES} for row in read_rows(out / "log.csv")]


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(path).tensors


def assert_same_run(out: Path, reference: Path) -> None:
    """Every weight and statistic to the last bit, and every line of the log."""
    for name in ("last.safetensors", "best.safetensors"):
        ours, theirs = read_checkpoint(out / name), read_checkpoint(reference / name)
        assert ours.description == theirs.description
        assert ours.tensors.keys() == theirs.tensors.keys()
        assert [key for key in ours.tensors if not torch.equal(ours.tensors[key], theirs.tensors[key])] == []
    assert log_of(out) == log_of(reference)


# ---- what a run leaves behind ----------------------------------------------------------------------------------------


def test_a_run_folder_holds_these_files(run: Path) -> None:
    assert {entry.name for entry in run.iterdir()} - {"tensorboard"} == {
        "recipe.yaml",
        "environment.json",
        "log.csv",
        "last.safetensors",
        "best.safetensors",
        "resume",
    }
    assert [file.name for file in RunFolder(run).states.files()] == [
        f"epoch-{epoch:06d}-step-{step:06d}.safetensors" for epoch, step in ((2, 0), (1, 3), (1, 0))
    ]
    assert load_recipe(run / "recipe.yaml") == tiny_recipe({"train.norm_clips": "4"})
    environment = json.loads((run / "environment.json").read_text())
    assert {"vov3d", "commit", "python", "torch", "packages", "command", "started", "cores"} <= set(environment)
    assert environment["device"] == "cpu"


def test_the_log_has_a_row_for_each_epoch(run: Path) -> None:
    rows = read_rows(run / "log.csv")
    assert list(rows[0]) == [
        *("epoch", "step", "lr", "train_loss", "train_top1", "val_loss", "val_top1", "val_top5"),
        *("clips_per_second", "seconds", "quarantined", "val_map"),
    ]
    assert [(row["epoch"], row["step"]) for row in rows] == [("1", "3"), ("2", "6")]
    assert all(0 <= float(row["val_top1"]) <= float(row["val_top5"]) == 1 for row in rows)
    assert all(float(row["seconds"]) > 0 and float(row["clips_per_second"]) > 0 for row in rows)
    assert float(rows[0]["lr"]) > float(rows[1]["lr"]) > 0


@pytest.mark.parametrize("name", ["last", "best"])
def test_a_checkpoint_says_all_that_is_needed_to_use_it(run: Path, name: str) -> None:
    described = read_checkpoint(run / f"{name}.safetensors").description
    assert described["model"] == "vov3d_m"
    assert described["num_classes"] == len(LABELS)
    assert described["labels"] == sorted(LABELS)
    assert described["recipe"] == to_mapping(tiny_recipe({"train.norm_clips": "4"}))


def test_validation_in_the_log_is_that_of_the_checkpoint(run: Path, videos: Path) -> None:
    last = read_rows(run / "log.csv")[-1]
    found = evaluate(run / "last.safetensors", videos, clips=1, crops=1, device="cpu", workers=0).metrics
    assert found.loss == pytest.approx(float(last["val_loss"]), rel=1e-4)
    assert found.top1 == pytest.approx(float(last["val_top1"]), rel=1e-4)


def test_the_checkpoint_has_the_precise_statistics_of_as_many_batches_as_the_recipe_says(run: Path) -> None:
    assert tiny_recipe().train.precise_bn_batches == 2
    for name in ("last", "best"):
        assert weights_of(run / f"{name}.safetensors")["stem.norm.num_batches_tracked"] == 2


@pytest.mark.usefixtures("small")
def test_validation_comes_as_often_as_the_recipe_says_and_at_the_end(videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = train_here(videos, out, {"train.epochs": "3", "train.evaluate_every_epochs": "2"})
    assert [bool(row["val_loss"]) for row in log_of(out)] == [False, True, True]
    assert result.epochs == 3
    assert result.checkpoint == out / "last.safetensors"
    assert result.best_top1 == pytest.approx(max(float(row["val_top1"]) for row in log_of(out)[1:]), abs=1e-5)
    assert result.last_top1 == pytest.approx(float(log_of(out)[-1]["val_top1"]), abs=1e-5)


@pytest.mark.usefixtures("small")
def test_a_recipe_may_be_a_file(videos: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(to_yaml(tiny_recipe({"train.epochs": "1"})))
    assert train(file, videos, tmp_path / "run", device="cpu", workers=0, quiet=True).epochs == 1


# ---- learning --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small")
def test_it_learns_what_is_easy(videos: Path, tmp_path: Path) -> None:
    settings = {"train.epochs": "8", "train.evaluate_every_epochs": "8", "optim.lr": "0.05", "model.dropout": "0.0"}
    result = train_here(videos, tmp_path / "run", settings)
    losses = [float(row["train_loss"]) for row in log_of(tmp_path / "run")]
    assert losses[-1] < 0.5 * losses[0]
    assert result.last_top1 is not None and result.last_top1 >= 5 / 6


@pytest.mark.usefixtures("small")
def test_a_set_smaller_than_the_batch_makes_one_step_of_it_and_is_told(
    videos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="vov3d"):
        train_here(videos, tmp_path / "run", {"train.batch_size": "64", "train.accumulate": "8", "train.epochs": "1"})
    assert [row["step"] for row in log_of(tmp_path / "run")] == ["1"]
    assert (
        "batch 12 (all there are, of 64) = 1 processes x 8 parts x up to 2 clips, batch norm over 2 clips"
        in caplog.text
    )
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == [
        "train.batch_size 64 is more than the 12 clips that there are: each step takes these, with the recipe's "
        "learning rate 0.025 as it is; --batch-size 12 --scale-lr linear scales it"
    ]


@pytest.mark.usefixtures("small")
def test_learning_rates_are_not_scaled_to_clips_that_there_are_not(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(to_yaml(tiny_recipe({"train.epochs": "1"})))
    words = ["train", str(file), "--data", str(videos), "--device=cpu", "--workers=0", "--scale-lr=linear"]
    assert main([*words, "--out", str(tmp_path / "wrong"), "--train.batch_size", "5000"]) == 2
    assert capsys.readouterr().err == (
        "vov3d: train.batch_size 5000 is more than the 12 clips of 12 training videos, and learning rates are scaled "
        "to it; give --batch-size 12 or less, or leave --scale-lr out\n"
    )
    assert not (tmp_path / "wrong").exists()
    assert main([*words, "--out", str(tmp_path / "run"), "--batch-size", "12"]) == 0
    said = capsys.readouterr().err
    assert "batch 12 = 1 processes x 1 parts x 12 clips, batch norm over 12 clips, learning rate 0.075 at" in said
    twice = ["--batch-size", "24", "--train.repeats", "2"]
    assert main([*words, "--out", str(tmp_path / "repeated"), *twice]) == 0


def test_accumulated_parts_make_the_gradient_of_the_whole_batch(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MODELS, "vov3d_m", FrozenNorms)  # type: ignore[arg-type]
    settings = {"train.epochs": "1", "train.precise_bn_batches": "0", "model.dropout": "0"}
    train_here(videos, tmp_path / "whole", settings)
    train_here(videos, tmp_path / "parts", {**settings, "train.accumulate": "2"})
    whole, parts = (weights_of(tmp_path / name / "last.safetensors") for name in ("whole", "parts"))
    begun = FrozenNorms(3).state_dict()
    assert any((whole[name] - begun[name]).abs().max() > 1e-3 for name in whole if name.endswith("norm.bias"))
    for name in whole:
        torch.testing.assert_close(parts[name], whole[name], rtol=1e-4, atol=1e-6)
    assert log_of(tmp_path / "parts")[0]["train_loss"] == log_of(tmp_path / "whole")[0]["train_loss"]


@pytest.mark.usefixtures("small")
def test_lower_precisions_train(videos: Path, tmp_path: Path) -> None:
    losses = {}
    for precision in ("float32", "bf16", "fp16"):
        train_here(videos, tmp_path / precision, {"train.epochs": "1", "train.precision": precision})
        losses[precision] = float(log_of(tmp_path / precision)[0]["train_loss"])
        tensors = weights_of(tmp_path / precision / "last.safetensors")
        assert {tensor.dtype for tensor in tensors.values()} == {torch.float32, torch.int64}
    assert len(set(losses.values())) == 3
    assert list(losses.values()) == pytest.approx([losses["float32"]] * 3, rel=0.1)


@pytest.mark.usefixtures("small")
def test_a_loss_that_is_no_number_ends_the_training_in_one_line(videos: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"^epoch \d, step \d: the loss is (nan|inf).*--optim.lr") as caught:
        train_here(videos, tmp_path / "run", {"optim.lr": "1e30", "train.epochs": "3"})
    assert "\n" not in str(caught.value)


def test_training_starts_from_weights_of_images(videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    depths = (1, 1, 1, 1)
    monkeypatch.setitem(MODELS, "tsm_r50", lambda **arguments: TSM(depths, **arguments))  # type: ignore[arg-type]
    images = TSN(depths, num_classes=10).state_dict()
    names = IMAGE_RESNET.names(TSN(depths, num_classes=10))
    torch.save({theirs: images[ours] for ours, theirs in names.items()}, tmp_path / "r50.pth")
    flags = [f"--{key}={value}" for key, value in SETTINGS.items() if key != "optim.lr"]
    start = ["--model.name=tsm_r50", f"--model.backbone_init={tmp_path / 'r50.pth'}", "--optim.lr=1e-12"]
    where = ["--data", str(videos), "--out", str(tmp_path / "run"), "--device=cpu", "--workers=0", "--quiet"]
    assert main(["train", "folder/vov3d_m_8", *where, *flags, *start]) == 0
    after = weights_of(tmp_path / "run" / "last.safetensors")
    kernels = [name for name, tensor in images.items() if tensor.dim() == 5]
    assert len(kernels) == 1 + 4 * 4
    for name in kernels:
        torch.testing.assert_close(after[name], images[name], rtol=0, atol=1e-8)
    assert load_trained(tmp_path / "run" / "last.safetensors").recipe.model.backbone_init == str(tmp_path / "r50.pth")


def test_training_starts_from_a_checkpoint(run: Path, videos: Path, tmp_path: Path) -> None:
    start = run / "last.safetensors"
    settings = {"model.init": str(start), "optim.lr": "1e-12", "train.epochs": "1", "train.precise_bn_batches": "0"}
    train_here(videos, tmp_path / "tuned", settings)
    before, after = weights_of(start), weights_of(tmp_path / "tuned" / "last.safetensors")
    for name in before:
        if "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(after[name], before[name], rtol=0, atol=1e-8)
    with pytest.raises(CheckpointError, match="is not a file"):
        train_here(videos, tmp_path / "nowhere", {"model.init": str(tmp_path / "absent.safetensors")})
    assert not (tmp_path / "nowhere").exists()


@pytest.fixture(autouse=True)
def _ctrl_c_is_heard() -> Iterator[None]:
    """As it is for a person, and not for what a shell starts in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


# ---- interrupted and resumed -----------------------------------------------------------------------------------------

LONGER = {"train.epochs": "3", "train.label_smoothing": "0.1"}  # dropout is 0.5, and 2 batches of precise norm


@pytest.fixture(scope="module")
def spoilt(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set with one training video that cannot be decoded; read only."""
    root = tmp_path_factory.mktemp("spoilt")
    for video in sorted(videos.rglob("*.mp4")):
        link = root / video.relative_to(videos)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.write_bytes(video.read_bytes())
    break_video(root / "train" / "light" / "1.mp4")
    return root


@pytest.fixture(scope="module")
def whole(spoilt: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nothing interrupted."""
    out = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "vov3d_m", small_network)  # type: ignore[arg-type]
        train_here(spoilt, out, LONGER)
    return out


def interrupting(place: tuple[int, int]) -> Callable[..., None]:
    """A progress bar's `advance` in which the user interrupts, after this epoch and step, both counted from 0."""

    def advance(self: TrainingProgress, epoch: int, step: int, *, loss: float, clips_per_second: float) -> None:
        if (epoch, step) == place:
            os.kill(os.getpid(), signal.SIGINT)

    return advance


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("place", "stands", "workers"),
    [
        pytest.param((0, 0), (0, 2), 0, id="after the first step"),
        pytest.param((1, 0), (1, 2), 1, id="within an epoch, one worker"),
        pytest.param((1, 1), (1, 3), 0, id="in the last step of an epoch"),
        pytest.param((1, 2), (1, 3), 0, id="between the last step of an epoch and its validation"),
    ],
)
def test_a_run_that_was_interrupted_is_the_run_that_was_not(
    spoilt: Path,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: tuple[int, int],
    stands: tuple[int, int],
    workers: int,
) -> None:
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(TrainingProgress, "advance", interrupting(place))
        with pytest.raises(KeyboardInterrupt):
            train_here(spoilt, out, LONGER, workers=workers)
    assert RunFolder(out).states.load().position == Position(*stands)
    result = train_here(spoilt, out, LONGER, workers=workers, resume=True)
    assert_same_run(out, whole)
    assert result.quarantined == 1
    assert read_rows(out / "quarantine.csv") == read_rows(whole / "quarantine.csv")


@pytest.mark.usefixtures("small")
def test_other_optimisers_and_the_loss_scale_go_on_too(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"optim.name": "adamw", "optim.lr": "0.002", "train.precision": "fp16", "train.epochs": "1"}
    train_here(videos, tmp_path / "whole", settings)
    with monkeypatch.context() as patch:
        patch.setattr(TrainingProgress, "advance", interrupting((0, 1)))
        with pytest.raises(KeyboardInterrupt):
            train_here(videos, tmp_path / "run", settings)
    train_here(videos, tmp_path / "run", settings, resume=True)
    assert_same_run(tmp_path / "run", tmp_path / "whole")
    states = [RunFolder(tmp_path / name).states.load() for name in ("run", "whole")]
    assert states[0].loss_scale == states[1].loss_scale
    assert states[0].loss_scale["_growth_tracker"] == 3


OPTIONS = {
    "train.mixup": "0.8",
    "train.cutmix": "1",
    "train.ema_decay": "0.9",
    "train.freeze": "stem,stages.0",
    "train.repeats": "2",
    "train.gradient_checkpointing": "true",
    "train.norm_clips": "2",
    "train.stills": "0.5",
    "clip.colour_jitter": "0.4",
    "optim.clip_grad_norm": "1",
    "optim.warmup_steps": "3",
    "model.stochastic_depth": "0.3",
}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("place", "stands"), [((1, 1), (1, 3)), ((1, 5), (1, 6))], ids=["a step", "the test"])
def test_every_option_trains_and_goes_on_too(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: tuple[int, int], stands: tuple[int, int]
) -> None:
    """Interrupted within an epoch, and between its last step and its precise norm and test."""
    train_here(videos, tmp_path / "whole", OPTIONS)
    with monkeypatch.context() as patch:
        patch.setattr(TrainingProgress, "advance", interrupting(place))
        with pytest.raises(KeyboardInterrupt):
            train_here(videos, tmp_path / "run", OPTIONS)
    assert RunFolder(tmp_path / "run").states.load().position == Position(*stands)
    train_here(videos, tmp_path / "run", OPTIONS, resume=True)
    assert_same_run(tmp_path / "run", tmp_path / "whole")
    rows = log_of(tmp_path / "whole")
    assert [row["step"] for row in rows] == ["6", "12"]  # two clips of each of 12 videos, four clips a step
    ended = weights_of(tmp_path / "whole" / "last.safetensors")
    torch.manual_seed(0)
    begun = small_network(3).state_dict()
    frozen = [name for name in begun if name.startswith(("stem", "stages.0"))]
    assert [name for name in frozen if not torch.equal(begun[name], ended[name])] == []
    state = RunFolder(tmp_path / "whole").states.load()  # what is kept is the average, and not the network itself
    name = "head.classifier.weight"
    assert torch.equal(state.average[f"module.{name}"], ended[name])
    assert not torch.equal(state.model[name], ended[name])


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    "option",
    [
        *({name: value} for name, value in OPTIONS.items() if name != "train.gradient_checkpointing"),
        {"train.loss": "sigmoid"},
    ],
    ids=lambda option: next(iter(option)),
)
def test_each_option_changes_the_run(videos: Path, tmp_path: Path, option: dict[str, str]) -> None:
    one_epoch = {"train.epochs": "1", "train.precise_bn_batches": "0", "optim.warmup_epochs": "0.5"}
    for name, settings in (("with", option), ("without", {})):
        train_here(videos, tmp_path / name, {**one_epoch, **settings})
    ours, theirs = (weights_of(tmp_path / name / "last.safetensors") for name in ("with", "without"))
    assert [name for name in theirs if not torch.equal(ours[name], theirs[name])]


@pytest.mark.usefixtures("small")
def test_an_interruption_at_the_border_of_two_epochs_takes_nothing_away(
    spoilt: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def epoch(self: TrainingProgress, row: object) -> None:
        seen.append(row)
        if len(seen) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    seen: list[object] = []
    with monkeypatch.context() as patch:
        patch.setattr(TrainingProgress, "epoch", epoch)
        with pytest.raises(KeyboardInterrupt):
            train_here(spoilt, tmp_path / "run", LONGER)
    train_here(spoilt, tmp_path / "run", LONGER, resume=True)
    assert_same_run(tmp_path / "run", whole)


@pytest.mark.skipif(sys.platform == "win32", reason="no signals to oneself there")
def test_ctrl_c_in_the_midst_of_a_step_waits_for_its_end(
    spoilt: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGINT)
    ctrl_c = calling_back(5, lambda: os.kill(os.getpid(), signal.SIGINT))
    with monkeypatch.context() as patch:
        patch.setitem(MODELS, "vov3d_m", ctrl_c)  # type: ignore[arg-type]
        with pytest.raises(KeyboardInterrupt):
            train_here(spoilt, tmp_path / "run", LONGER)
        assert signal.getsignal(signal.SIGINT) is before
        assert RunFolder(tmp_path / "run").states.load().position == Position(1, 3)
        patch.setitem(MODELS, "vov3d_m", small_network)  # type: ignore[arg-type]
        train_here(spoilt, tmp_path / "run", LONGER, resume=True)
    assert_same_run(tmp_path / "run", whole)


@pytest.mark.skipif(sys.platform == "win32", reason="no signals to oneself there")
def test_a_second_ctrl_c_does_not_wait_and_saves_no_half_step(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def twice() -> None:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setitem(MODELS, "vov3d_m", calling_back(2, twice))  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        train_here(videos, tmp_path / "run")
    assert not RunFolder(tmp_path / "run").states.files()


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from tests.test_train import LONGER, train_here
from tests.tiny import calling_back
from vov3d.models import MODELS

torch.set_num_threads(1)
MODELS["vov3d_m"] = calling_back(8, lambda: os.kill(os.getpid(), signal.SIGKILL))
train_here(Path(sys.argv[1]), Path(sys.argv[2]), LONGER)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
@pytest.mark.usefixtures("small")
def test_a_run_that_was_killed_goes_on_from_its_last_checkpoint(spoilt: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, spoilt, out],
        cwd=Path(__file__).parents[1],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert [row["epoch"] for row in read_rows(out / "log.csv")] == ["1", "2"]
    assert not list(out.glob("**/.*"))
    train_here(spoilt, out, LONGER, resume=True)
    assert_same_run(out, whole)


@pytest.mark.usefixtures("small")
def test_a_finished_run_that_is_resumed_stays_as_it_is(spoilt: Path, whole: Path) -> None:
    before = {file.name: file.read_bytes() for file in whole.glob("**/*.safetensors")}
    result = train_here(spoilt, whole, LONGER, resume=True)
    assert {file.name: file.read_bytes() for file in whole.glob("**/*.safetensors")} == before
    assert result.last_top1 == pytest.approx(float(log_of(whole)[-1]["val_top1"]), abs=1e-5)


def test_a_folder_with_a_run_is_not_overwritten(run: Path, videos: Path) -> None:
    before = {file.name: file.stat().st_mtime_ns for file in run.iterdir()}
    with pytest.raises(RunFolderError, match=r"already holds a run; add --resume to go on, or give another --out"):
        train_here(videos, run)
    assert {file.name: file.stat().st_mtime_ns for file in run.iterdir()} == before


def test_there_must_be_something_to_resume(videos: Path, tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"nothing to resume in .*it has no resume/\*\.safetensors"):
        train_here(videos, tmp_path / "run", resume=True)
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("small")
def test_a_run_goes_on_with_its_own_recipe_and_data_alone(whole: Path, spoilt: Path, own_videos: Path) -> None:
    before = {file.name: file.read_bytes() for file in whole.rglob("*") if file.is_file()}
    with pytest.raises(RunFolderError, match=r"begun with another recipe: optim.lr \S+, now 0.02. Leave out what"):
        train_here(spoilt, whole, {**LONGER, "optim.lr": "0.02"}, resume=True)
    dark, moving = own_videos / "train" / "dark", own_videos / "train" / "moving"
    (dark / "0.mp4").rename(moving / "4.mp4")
    with pytest.raises(RunFolderError, match="begun with other training videos than the 12 in 3 classes"):
        train_here(own_videos, whole, LONGER, resume=True)
    (moving / "4.mp4").unlink()
    with pytest.raises(RunFolderError, match="begun with other training videos than the 11 in 3 classes"):
        train_here(own_videos, whole, LONGER, resume=True)
    assert {file.name: file.read_bytes() for file in whole.rglob("*") if file.is_file()} == before


@pytest.mark.usefixtures("small")
def test_a_run_goes_on_with_its_own_validation_videos_alone(
    whole: Path, spoilt: Path, own_videos: Path, tmp_path: Path
) -> None:
    before = {file.name: file.read_bytes() for file in whole.rglob("*") if file.is_file()}
    break_video(own_videos / "train" / "light" / "1.mp4")
    (own_videos / "val" / "dark" / "0.mp4").rename(own_videos / "val" / "dark" / "9.mp4")
    with pytest.raises(RunFolderError, match=r"begun with other validation videos than the 6 in 3 classes of "):
        train_here(own_videos, whole, LONGER, resume=True)
    (own_videos / "val" / "dark" / "9.mp4").rename(own_videos / "val" / "light" / "0.mp4")
    with pytest.raises(RunFolderError, match="begun with other validation videos than the 5 in 3 classes of"):
        train_here(own_videos, whole, LONGER, resume="auto")
    assert {file.name: file.read_bytes() for file in whole.rglob("*") if file.is_file()} == before


@pytest.mark.usefixtures("small")
def test_a_run_goes_on_with_its_own_kind_of_copies_alone(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def go_on(out: str, cache: Path | None) -> None:
        recipe = tiny_recipe({"train.epochs": "1"})
        train(recipe, videos, tmp_path / out, device="cpu", workers=0, cache=cache, resume="auto", quiet=True)

    def refused(out: str, cache: Path | None, told: str) -> None:
        with pytest.raises(RunFolderError, match=told) as caught:
            go_on(out, cache)
        assert "\n" not in str(caught.value)

    go_on("plain", None)
    go_on("cached", tmp_path / "copies")
    plain, cached = (weights_of(tmp_path / out / "last.safetensors") for out in ("plain", "cached"))
    assert [name for name in plain if not torch.equal(plain[name], cached[name])]
    refused("plain", tmp_path / "copies", r"plain' was begun without --cache, .*; leave it out$")
    refused("cached", None, r"cached' was begun with --cache, .*; give it, any folder will do$")
    go_on("cached", tmp_path / "other")
    go_on("plain", None)
    monkeypatch.setattr("vov3d.data.cache.ENCODER", {"preset": "ultrafast"})
    refused(
        "cached", tmp_path / "copies", r"begun with other copies \(.*veryfast.*\) than .*ultrafast\); give a new --out$"
    )
    go_on("plain", None)


def test_other_ways_to_read_the_same_videos_are_other_data(videos: Path, tmp_path: Path) -> None:
    index = read_index(videos)
    assert fingerprint(index) == fingerprint(read_index(videos)) == fingerprint(replace(index, root=tmp_path))
    for change in ({"flip": "none"}, {"frame_fps": 12.0}, {"multi_label": True}, {"labels": index.labels[::-1]}):
        other = fingerprint(replace(index, **change))
        assert [what for what, digest in fingerprint(index).items() if other[what] != digest] == [TRAIN, VAL]


@pytest.mark.skipif(sys.platform == "win32", reason="no signals to oneself there")
def test_a_request_to_end_saves_and_has_a_code_of_its_own(
    spoilt: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a cluster sends it before it takes a machine away."""
    out, file = tmp_path / "run", tmp_path / "recipe.yaml"
    file.write_text(to_yaml(tiny_recipe(LONGER)))
    words = [
        "train",
        str(file),
        "--data",
        str(spoilt),
        "--out",
        str(out),
        "--workers",
        "0",
        "--resume",
        "auto",
        "--quiet",
    ]
    with monkeypatch.context() as patch:
        end = calling_back(5, lambda: os.kill(os.getpid(), signal.SIGTERM))
        patch.setitem(MODELS, "vov3d_m", end)  # type: ignore[arg-type]
        assert main(words) == 143
    assert capsys.readouterr().err.splitlines()[-1] == "vov3d: terminated"
    monkeypatch.setitem(MODELS, "vov3d_m", small_network)  # type: ignore[arg-type]
    assert RunFolder(out).states.load().position == Position(1, 3)
    assert main(words) == 0
    assert_same_run(out, whole)


@pytest.mark.usefixtures("small")
def test_a_state_is_saved_as_often_as_it_is_asked_for(spoilt: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    train_here(spoilt, out, {**LONGER, "train.evaluate_every_epochs": "9"}, safety=Safety(save_minutes=0, keep=99))
    positions = [(epoch, step) for epoch in range(3) for step in range(1, 4)] + [(1, 0), (2, 0), (3, 0)]
    names = [f"epoch-{epoch:06d}-step-{step:06d}.safetensors" for epoch, step in sorted(positions, reverse=True)]
    assert [file.name for file in RunFolder(out).states.files()] == names


@pytest.mark.usefixtures("small")
def test_a_run_goes_on_from_the_state_before_a_damaged_one(
    spoilt: Path, whole: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = Path(shutil.copytree(whole, tmp_path / "run"))
    for file, keep in zip(RunFolder(out).states.files(), (0, 1000, None), strict=True):
        if keep is not None:
            file.write_bytes(file.read_bytes()[:keep])
    train_here(spoilt, out, LONGER, resume="auto")
    assert sum(message.startswith("passed over: ") for message in caplog.messages) == 2
    assert_same_run(out, whole)


@pytest.mark.skipif(sys.platform == "win32", reason="no limit to the size of files there")
@pytest.mark.usefixtures("small")
def test_a_disk_that_takes_no_more_leaves_the_last_good_state(
    spoilt: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import resource

    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        limit = lambda *_: resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, usual[1]))  # noqa: E731
        patch.setitem(MODELS, "vov3d_m", calling_back(5, limit))  # type: ignore[arg-type]
        try:
            with pytest.raises(OSError, match=r"(?i)file too large") as told:
                train_here(spoilt, out, LONGER)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert str(out / "resume") in str(told.value.filename)
    assert RunFolder(out).states.load().position == Position(1, 0)
    assert not list(out.rglob(".*"))
    train_here(spoilt, out, LONGER, resume=True)
    assert_same_run(out, whole)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
@pytest.mark.usefixtures("small")
def test_a_dead_decoding_process_ends_the_run_in_one_line(
    spoilt: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def advance(self: TrainingProgress, epoch: int, step: int, *, loss: float, clips_per_second: float) -> None:
        if (epoch, step) == (1, 0):
            for child in multiprocessing.active_children():
                os.kill(child.pid, signal.SIGKILL)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(TrainingProgress, "advance", advance)
        with pytest.raises(TrainingError, match=r"a process that decodes videos is gone .*--resume") as told:
            train_here(spoilt, tmp_path / "run", LONGER, workers=1)
    assert "\n" not in str(told.value)
    train_here(spoilt, tmp_path / "run", LONGER, workers=1, resume=True)
    assert_same_run(tmp_path / "run", whole)


@pytest.mark.usefixtures("small")
def test_weights_that_are_no_numbers_are_never_saved(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last step of an epoch spoils them, before any loss shows it."""

    def advance(self: TrainingProgress, epoch: int, step: int, *, loss: float, clips_per_second: float) -> None:
        if (epoch, step) == (1, 2):
            with torch.no_grad():
                models[0].stem.spatial.weight[0] = float("nan")

    def building(num_classes: int = 400, dropout: float = 0.5, stochastic_depth: float = 0.0) -> VoV3D:
        models.append(small_network(num_classes, dropout))
        return models[-1]

    models: list[VoV3D] = []
    monkeypatch.setitem(MODELS, "vov3d_m", building)  # type: ignore[arg-type]
    monkeypatch.setattr(TrainingProgress, "advance", advance)
    settings = {"train.epochs": "3", "train.evaluate_every_epochs": "9"}
    with pytest.raises(TrainingError, match=r"tensors of the network are no longer finite, first stem.spatial.weight"):
        train_here(videos, tmp_path / "run", settings)
    assert RunFolder(tmp_path / "run").states.load().position == Position(1, 0)
    for name in ("last", "best"):
        if (tmp_path / "run" / f"{name}.safetensors").exists():
            assert all(
                tensor.isfinite().all() for tensor in weights_of(tmp_path / "run" / f"{name}.safetensors").values()
            )


# ---- videos that cannot be decoded -----------------------------------------------------------------------------------


def test_a_broken_video_is_counted_and_named(whole: Path, spoilt: Path) -> None:
    assert [row["quarantined"] for row in log_of(whole)] == ["1", "1", "1"]
    rows = read_rows(whole / "quarantine.csv")
    assert [row["path"] for row in rows] == [str(spoilt / "train" / "light" / "1.mp4")]
    assert rows[0]["reason"]


@pytest.mark.usefixtures("small")
def test_a_batch_of_nothing_but_broken_videos_is_passed_over(own_videos: Path, tmp_path: Path) -> None:
    for label in LABELS:
        for number in (0, 1, 2):
            break_video(own_videos / "train" / label / f"{number}.mp4")
    settings = {"train.epochs": "1", "train.batch_size": "1", "clip.crop": "36", "clip.short_side": "36,36"}
    result = train_here(own_videos, tmp_path / "run", settings, safety=Safety(max_broken=0.75))
    assert result.quarantined == 9
    assert log_of(tmp_path / "run")[0]["step"] == "12"
    assert len(read_rows(tmp_path / "run" / "quarantine.csv")) == 9


@pytest.mark.usefixtures("small")
def test_a_set_of_nothing_but_broken_videos_is_an_error_of_one_line(own_videos: Path, tmp_path: Path) -> None:
    for video in (own_videos / "train").rglob("*.mp4"):
        break_video(video)
    with pytest.raises(DataError, match="none of the 12 training videos can be decoded; the first: ") as caught:
        train_here(own_videos, tmp_path / "run", safety=Safety(max_broken=1))
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "run").rglob("*.safetensors"))


@pytest.mark.usefixtures("small")
def test_too_many_broken_videos_stop_the_run_in_one_line(own_videos: Path, tmp_path: Path) -> None:
    for number in (0, 1):
        break_video(own_videos / "train" / "dark" / f"{number}.mp4")
    told = r"^2 of 12 training videos cannot be decoded, more than the 0.01 that --max-broken allows; the first: .*dark"
    with pytest.raises(DataError, match=told) as caught:
        train_here(own_videos, tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert len(read_rows(tmp_path / "run" / "quarantine.csv")) == 2
    with pytest.raises(DataError, match="1 of 12 training videos cannot be decoded, more than the 0 that"):
        train_here(own_videos, tmp_path / "strict", safety=Safety(max_broken=0))


@pytest.mark.usefixtures("small")
def test_a_data_folder_that_vanishes_stops_the_run(own_videos: Path, tmp_path: Path) -> None:
    """What was trained before stays, and with the folder back the run is the one that was never disturbed."""
    train_here(own_videos, tmp_path / "whole", {"train.epochs": "3"})
    with pytest.MonkeyPatch.context() as patch:
        vanish = calling_back(5, lambda: (own_videos / "train").rename(own_videos / "away"))
        patch.setitem(MODELS, "vov3d_m", vanish)  # type: ignore[arg-type]
        with pytest.raises(DataError, match=r"of 12 training videos cannot be decoded.*No such file"):
            train_here(own_videos, tmp_path / "run", {"train.epochs": "3"})
    assert RunFolder(tmp_path / "run").states.load().position == Position(1, 0)
    (own_videos / "away").rename(own_videos / "train")
    train_here(own_videos, tmp_path / "run", {"train.epochs": "3"}, resume=True)
    assert_same_run(tmp_path / "run", tmp_path / "whole")


def vanishing(number: int, folder: Path) -> Callable[..., VoV3D]:
    """The small network; in its training pass of this number a folder is moved away."""
    return calling_back(number, lambda: folder.rename(folder.with_name("away")))


def test_validation_videos_that_vanish_stop_the_run(
    own_videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With them back the run goes on as if nothing had been, and no video is listed any more."""
    file, out = tmp_path / "recipe.yaml", tmp_path / "run"
    file.write_text(to_yaml(tiny_recipe()))
    words = ["train", str(file), "--data", str(own_videos), "--out", str(out), "--device=cpu", "--workers=0", "--quiet"]
    with monkeypatch.context() as patch:
        patch.setitem(MODELS, "vov3d_m", vanishing(5, own_videos / "val"))  # type: ignore[arg-type]
        assert main(words) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("vov3d: 6 of 6 validation videos cannot be decoded, more than the 0.01 that --max-broken")
    assert len(read_rows(out / "quarantine.csv")) == 6
    assert RunFolder(out).states.load().position == Position(1, 3)
    (own_videos / "away").rename(own_videos / "val")
    monkeypatch.setitem(MODELS, "vov3d_m", small_network)  # type: ignore[arg-type]
    assert main([*words, "--resume"]) == 0
    assert not (out / "quarantine.csv").exists()
    train_here(own_videos, tmp_path / "whole")
    assert_same_run(out, tmp_path / "whole")


@pytest.mark.parametrize("number", [2, 5])
def test_no_video_that_is_back_stays_in_quarantine(
    own_videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The run goes on after the second epoch, or begins anew after the first."""
    with monkeypatch.context() as patch:
        patch.setitem(MODELS, "vov3d_m", vanishing(number, own_videos / "train"))  # type: ignore[arg-type]
        with pytest.raises(DataError, match="training videos cannot be decoded"):
            train_here(own_videos, tmp_path / "run")
    assert len(read_rows(tmp_path / "run" / "quarantine.csv")) > 1
    assert bool(RunFolder(tmp_path / "run").states.files()) is (number == 5)
    (own_videos / "away").rename(own_videos / "train")
    monkeypatch.setitem(MODELS, "vov3d_m", small_network)  # type: ignore[arg-type]
    assert train_here(own_videos, tmp_path / "run", resume="auto").quarantined == 0
    assert not (tmp_path / "run" / "quarantine.csv").exists()


@pytest.mark.usefixtures("small")
def test_validation_goes_on_without_its_broken_videos(
    own_videos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each is told once, not in every epoch; the limit is that of the validation videos by themselves."""
    broken = [break_video(own_videos / split / "dark" / "0.mp4") for split in ("train", "val")]
    result = train_here(own_videos, tmp_path / "some")
    for path in broken:
        assert caplog.text.count(f"quarantined: {path}: ") == 1
    assert [row["quarantined"] for row in log_of(tmp_path / "some")] == ["2", "2"]
    assert all(row["val_top1"] for row in log_of(tmp_path / "some"))
    assert [row["path"] for row in read_rows(tmp_path / "some" / "quarantine.csv")] == list(map(str, broken))
    assert result.quarantined == 2
    assert train_here(own_videos, tmp_path / "some", resume=True).quarantined == 2
    for video in (own_videos / "val").rglob("*.mp4"):
        break_video(video)
    result = train_here(own_videos, tmp_path / "none", {"train.epochs": "1"}, safety=Safety(max_broken=1))
    assert log_of(tmp_path / "none")[0]["val_top1"] == ""
    assert (result.best_top1, result.last_top1) == (None, None)
    assert (tmp_path / "none" / "last.safetensors").is_file()


# ---- the same everywhere ---------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small")
def test_the_seed_decides_and_nothing_else(videos: Path, tmp_path: Path) -> None:
    for name, seed in {"one": "0", "again": "0", "other": "1"}.items():
        torch.manual_seed(len(name))  # what was drawn before does not matter
        train_here(videos, tmp_path / name, {"train.epochs": "1", "train.seed": seed})
    assert_same_run(tmp_path / "again", tmp_path / "one")
    one, other = (weights_of(tmp_path / name / "last.safetensors") for name in ("one", "other"))
    assert not torch.equal(one["stem.spatial.weight"], other["stem.spatial.weight"])
    assert log_of(tmp_path / "one")[0]["train_loss"] != log_of(tmp_path / "other")[0]["train_loss"]


def test_a_recipe_that_fine_tunes_does_not_train_from_scratch(videos: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="starts from k400 weights"):
        train("ssv1/vov3d_m_16_k400", videos, tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()
