"""Two processes do what one does, and the first alone writes."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.tiny import FrozenNorms, break_video, read_rows, small_network, tiny_recipe, write_filled
from vov3d.checkpoint import read_checkpoint
from vov3d.data.sampler import SeekableSampler
from vov3d.data.sources import read_index
from vov3d.distributed import ProcessGroup, process_group, resolve_device
from vov3d.errors import ArgumentError, RunFolderError
from vov3d.evaluate import evaluate
from vov3d.models import MODELS
from vov3d.recipe import load_recipe
from vov3d.tempo import tempo
from vov3d.train import Safety, train

FROZEN = {"clip.crop": "48", "clip.short_side": "48,48", "train.epochs": "1", "train.accumulate": "2"}
FROZEN |= {"model.dropout": "0", "train.precise_bn_batches": "0", "test.crop": "48"}
"""Frozen norms and no dropout: nothing but the clips counts. At 48 pixels no feature map is a single cell."""
TRAILED = {"train.epochs": "1", "train.precise_bn_batches": "0"}
PRECISE = {"train.epochs": "2", "train.precise_bn_batches": "2"}
EXACT = {"train.precision": "float64", "clip.crop": "48", "clip.short_side": "48,48", "test.crop": "48"}
EXACT |= {"model.dropout": "0", "train.epochs": "2", "train.evaluate_every_epochs": "2", "optim.lr": "0.05"}
NORMS = {"frozen": "null", "of two processes": "4", "of one process": "2"}
"""Six steps of four clips; what batch norm goes over, and its ``train.norm_clips``."""
HALVES = {"whole batches": EXACT, "few clips": {**EXACT, "train.batch_size": "16"}}
"""Settings without ``train.norm_clips``: as two processes begin, it is 2, and 8 of which there are 6."""
PACES = {"strides": (1, 3), "speeds": (2.0,), "orders": ("reversed", "shuffled"), "crops": 1}

TWO = """
import os, signal, sys
from pathlib import Path
import torch
from tests.test_distributed import EXACT, FROZEN, HALVES, NORMS, PACES, PRECISE, TRAILED
from tests.test_train import interrupting
from tests.tiny import FrozenNorms, small_network, tiny_recipe
from vov3d.errors import TrainingError
from vov3d.evaluate import evaluate
from vov3d.models import MODELS
from vov3d.progress import TrainingProgress
from vov3d.tempo import tempo
from vov3d.train import Safety, train

torch.set_num_threads(1)
signal.signal(signal.SIGINT, signal.default_int_handler)  # as it is for a person
spoilt, videos, one_video, checkpoint, dense, out = map(Path, sys.argv[1:])
out = out / f"rank {os.environ['RANK']}"
here = {"device": "cpu", "workers": 0}
MODELS["vov3d_m"] = FrozenNorms
some = Safety(max_broken=0.5)
train(tiny_recipe(FROZEN), spoilt, out / "frozen", safety=some, quiet=True, **here)
for name, clips in NORMS.items():
    MODELS["vov3d_m"] = FrozenNorms if name == "frozen" else small_network
    recipe = tiny_recipe({**EXACT, "train.norm_clips": clips})
    train(recipe, spoilt if name == "frozen" else videos, out / "exact" / name, safety=some, quiet=True, **here)
MODELS["vov3d_m"] = small_network
train(tiny_recipe(TRAILED), videos, out / "trailed", quiet=True, **here)
train(tiny_recipe(PRECISE), videos, out / "precise", quiet=True, **here)
try:
    train(tiny_recipe({"optim.lr": "1e30"}), videos, out / "diverged", quiet=True, **here)
except TrainingError as error:
    (out.parent / f"diverged {os.environ['RANK']}.txt").write_text(str(error))
for name, data in (("some", spoilt), ("one", one_video)):
    found = evaluate(checkpoint, data, out=out / name, allow_missing=True, **here)
    (out.parent / f"{name} {os.environ['RANK']}.txt").write_text(repr(found.metrics.confusion))
found = tempo([checkpoint, dense], spoilt, out=out / "tempo", allow_missing=True, **PACES, **here)
(out.parent / f"tempo {os.environ['RANK']}.txt").write_text(repr(found.networks))

# the same again, interrupted and resumed; rank 1 finds the state that rank 0 wrote
shared = out.parent / "resumed"
advance = TrainingProgress.advance
TrainingProgress.advance = interrupting((1, 1))
try:
    train(tiny_recipe(PRECISE), videos, shared, quiet=True, **here)
except KeyboardInterrupt:
    pass
train(tiny_recipe(PRECISE), videos, shared, resume=True, quiet=True, **here)

# begun by both, for one to go on with: first with whole batches, then with a batch of more clips than there are
for name, settings in HALVES.items():
    TrainingProgress.advance = interrupting((0, 0))
    try:
        train(tiny_recipe(settings), videos, out.parent / name, quiet=True, **here)
    except KeyboardInterrupt:
        pass
"""


@pytest.fixture(scope="module")
def spoilt(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five videos to test, of which one is broken; and a training batch of which one process has nothing, one less."""
    root = Path(shutil.copytree(videos, tmp_path_factory.mktemp("two") / "spoilt"))
    (root / "val" / "dark" / "0.mp4").unlink()
    break_video(root / "val" / "light" / "1.mp4")
    items = read_index(root).splits["train"]
    first, second, _ = ([number for _, number in keys] for keys in SeekableSampler(12, 4, rank=1, world_size=2))
    for number in (*first, second[0]):
        break_video(items[number].path)
    return root


@pytest.fixture(scope="module")
def one_video(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A list with a single video to test: one of two processes has none."""
    rows = [f"{videos / 'train' / label / '0.mp4'},{label},train" for label in ("dark", "light", "moving")]
    file = tmp_path_factory.mktemp("one") / "list.csv"
    file.write_text("\n".join(["path,label,split", *rows, f"{videos / 'val' / 'dark' / '0.mp4'},dark,val"]))
    return file


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of dense clips, which have strides."""
    recipe = tiny_recipe({"clip.sampling": "dense", "clip.frame_stride": "2"})
    return write_filled(tmp_path_factory.mktemp("of strides") / "dense.safetensors", recipe)


@pytest.fixture(scope="module")
def two(
    spoilt: Path, videos: Path, one_video: Path, checkpoint: Path, dense: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder in which two processes wrote what they had to write."""
    out = tmp_path_factory.mktemp("written by two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    world = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = [sys.executable, "-c", TWO, spoilt, videos, one_video, checkpoint, dense, out]
    processes = [
        subprocess.Popen(
            command,
            cwd=Path(__file__).parents[1],
            env={**os.environ, **world, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in (0, 1)
    ]
    try:
        said = [process.communicate(timeout=180)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(said)
    return out


def test_the_first_process_alone_writes(two: Path) -> None:
    assert {entry.name for entry in two.iterdir() if entry.is_dir()} == {"rank 0", "resumed", *HALVES}
    names = {"frozen", "exact", "trailed", "precise", "diverged", "some", "one", "tempo"}
    assert {entry.name for entry in (two / "rank 0").iterdir()} == names
    assert len(read_rows(two / "rank 0" / "precise" / "log.csv")) == 2


def test_two_processes_take_the_steps_of_one(
    two: Path, spoilt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MODELS, "vov3d_m", FrozenNorms)  # type: ignore[arg-type]
    some = Safety(max_broken=0.5)
    train(tiny_recipe(FROZEN), spoilt, tmp_path / "one", safety=some, device="cpu", workers=0, quiet=True)
    ours = read_checkpoint(two / "rank 0" / "frozen" / "last.safetensors").tensors
    theirs = read_checkpoint(tmp_path / "one" / "last.safetensors").tensors
    torch.manual_seed(0)
    begun = FrozenNorms(3).state_dict()
    assert max(float((theirs[name] - begun[name]).abs().max()) for name in theirs) > 1e-3
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, rtol=1e-4, atol=1e-6)
    (row,), (expected,) = (read_rows(out / "log.csv") for out in (two / "rank 0" / "frozen", tmp_path / "one"))
    for name in ("epoch", "step", "lr", "train_top1", "val_top1", "quarantined"):
        assert row[name] == expected[name], name
    for name in ("train_loss", "val_loss"):
        assert float(row[name]) == pytest.approx(float(expected[name]), rel=1e-4)
    assert row["quarantined"] == "4"  # three to train on, one to validate
    files = [out / "quarantine.csv" for out in (two / "rank 0" / "frozen", tmp_path / "one")]
    assert files[0].read_text() == files[1].read_text()


@pytest.mark.parametrize("name", NORMS)
def test_six_steps_of_two_processes_are_those_of_one(
    two: Path, videos: Path, spoilt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Batch norm goes over the clips of both or of each; running statistics and log agree as well."""
    monkeypatch.setitem(MODELS, "vov3d_m", FrozenNorms if name == "frozen" else small_network)  # type: ignore[arg-type]
    data, recipe = spoilt if name == "frozen" else videos, tiny_recipe({**EXACT, "train.norm_clips": NORMS[name]})
    some = Safety(max_broken=0.5)
    train(recipe, data, tmp_path / "one", safety=some, device="cpu", workers=0, quiet=True)
    ours = read_checkpoint(two / "rank 0" / "exact" / name / "last.safetensors").tensors
    theirs = read_checkpoint(tmp_path / "one" / "last.safetensors").tensors
    assert {tensor.dtype for tensor in theirs.values()} == {torch.float64, torch.int64}
    torch.manual_seed(0)
    begun = (FrozenNorms if name == "frozen" else small_network)(3).state_dict()
    assert max(float((theirs[key] - begun[key]).abs().max()) for key in theirs) > 1e-2
    assert max(float((ours[key] - theirs[key]).abs().max()) for key in theirs) < 1e-9
    logs = [read_rows(out / "log.csv") for out in (two / "rank 0" / "exact" / name, tmp_path / "one")]
    assert [row["train_loss"] for row in logs[0]] == [row["train_loss"] for row in logs[1]]


@pytest.mark.parametrize("name", ["trailed", "precise"])
def test_the_checkpoint_is_the_network_that_both_validated(
    two: Path, videos: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MODELS, "vov3d_m", small_network)  # type: ignore[arg-type]
    last = read_rows(two / "rank 0" / name / "log.csv")[-1]
    file = two / "rank 0" / name / "last.safetensors"
    found = evaluate(file, videos, clips=1, crops=1, device="cpu", workers=0).metrics
    assert found.loss == pytest.approx(float(last["val_loss"]), rel=1e-4)
    assert found.top1 == pytest.approx(float(last["val_top1"]), rel=1e-4)


def test_a_loss_that_is_no_number_ends_both_processes_in_the_same_line(two: Path) -> None:
    first, second = ((two / f"diverged {rank}.txt").read_text() for rank in (0, 1))
    assert first == second
    assert re.match(
        r"epoch \d, step \d: the loss is (nan|inf); the last good checkpoint stays\. Lower --optim.lr", first
    )


def test_an_interrupted_run_of_two_goes_on(two: Path) -> None:
    ours, theirs = (
        read_checkpoint(two / name / "last.safetensors").tensors for name in ("resumed", Path("rank 0") / "precise")
    )
    assert [name for name, tensor in theirs.items() if not torch.equal(ours[name], tensor)] == []
    assert len(read_rows(two / "resumed" / "log.csv")) == 2


@pytest.mark.usefixtures("small")
def test_one_process_goes_on_with_the_batch_norm_of_two(two: Path, videos: Path, tmp_path: Path) -> None:
    """It ends where one ends that takes its statistics over two clips from the first step on, and not over its four."""
    out = Path(shutil.copytree(two / "whole batches", tmp_path / "run"))
    assert load_recipe(out / "recipe.yaml").train.norm_clips == 2
    ended = {}
    for name, settings in {"two": {**EXACT, "train.norm_clips": "2"}, "four": EXACT}.items():
        train(tiny_recipe(settings), videos, tmp_path / name, device="cpu", workers=0, quiet=True)
        ended[name] = read_checkpoint(tmp_path / name / "last.safetensors").tensors
    train(tiny_recipe(EXACT), videos, out, device="cpu", workers=0, resume=True, quiet=True)
    ours = read_checkpoint(out / "last.safetensors").tensors
    assert max(float((ours[key] - ended["two"][key]).abs().max()) for key in ours) < 1e-9
    assert max(float((ours[key] - ended["four"][key]).abs().max()) for key in ours) > 1e-3


@pytest.mark.usefixtures("small")
def test_a_batch_norm_that_one_process_cannot_have_is_refused(two: Path, videos: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(two / "few clips", tmp_path / "run"))
    told = r"^batch norm went over 6 clips so far, and would go over 8 from here on; start as many processes as"
    with pytest.raises(ArgumentError, match=told):
        train(tiny_recipe(HALVES["few clips"]), videos, out, device="cpu", workers=0, resume=True, quiet=True)
    whole = Path(shutil.copytree(two / "whole batches", tmp_path / "whole"))
    with pytest.raises(RunFolderError, match="begun with another recipe"):
        train(
            tiny_recipe({**EXACT, "train.norm_clips": "4"}),
            videos,
            whole,
            device="cpu",
            workers=0,
            resume=True,
            quiet=True,
        )


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("name", "count"), [("some", 4), ("one", 1)])
def test_a_test_by_two_counts_each_video_once(
    two: Path, spoilt: Path, one_video: Path, checkpoint: Path, tmp_path: Path, name: str, count: int
) -> None:
    data = {"some": spoilt, "one": one_video}[name]
    evaluate(checkpoint, data, out=tmp_path, allow_missing=True, device="cpu", workers=0)
    ours, theirs = (json.loads((out / "metrics.json").read_text()) for out in (two / "rank 0" / name, tmp_path))
    assert ours["num_videos"] == count
    for key in theirs:
        if key not in ("seconds", "bound"):
            assert ours[key] == (pytest.approx(theirs[key], rel=1e-5) if key == "loss" else theirs[key]), key
    rows = [read_rows(out / "predictions.csv") for out in (two / "rank 0" / name, tmp_path)]
    assert [row["path"] for row in rows[0]] == [row["path"] for row in rows[1]]
    assert [row["predicted"] for row in rows[0]] == [row["predicted"] for row in rows[1]]
    said = {(two / f"{name} {rank}.txt").read_text() for rank in (0, 1)}
    assert said == {repr(tuple(map(tuple, theirs["confusion"])))}  # both processes know it all


@pytest.mark.usefixtures("small")
def test_two_find_what_one_finds_at_every_pace(
    two: Path, spoilt: Path, checkpoint: Path, dense: Path, tmp_path: Path
) -> None:
    found = tempo([checkpoint, dense], spoilt, out=tmp_path, allow_missing=True, device="cpu", workers=0, **PACES)
    assert [len(network.strides) + len(network.speeds) for network in found.networks] == [3, 5]
    assert {network.num_videos for network in found.networks} == {4}
    ours, theirs = (json.loads((out / "tempo.json").read_text()) for out in (two / "rank 0" / "tempo", tmp_path))
    assert {key for key in theirs if ours[key] != theirs[key]} == {"seconds", "out"}
    for name in ("tempo.csv", "strides.svg", "speeds.svg"):
        assert (two / "rank 0" / "tempo" / name).read_text() == (tmp_path / name).read_text()
    assert {(two / f"tempo {rank}.txt").read_text() for rank in (0, 1)} == {repr(found.networks)}


# ---- one process -----------------------------------------------------------------------------------------------------


def test_one_process_is_a_group_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with process_group("cpu") as group:
        assert group == ProcessGroup(0, 1, torch.device("cpu"))
        assert group.is_main
        assert group.gather([1, 2]) == [1, 2]
        assert group.sum(torch.tensor(3.0)) == group.largest(3) == group.from_main(lambda: 3) == 3
        model = torch.nn.Linear(1, 1)
        assert group.wrap(model) is model
        group.wait()


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "tpu"])
def test_a_device_that_is_not_there_is_told_in_one_line(name: str) -> None:
    with pytest.raises(ArgumentError, match=rf"(unknown )?device '{name}'.*auto, cpu, cuda") as told:
        resolve_device(name)
    assert "\n" not in str(told.value)


def test_each_process_takes_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "3")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "empty", lambda *_, **__: None)
    assert resolve_device("auto") == resolve_device("cuda") == torch.device("cuda:3")
    assert resolve_device("cuda:1") == torch.device("cuda:1")
    assert resolve_device("cpu") == torch.device("cpu")
