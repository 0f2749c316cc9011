"""The motion set: determinism, files, and the proof that only the order of frames tells the class.

The proof has two halves. The first is exact, on the states that are drawn. The second is on pixels: one small network
is trained on frames in order, on the same frames shuffled, and on one frame of each video, and tested on other videos.
"""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from vov3d.data.motion import MOTION_CLASSES, MOTION_FAMILIES, ORDER_PAIRS, render, write_motion_set
from vov3d.data.motion.paths import actor_path, loops, video_lengths
from vov3d.data.sources import read_index
from vov3d.data.video import open_video
from vov3d.errors import DataError

PAIRS = [pair for pairs in MOTION_FAMILIES.values() for pair in pairs]


def test_classes() -> None:
    assert len(MOTION_CLASSES) == len(set(MOTION_CLASSES)) == 14
    assert [name for pair in PAIRS for name in pair] == list(MOTION_CLASSES)
    assert [pair for pair in PAIRS if pair not in ORDER_PAIRS] == [("oscillate_slow", "oscillate_fast")]


# What is drawn


def test_the_same_arguments_draw_the_same_video() -> None:
    video = render("approach", 3, size=32)
    assert np.array_equal(video, render("approach", 3, size=32))
    others = [
        render("recede", 3, size=32),
        render("approach", 4, size=32),
        render("approach", 3, size=32, split="val"),
        render("approach", 3, size=32, difficulty=0.12),
    ]
    assert not any(np.array_equal(video, other) for other in others)


def test_golden_pixels() -> None:
    """Any change of these numbers is a change of the data set: raise MOTION_VERSION."""
    video = render("rotate_clockwise", 5, size=32)
    assert video.shape == (38, 32, 32, 3)
    blocks = video[::18].reshape(-1, 4, 8, 4, 8, 3).mean((2, 4, 5))
    golden = [
        [[141, 141, 74, 82], [85, 83, 76, 82], [87, 88, 80, 84], [182, 166, 79, 83]],
        [[144, 127, 74, 82], [176, 165, 76, 94], [106, 86, 80, 84], [86, 78, 78, 83]],
        [[160, 107, 74, 107], [88, 83, 76, 82], [93, 80, 80, 84], [179, 110, 79, 135]],
    ]
    assert abs(blocks - np.array(golden)).max() < 1  # a rounding may differ on another processor


def test_the_scene_does_not_depend_on_the_size() -> None:
    small, large = (render("move_up", 0, size=size, difficulty=0.5) for size in (48, 96))
    halved = large.reshape(len(large), 48, 2, 48, 2, 3).mean((2, 4))
    assert abs(halved - small).mean() < 3


def test_a_seed_gives_every_class_the_same_scene_and_length() -> None:
    videos = [render(name, 1, size=32) for name in MOTION_CLASSES]
    assert len({len(video) for video in videos}) == 1
    ground = [(video[0] == videos[0][0]).all(-1).mean() for video in videos]
    assert min(ground) > 0.2 > 0.05 > (render("move_left", 2, size=32)[0] == videos[0][0]).all(-1).mean()
    assert len({len(render("recede", seed, size=16)) for seed in range(12)}) > 3


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"size": 8}, {"num_frames": 4}, {"difficulty": 1.5}])
def test_wrong_arguments(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=str(next(iter(wrong.values())))):
        render("approach", **{"seed": 0, **wrong})
    with pytest.raises(ValueError, match="did you mean 'approach'"):
        render("aproach", 0)


# The proof, exact


def characters(states: NDArray[np.float64]) -> float:
    """The largest n |mean|^2 of the characters of the torus over n states [n, 5]; about 1 if they are uniform."""
    waves = np.array([wave for wave in itertools.product((-1, 0, 1), repeat=5) if any(wave)])
    means = np.exp(2j * np.pi * states @ waves.T).mean(0)
    return float(len(states) * (abs(means) ** 2).max())


@pytest.mark.parametrize("name", MOTION_CLASSES)
def test_at_every_frame_the_state_is_uniform(name: str) -> None:
    paths = np.stack([actor_path(name, 32, np.random.default_rng([7, seed])) for seed in range(400)])
    for frame in (0, 9, 16, 31):
        assert characters(paths[:, frame]) < 20  # of 14 x 4 x 242 exponential variables: beyond with p = 3e-5
    assert characters((paths[:, 9] - paths[:, 0]) % 1) > 100  # while the steps are anything but uniform


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("num_frames", [26, 32, 40])
def test_both_classes_of_a_pair_show_the_same_states(pair: tuple[str, str], num_frames: int) -> None:
    first, second = (actor_path(name, num_frames, np.random.default_rng(1)) for name in pair)
    assert not np.allclose(first, second)
    assert np.array_equal(np.unique(first, axis=0), np.unique(second, axis=0))
    assert sorted(first.tolist()) == sorted(second.tolist())


def test_all_that_is_not_the_actor_has_no_direction_and_no_beginning() -> None:
    curves = loops(16, 4000, 3, np.random.default_rng(0)).T
    covariance = curves.T @ curves / len(curves)
    by_distance = np.stack([np.roll(row, -index) for index, row in enumerate(covariance)])
    assert abs(by_distance - by_distance[0]).max() < 0.12
    steps = np.diff(curves, axis=1, append=curves[:, :1])
    assert abs((steps**3).mean(0) / (steps**2).mean(0) ** 1.5).max() < 0.2
    ramp = np.linspace(-1, 1, 16) * np.ones((4000, 1))
    assert abs((np.diff(ramp, axis=1, append=ramp[:, :1]) ** 3).mean(0)).max() > 0.2


def test_lengths_suit_the_permutations() -> None:
    assert video_lengths(32) == [26, 28, 32, 34, 38, 40]
    assert all(video_lengths(num_frames) for num_frames in range(8, 100))


# The proof, on pixels

SIDE, FRAMES, STEPS = 16, 8, 128
Order = Callable[[Tensor, torch.Generator], Tensor]


def in_order(clips: Tensor, rng: torch.Generator) -> Tensor:
    return clips


def shuffled(clips: Tensor, rng: torch.Generator) -> Tensor:
    """The frames of each clip in an order of its own."""
    return torch.stack([clip[:, torch.randperm(FRAMES, generator=rng)] for clip in clips])


def one_frame(clips: Tensor, rng: torch.Generator) -> Tensor:
    """One frame of each clip, in place of all of them."""
    frames = torch.randint(FRAMES, (len(clips),), generator=rng)
    return torch.stack([clip[:, [frame] * FRAMES] for clip, frame in zip(clips, frames.tolist(), strict=True)])


class Layer(nn.Module):
    """A convolution on the torus."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(in_channels, out_channels, 3, (1, stride, stride), (1, 0, 0), bias=False)
        self.norm = nn.BatchNorm3d(out_channels)

    def forward(self, clips: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(F.pad(clips, (1, 1, 1, 1, 0, 0), mode="circular"))))


class Probe(nn.Module):
    """A small network that sees space as a torus and keeps time up to its last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(Layer(3, 8, 2), Layer(8, 16, 2), Layer(16, 16, 1), Layer(16, 16, 2))
        self.last = nn.Linear(16 * FRAMES, len(MOTION_CLASSES))

    def forward(self, clips: Tensor) -> Tensor:
        logits: Tensor = self.last(self.layers(clips).mean((3, 4)).flatten(1))
        return logits


Videos = tuple[Tensor, Tensor]


def videos(split: str, per_class: int) -> Videos:
    """Clips [N, 3, FRAMES, SIDE, SIDE] and classes [N]; no two of them share a scene."""
    clips = []
    labels = torch.arange(len(MOTION_CLASSES)).repeat(per_class)
    for seed, label in enumerate(labels.tolist()):
        video = render(MOTION_CLASSES[label], seed, split=split, size=SIDE)
        clips.append(video[(np.arange(FRAMES) * 2 + 1) * len(video) // (2 * FRAMES)])
    return torch.from_numpy(np.stack(clips)).permute(0, 4, 1, 2, 3).float() / 255 - 0.4, labels


@pytest.fixture(scope="module")
def drawn() -> tuple[Videos, Videos]:
    return videos("train", 40), videos("val", 30)


def logits_of_probe(train: Videos, test: Videos, order: Order) -> Tensor:
    """Train a probe on clips in an order, and return its logits for the test clips in the same kind of order."""
    rng = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    probe = Probe()
    optimiser = torch.optim.AdamW(probe.parameters(), weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.01, total_steps=STEPS)
    clips, labels = train
    for _ in range(STEPS):
        chosen = torch.randint(len(clips), (32,), generator=rng)
        moved = torch.roll(clips[chosen], torch.randint(SIDE, (2,), generator=rng).tolist(), (3, 4))
        loss = F.cross_entropy(probe(order(moved, rng)), labels[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        return probe.eval()(order(test[0], rng))


def num_right(logits: Tensor, labels: Tensor) -> int:
    return int((logits.argmax(1) == labels).sum())


def num_right_in_pairs(logits: Tensor, labels: Tensor) -> int:
    """How many videos of order pairs get more from their own class than from the other of the pair."""
    right = 0
    for pair in ORDER_PAIRS:
        own, other = map(MOTION_CLASSES.index, pair)
        for one, two in ((own, other), (other, own)):
            right += int((logits[labels == one, one] > logits[labels == one, two]).sum())
    return right


def most_by_chance(trials: int, probability: float, error: float = 1e-4) -> int:
    """The number of successes that independent trials exceed with a probability of at most ``error``."""
    exceeded = 1.0
    for successes in range(trials + 1):
        exceeded -= math.comb(trials, successes) * probability**successes * (1 - probability) ** (trials - successes)
        if exceeded <= error:
            return successes
    return trials


def test_bound() -> None:
    assert most_by_chance(10, 0.5, 0.002) == 9
    assert 204 < most_by_chance(360, 0.5) < 220


def test_frames_in_order_tell_the_class(drawn: tuple[Videos, Videos]) -> None:
    train, test = drawn
    logits = logits_of_probe(train, test, in_order)
    assert num_right(logits, test[1]) > 0.8 * len(test[1])
    assert num_right_in_pairs(logits, test[1]) > 0.85 * 2 * len(ORDER_PAIRS) * 30


def test_shuffled_frames_do_not_tell_the_class_within_an_order_pair(drawn: tuple[Videos, Videos]) -> None:
    train, test = drawn
    logits = logits_of_probe(train, test, shuffled)
    assert num_right_in_pairs(logits, test[1]) <= most_by_chance(2 * len(ORDER_PAIRS) * 30, 1 / 2)
    families = len(MOTION_CLASSES) * 30
    assert num_right(logits, test[1]) > most_by_chance(families, 1 / len(MOTION_CLASSES))  # it did learn something


def test_a_single_frame_does_not_tell_the_class(drawn: tuple[Videos, Videos]) -> None:
    train, test = drawn
    bound = most_by_chance(len(test[1]), 1 / len(MOTION_CLASSES))
    assert num_right(logits_of_probe(train, test, one_frame), test[1]) <= bound
    leaky_train, leaky_test = (with_leak(*part) for part in drawn)
    assert num_right(logits_of_probe(leaky_train, leaky_test, one_frame), test[1]) > bound


def with_leak(clips: Tensor, labels: Tensor) -> Videos:
    """The same videos, tinted a little by class, in eight tints: the probe must find this."""
    tints = torch.stack([labels % 2, labels // 2 % 2, labels // 4 % 2], dim=1)
    return clips + 0.1 * tints[:, :, None, None, None], labels


# What is written

SMALL = {"videos_per_class": {"train": 2, "val": 1}, "size": 32, "num_frames": 8}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_motion_set(tmp_path_factory.mktemp("motion") / "set", **SMALL)


def test_the_set_is_read_as_a_data_set(written: Path) -> None:
    index = read_index(written)
    assert sorted(index.labels) == sorted(MOTION_CLASSES)
    for split, per_class in (("train", 2), ("val", 1)):
        counts = Counter(index.labels[item.label] for item in index.splits[split])
        assert counts == dict.fromkeys(MOTION_CLASSES, per_class)
    assert len(list(written.rglob("*.mp4"))) == 3 * len(MOTION_CLASSES)


def test_the_files_hold_the_drawn_frames(written: Path) -> None:
    rows = [line.split(",") for line in (written / "index.csv").read_text().splitlines()]
    assert rows[0] == ["path", "label", "split", "seed"]
    assert len(rows) == 1 + 3 * len(MOTION_CLASSES)
    for path, label, split, seed in rows[1::5]:
        assert path.startswith(f"{split}/{label}/")
        drawn = render(label, int(seed), split=split, size=32, num_frames=8).astype(int)
        with open_video(written / path) as video:
            assert (video.info.codec, video.info.num_frames, video.info.height) == ("h264", len(drawn), 32)
            decoded = video.frames(range(len(drawn))).permute(0, 2, 3, 1).numpy().astype(int)
        assert abs(decoded - drawn).mean() < 8
        distances = abs(decoded[:, None] - drawn[None]).mean((2, 3, 4))
        assert (distances.diagonal() <= distances.min(1) + 1).all()


def test_splits_share_no_video(written: Path) -> None:
    contents = [file.read_bytes() for file in written.rglob("*.mp4")]
    assert len(set(contents)) == len(contents)


def test_writing_again_gives_the_same_files(written: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    again = write_motion_set(
        tmp_path / "again", **SMALL, workers=1, on_progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(done, 42) for done in range(1, 43)]
    files = sorted(file.relative_to(written) for file in written.rglob("*.*"))
    assert len(files) == 42 + 2
    assert all((written / file).read_bytes() == (again / file).read_bytes() for file in files)


def test_a_complete_set_is_kept(written: Path) -> None:
    before = (written / "index.csv").stat().st_mtime_ns
    assert write_motion_set(written, **SMALL, on_progress=lambda *_: pytest.fail("drawn again")) == written
    assert (written / "index.csv").stat().st_mtime_ns == before
    with pytest.raises(DataError, match="seed 0, not 1; give another folder"):
        write_motion_set(written, **SMALL, seed=1)


def test_another_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note.txt").write_text("mine")
    with pytest.raises(DataError, match="no motion set"):
        write_motion_set(tmp_path / "mine", **SMALL)
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["note.txt"]


def test_an_interrupted_set_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_motion_set(tmp_path / "set", **SMALL, on_progress=stop)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="no limit to the size of files there")
def test_a_full_disk_leaves_nothing_and_is_one_line(tmp_path: Path) -> None:
    """PyAV's error is an OSError whose file name cannot be set."""
    out = tmp_path / "set"
    code = (
        "import resource, sys\n"
        "from vov3d.cli import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, 3_000))\n"  # as a disk that is full there
        f"sys.exit(main(['motion', '--out', {str(out)!r}, '--train-per-class', '1', '--val-per-class', '1']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (2, f"vov3d: File too large: {str(out)!r}")
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [{"size": 33}, {"videos_per_class": {}}, {"videos_per_class": {"train": 0}}])
def test_wrong_settings(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="a motion set needs"):
        write_motion_set(tmp_path / "set", **{**SMALL, **wrong})
