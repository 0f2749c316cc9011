"""The studies do what they say: clips without end, pretraining that goes on, transfer on equal terms."""

from __future__ import annotations

import argparse
import itertools
import sys
from collections import Counter
from pathlib import Path

import pretrain_motion
import pytest
import ship
import torch
import transfer
import zero_shot
from hands import NO_CLASS, draw_hands
from refusals import told_in_one_line

from tests.tiny import LABELS, NUM_TRAIN, read_rows, small_network
from vov3d.checkpoint import read_checkpoint, write_checkpoint
from vov3d.data.motion import MOTION_CLASSES
from vov3d.data.sources import read_index
from vov3d.errors import DataError
from vov3d.models import MODELS
from vov3d.trained import load_trained
from vov3d.weights import weights_in


def labels(*names: str) -> torch.Tensor:
    """Numbers of classes."""
    return torch.tensor([MOTION_CLASSES.index(name) for name in names])


@pytest.mark.parametrize("difficulty", [0.0, 1.0])
def test_hands_go_where_their_class_says(difficulty: float) -> None:
    names = ("move_right", "move_left", "move_down", "move_up") * 6
    drawn = draw_hands(labels(*names), 3, size=32, difficulty=difficulty)
    assert drawn.clips.shape == (24, 3, 16, 32, 32)
    assert 0 <= float(drawn.clips.min()) < 0.3 < 0.7 < float(drawn.clips.max()) <= 1
    x, y = (drawn.tips[..., 11] - drawn.tips[..., 4]).unbind(1)
    assert bool((x[0::4] > 0.05).all())
    assert bool((x[1::4] < -0.05).all())
    assert bool((y[2::4] > 0.05).all())
    assert bool((y[3::4] < -0.05).all())
    assert float((drawn.tips[..., 8] - 0.5).abs().max()) < 0.5


def test_what_is_seen_is_where_the_tip_is() -> None:
    """Where a clip changes most from frame to frame lies near the tip."""
    drawn = draw_hands(torch.full((16,), NO_CLASS), 5, size=64, difficulty=0.0)
    change = drawn.clips.diff(dim=2).abs().sum(1)
    place = (torch.arange(64) + 0.5) / 64
    weights = change**2 / (change**2).sum((2, 3), keepdim=True)
    x = (weights.sum(2) * place).sum(2)
    assert torch.corrcoef(torch.stack([x.flatten(), drawn.tips[:, 0, 1:].flatten()]))[0, 1] > 0.6


def test_a_batch_is_a_function_of_its_number() -> None:
    one, same, other = (pretrain_motion.draw_batch(number, 16, size=32, num_frames=8, seed=1) for number in (4, 4, 5))
    assert torch.equal(one.clips, same.clips)
    assert not torch.equal(one.clips, other.clips)
    assert (one.labels == NO_CLASS).sum() == round(pretrain_motion.RANDOM_PATHS * 16)
    classes = one.targets[:, : len(MOTION_CLASSES)]
    assert torch.equal(classes.sum(1) == 1, one.labels != NO_CLASS)
    tested = pretrain_motion.draw_batch(4, 16, size=32, num_frames=8, seed=1, tested=True)
    assert not torch.equal(one.clips, tested.clips)


def pretrain(monkeypatch: pytest.MonkeyPatch, out: Path, clips: int) -> None:
    """Run the command as a shell does."""
    words = ["--clips", str(clips), "--crop", "32", "--test-crop", "32", "--batch", "8", "--test-batches", "1"]
    monkeypatch.setattr(sys, "argv", ["pretrain_motion.py", *words, "--model", "vov3d_m", "--out", str(out)])
    pretrain_motion.main()


def test_pretraining_goes_on_as_if_it_had_not_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, "vov3d_m", small_network)  # type: ignore[arg-type]
    monkeypatch.setattr(pretrain_motion, "EPOCH_CLIPS", 16)
    monkeypatch.setattr(pretrain_motion, "NORM_BATCHES", 2)
    pretrain(monkeypatch, tmp_path / "whole", 32)
    kill = iter([None])

    def killed(self: pretrain_motion.Pretraining, *_: object) -> None:
        if next(kill, 0) == 0:
            raise KeyboardInterrupt
        finish(self, *_)

    finish = pretrain_motion.Pretraining._finish_epoch
    monkeypatch.setattr(pretrain_motion.Pretraining, "_finish_epoch", killed)
    with pytest.raises(KeyboardInterrupt):
        pretrain(monkeypatch, tmp_path / "killed", 32)
    monkeypatch.setattr(pretrain_motion.Pretraining, "_finish_epoch", finish)
    pretrain(monkeypatch, tmp_path / "killed", 32)
    whole, again = (read_checkpoint(tmp_path / name / "vov3d_m_motion.safetensors") for name in ("whole", "killed"))
    assert whole.tensors.keys() == again.tensors.keys() == small_network().state_dict().keys()
    assert all(torch.equal(tensor, again.tensors[name]) for name, tensor in whole.tensors.items())
    assert len(read_rows(tmp_path / "killed" / "log.csv")) == 2

    assert whole.tensors["stem.spatial.weight"].dtype == torch.float16
    assert whole.tensors["stem.norm.running_var"].dtype == torch.float32
    about = whole.description["weights"]
    assert isinstance(about, dict)
    assert (about["licence"], about["clips"], about["seed"]) == ("Apache-2.0", 32, 0)
    trained = load_trained(tmp_path / "whole" / "vov3d_m_motion.safetensors")
    assert trained.labels == MOTION_CLASSES
    assert trained.recipe.test.crop == 32


def test_only_what_its_name_says_is_shipped(tmp_path: Path) -> None:
    model = small_network()
    tensors = {name: tensor.half() if tensor.dim() > 1 else tensor for name, tensor in model.state_dict().items()}
    path = tmp_path / "vov3d_m_motion.safetensors"
    write_checkpoint(path, tensors, {"model": "vov3d_m", "weights": {"name": "motion"}})
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "old.safetensors").touch()
    ship.ship([path], folder)
    assert sorted(file.name for file in folder.iterdir()) == ["index.json", path.name]
    (found,) = weights_in(folder)
    assert (found.model, found.path.read_bytes()) == ("vov3d_m", path.read_bytes())
    ship.ship([folder / path.name], folder)  # what lies there already may be shipped again
    assert (folder / path.name).read_bytes() == path.read_bytes()
    with pytest.raises(ValueError, match="allowed is one file a network"):
        ship.ship([path, path], folder)
    with pytest.raises(ValueError, match="does not hold weights 'motion' of 'vov3d_s'"):
        ship.ship([path.rename(tmp_path / "vov3d_s_motion.safetensors")], folder)


def test_parts_of_the_videos_are_even_over_classes_and_nested(videos: Path) -> None:
    items = read_index(videos).splits["train"]
    assert len(items) == len(LABELS) * NUM_TRAIN
    parts = [list(transfer.chosen(items, count, seed=0)) for count in (3, 7, 12)]
    assert [len(part) for part in parts] == [3, 7, 12]
    assert all(set(few) < set(more) for few, more in itertools.pairwise(parts))
    counts = Counter(item.label for item in parts[1])
    assert max(counts.values()) - min(counts.values()) == 1


def test_a_run_of_the_transfer_study_becomes_a_row(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MODELS, "vov3d_m", small_network)  # type: ignore[arg-type]
    monkeypatch.setitem(
        transfer.PACES,
        "vov3d_m",
        {"clip.num_frames": "4", "clip.crop": "32", "clip.short_side": "32,36", "test.crop": "32"},
    )
    args = argparse.Namespace(model="vov3d_m", data=videos, clips=12, cache=None)
    row = transfer.measured(args, "null", 6, 0, tmp_path)
    assert (row.start, row.videos, row.epochs) == ("random", 6, 2)
    assert 0 <= row.macro_top1 <= 1
    args.results = tmp_path / "results.csv"
    assert not transfer.is_made(args, "null", 6, 0)
    transfer.add(row, tmp_path / "results.csv")
    assert transfer.is_made(args, "null", 6, 0)
    assert not any(transfer.is_made(args, *other) for other in (("motion", 6, 0), ("null", 7, 0), ("null", 6, 1)))
    with pytest.raises(DataError, match="has 12 videos to train on"):
        transfer.write_part(videos, 13, 0, tmp_path / "part.csv")
    transfer.add(row, tmp_path / "results.csv")
    assert [one["videos"] for one in read_rows(tmp_path / "results.csv")] == ["6", "6"]


def test_what_a_user_can_put_right_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^2$"), told_in_one_line():
        ship.ship([Path("nowhere.safetensors")], Path("nowhere"))
    assert capsys.readouterr().err == "checkpoint 'nowhere.safetensors' is not a file\n"


def test_zero_shot_refuses_names_that_there_are_not(videos: Path) -> None:
    trained = load_trained("motion")
    for asked, told in (({"lft": "move_left"}, "unknown label 'lft'"), ({LABELS[0]: "lft"}, "unknown motion class")):
        with pytest.raises(DataError, match=told):
            zero_shot.rows(trained, videos, asked)
