"""The motion set: determinism, files, batches, and the proof that only the order of frames tells the class.

The proof has two halves. The first is exact, on the states that are drawn. The second is on pixels: one small network
is trained on frames in order, on the same frames shuffled, and on one frame of each video, and tested on other videos.
"""

from __future__ import annotations

import hashlib
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
from torch import Tensor, nn
from torch.nn import functional as F

from vov3d.data.flips import flip_labels
from vov3d.data.motion import (
    BASIC_FAMILIES,
    DIFFICULTIES,
    MOTION_CLASSES,
    MOTION_FAMILIES,
    MOTION_VERSION,
    ORDER_PAIRS,
    SPLITS,
    MotionBatches,
    classes_of,
    draw_clips,
    render,
    write_motion_set,
)
from vov3d.data.motion.classes import TIMES_OF_CLASS, Split, video_lengths
from vov3d.data.motion.draw import numbers_of
from vov3d.data.motion.looks import GROUNDS, OUTLINES, PATTERNS
from vov3d.data.motion.numbers import Numbers
from vov3d.data.motion.paths import actor_path, loops
from vov3d.data.sampling import segment_centre, segment_train
from vov3d.data.sources import read_index
from vov3d.data.video import open_video
from vov3d.errors import DataError

BASIC = classes_of(BASIC_FAMILIES)
GROUPS = [group for groups in MOTION_FAMILIES.values() for group in groups]


def test_classes() -> None:
    assert [name for group in GROUPS for name in group] == list(MOTION_CLASSES)
    assert len(MOTION_CLASSES) == len(set(MOTION_CLASSES)) == 45
    assert (len(MOTION_FAMILIES), len(BASIC)) == (10, 14)
    assert [group for group in GROUPS if group not in ORDER_PAIRS] == [
        ("oscillate_slow", "oscillate_fast"),
        ("nod_once", "nod_twice", "nod_three_times"),
        ("pulse_slow", "pulse_fast"),
        ("spin_slow", "spin_fast"),
    ]


# What is drawn


def test_the_same_arguments_draw_the_same_video() -> None:
    video = render("approach", 3, size=32)
    assert np.array_equal(video, render("approach", 3, size=32))
    others = [
        render("recede", 3, size=32),
        render("approach", 4, size=32),
        render("approach", 3 + 2**32, size=32),
        render("approach", 3, size=32, split="val"),
        render("approach", 3, size=32, difficulty=0.12),
    ]
    assert not any(np.array_equal(video, other) for other in others)


def hashed(numbers: Tensor) -> str:
    return hashlib.sha256(repr(numbers.tolist()).encode()).hexdigest()[:16]


GOLDEN = {
    "train": (4.79, "63158c31b943f409"),
    "val": (11.16, "a3d36b47ee129fff"),
    "test": (8.65, "7912de11b90a31bc"),
}


def test_golden_numbers() -> None:
    """Any change of these is a change of the data set: raise MOTION_VERSION."""
    assert MOTION_VERSION == 2
    numbers = torch.cat([numbers_of(torch.tensor([5, 2**40]), split)("start", 64) for split in SPLITS])
    assert hashed((numbers * 2**24).long()) == "a3856d8b0ed70755"


@pytest.mark.parametrize("split", SPLITS)
def test_golden_pixels(split: Split) -> None:
    """The same.

    A colour may differ by a rounding on another processor. So means of blocks are hashed, in steps of 16, and an offset
    leaves more than 0.25 between each mean and the end of its step.
    """
    labels = torch.arange(0, 45, 11)
    clips = draw_clips(
        labels, labels + 7, torch.tensor([[0.1, 0.6]]).expand(5, 2), split=split, size=16, difficulty=0.4
    )
    means = clips.double().unflatten(4, (2, 8)).unflatten(3, (2, 8)).mean((4, 6))
    offset, expected = GOLDEN[split]
    assert hashed(((means + offset) / 16).floor().long()) == expected


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


def test_a_clip_does_not_depend_on_its_batch() -> None:
    labels, seeds = torch.arange(12) * 3, torch.arange(12) + 2**33
    times = torch.rand(12, 6, generator=torch.Generator().manual_seed(0))

    def drawn(part: Tensor, times: Tensor) -> Tensor:
        return draw_clips(labels[part], seeds[part], times, size=64, split="test", difficulty=0.8)

    every = torch.arange(12)
    clips = drawn(every, times)
    assert torch.equal(clips, torch.cat([drawn(one, times[one]) for one in every.split(1)]))
    assert torch.equal(clips, torch.cat([drawn(every, time) for time in times.split(1, dim=1)], dim=2))


def test_everything_is_drawn_on_the_device() -> None:
    """Torch's device without values refuses to compute with tensors of the CPU."""
    clips, labels = MotionBatches(5, num_frames=2, size=16, difficulty=0.8, device="meta").batch(0)
    assert (clips.device.type, clips.shape, labels.device.type) == ("meta", (5, 3, 2, 16, 16), "meta")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_devices_agree() -> None:
    one, other = (MotionBatches(45, size=64, difficulty=0.4, device=device).batch(3) for device in ("cpu", "cuda"))
    assert torch.equal(one[1], other[1].cpu())
    distances = abs(one[0].int() - other[0].cpu().int())
    assert (distances > 1).double().mean() < 1e-4


def test_splits_share_no_seed_no_shape_and_no_texture() -> None:
    for table in (OUTLINES, PATTERNS, GROUNDS):
        assert tuple(table) == SPLITS
        kinds = [kind for split in SPLITS for kind in table[split]]
        assert len(kinds) == len(set(kinds)) >= 5
    starts = torch.stack([numbers_of(torch.arange(1000), split)("start", 5) for split in SPLITS]).flatten(0, 1)
    assert len(starts.unique(dim=0)) == 3000
    seen = [render("approach", 2, split=split, size=32, difficulty=0.4)[0].astype(int) for split in SPLITS]
    assert min(abs(one - other).mean() for one, other in itertools.combinations(seen, 2)) > 10


def test_difficulties() -> None:
    """The actor, whose border is white, gets smaller, and the rest busier."""
    seeds, times = torch.arange(64), torch.full((64, 1), 0.5)
    white, busy = [], []
    for difficulty in DIFFICULTIES.values():
        clips = draw_clips(seeds % 45, seeds, times, size=64, difficulty=difficulty).double()
        white.append(float((clips.amin(1) > 250).double().mean()))
        busy.append(float(abs(clips.diff(dim=4)).median()))
    assert list(DIFFICULTIES) == ["easy", "medium", "hard"]
    assert white == sorted(white, reverse=True)
    assert busy == sorted(busy)


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"size": 8}, {"num_frames": 4}, {"difficulty": 1.5}])
def test_wrong_arguments(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=str(next(iter(wrong.values())))):
        render("approach", **{"seed": 0, **wrong})
    with pytest.raises(ValueError, match="did you mean 'approach'"):
        render("aproach", 0)
    with pytest.raises(ValueError, match="did you mean 'train'"):
        render("approach", 0, split="trains")  # type: ignore[arg-type]


def test_numbers_are_uniform_and_independent() -> None:
    """Over seeds and over places, of one name and of two: Weyl's test, on 100,000 pairs each."""
    numbers = Numbers(torch.arange(500), "a test")
    first, second = numbers("one", 201).double(), numbers("two", 201).double()
    assert 0 <= first.min() < first.max() < 1
    pairs = {
        "seeds": (first[1:, :-1], first[:-1, :-1]),
        "places": (first[:, 1:], first[:, :-1]),
        "names": (first, second),
    }
    for one, other in pairs.values():
        for waves in itertools.product((-2, -1, 0, 1, 2), repeat=2):
            mean = torch.exp(2j * math.pi * (waves[0] * one + waves[1] * other)).mean()
            assert waves == (0, 0) or one.numel() * abs(mean) ** 2 < 16  # exponential: p = 8e-6 in 72


# Batches


def test_a_batch_is_what_segment_sampling_takes_from_the_videos() -> None:
    """So that files and batches agree in law, and the frames themselves to the last bit."""
    batches = MotionBatches(
        45, classes=BASIC, num_frames=6, size=32, frames="centre", split="val", seed=3, difficulty=0.4
    )
    clips, labels = batches.batch(2)
    for place in range(0, 45, 7):
        seed, name = 3 * 2**32 + 90 + place, BASIC[labels[place]]
        video = render(name, seed, split="val", size=32, difficulty=0.4)
        chosen = video[segment_centre(len(video), 6)]
        assert np.array_equal(chosen, clips[place].permute(1, 2, 3, 0).numpy())


def test_frames_are_drawn_as_from_files() -> None:
    """The times of 20,000 clips have the law of those that `segment_train` takes."""
    rng = np.random.default_rng(0)
    batches = MotionBatches(20_000, num_frames=4, video_frames=12)
    drawn = batches._times(numbers_of(torch.arange(20_000), "train"))
    lengths = rng.choice(video_lengths(12), 20_000)
    taken = np.stack([(segment_train(length, 4, rng) + 0.5) / length for length in lengths])
    for one, other in zip(drawn.double().round(decimals=4).T.tolist(), taken.round(4).T.tolist(), strict=True):
        counts, others = Counter(one), Counter(other)
        assert sorted(counts) == sorted(others)
        assert len(counts) > 3
        assert max((counts[time] - others[time]) ** 2 / (counts[time] + others[time]) for time in counts) < 16


def test_class_priors_are_flat_and_scenes_are_never_seen_twice() -> None:
    batches = MotionBatches(10, num_frames=1, size=16)
    drawn = [batches.batch(number) for number in range(9)]
    labels = torch.cat([labels for _, labels in drawn])
    assert [sorted(labels[start : start + 45].tolist()) for start in (0, 45)] == [list(range(45))] * 2
    assert labels[:45].tolist() != labels[45:].tolist()
    clips = torch.cat([clips for clips, _ in drawn])
    assert len(clips.flatten(1).unique(dim=0)) == 90


def test_processes_and_workers_share_the_batches_out() -> None:
    every = MotionBatches(2, num_frames=2, size=16)
    later = MotionBatches(2, num_frames=2, size=16, first=3, step=2)
    expected = [every.batch(number)[0] for number in (3, 5, 7, 9)]
    for found in (iter(later), iter(torch.utils.data.DataLoader(later, batch_size=None, num_workers=2))):
        assert all(torch.equal(next(found)[0], clips) for clips in expected)
    other = MotionBatches(2, num_frames=2, size=16, seed=1).batch(3)[0]
    assert not torch.equal(other, expected[0])


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"classes": ()}, {"seed": -1}, {"frames": "centr"}])
def test_wrong_batches(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"motion batches need|did you mean 'centre'"):
        MotionBatches(**{"batch_size": 1, **wrong})  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [{"size": 15}, {"difficulty": math.nan}, {"split": "tests"}, {"seed": 2**31}])
def test_batches_are_refused_before_the_first_is_drawn(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"motion clip needs|did you mean 'test'|seed of motion batches"):
        MotionBatches(**{"batch_size": 1, **wrong})  # type: ignore[arg-type]


def test_a_seed_has_no_batches_of_another() -> None:
    batches = MotionBatches(2**31, seed=1)
    for number in (-1, 2):
        with pytest.raises(ValueError, match=f"motion batch {number} is out of range: a seed has 2"):
            batches.batch(number)


@pytest.mark.parametrize(
    ("labels", "seeds", "times", "told"),
    [
        ([45], [0], [[0.5]], "labels are from 0 to 44"),
        ([-1], [0], [[0.5]], "labels are from 0 to 44"),
        ([0], [-1], [[0.5]], "seeds of motion clips"),
        ([0], [0, 1], [[0.5], [0.5]], r"got \[1\], \[2\] and"),
        ([0, 1], [0, 1], [[0.5]], r"and \[1, 1\]"),
        ([0], [0], [[]], r"and \[1, 0\]"),
    ],
)
def test_clips_that_cannot_be_drawn(labels: list[int], seeds: list[int], times: list[list[float]], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        draw_clips(torch.tensor(labels), torch.tensor(seeds), torch.tensor(times), size=16)


# The proof, exact


def states(name: str, times: Tensor, num_clips: int = 400, first: int = 0) -> Tensor:
    """The actor's states in many clips of a class [N, T, 5]."""
    labels = torch.full((num_clips,), MOTION_CLASSES.index(name))
    numbers = numbers_of(first + torch.arange(num_clips), "train")
    return actor_path(labels, times.expand(num_clips, -1), numbers).double()


def frames_of(num_frames: int) -> Tensor:
    return (torch.arange(num_frames) + 0.5) / num_frames


def steps(states: Tensor) -> Tensor:
    """From each frame to the next, on the shorter way around [N, T - 1, 5]."""
    return (states.diff(dim=1) + 0.5) % 1 - 0.5


def characters(states: Tensor) -> float:
    """The largest n |mean|^2 of the characters of the torus over n states [n, 5]; about 1 if they are uniform."""
    waves = torch.tensor([wave for wave in itertools.product((-1, 0, 1), repeat=5) if any(wave)]).double()
    means = torch.exp(2j * math.pi * (states @ waves.T)).mean(0)
    return float(len(states) * (abs(means) ** 2).max())


@pytest.mark.parametrize("name", MOTION_CLASSES)
def test_at_every_frame_the_state_is_uniform(name: str) -> None:
    paths = states(name, frames_of(32))
    for frame in (0, 9, 16, 31):
        assert characters(paths[:, frame]) < 20  # of 45 x 4 x 242 exponential variables: beyond with p = 9e-5
    assert characters((paths[:, 9] - paths[:, 0]) % 1) > 100  # while the steps are anything but uniform


@pytest.mark.parametrize("pair", [group for group in GROUPS if len(group) == 2])
@pytest.mark.parametrize("num_frames", [26, 32, 40])
def test_both_classes_of_a_pair_show_the_same_states(pair: tuple[str, str], num_frames: int) -> None:
    first, second = (states(name, frames_of(num_frames), 8) for name in pair)
    _, speed, shift = TIMES_OF_CLASS[pair[1]]
    order = ((speed * frames_of(num_frames) + shift) % 1 * num_frames).floor().long()
    assert sorted(order.tolist()) == list(range(num_frames))
    assert abs(steps(torch.stack([first[:, order].flatten(0, 1), second.flatten(0, 1)], dim=1))).max() < 1e-4
    assert abs(steps(torch.stack([first.flatten(0, 1), second.flatten(0, 1)], dim=1))).max() > 0.05


def test_to_nod_more_often_takes_as_long_in_all() -> None:
    """The part of the frames in which the actor stands, over many videos."""
    names = ("nod_once", "nod_twice", "nod_three_times")
    still = [float((abs(steps(states(name, frames_of(32), 2000))).amax(2) < 1e-6).double().mean()) for name in names]
    assert 0.25 < still[2] < still[1] < still[0] < 0.4  # a frame less for each start and end of a nod


@pytest.mark.parametrize("name", MOTION_CLASSES)
def test_a_mirror_image_has_the_law_of_the_class_that_flipping_names(name: str) -> None:
    """In all moments of first and second order of the steps, so that `flip: labels` is right."""
    mirrored = flip_labels(MOTION_CLASSES)[MOTION_CLASSES.index(name)]
    assert mirrored is not None
    times = torch.tensor([0.02, 0.2, 0.35, 0.5, 0.65, 0.8, 0.98])
    flipped = moments(steps(states(name, times, 2000)) * torch.tensor([-1, 1, 1, -1, 1]))
    partner = moments(steps(states(MOTION_CLASSES[mirrored], times, 2000, first=5000)))
    assert unlike(flipped, partner) < 5.5  # of 45 x 495 normal variables: beyond with p = 1e-3
    if MOTION_CLASSES[mirrored] != name:
        assert unlike(flipped, moments(steps(states(name, times, 2000, first=5000)))) > 20


def moments(steps: Tensor) -> Tensor:
    """Of first and second order [N, 495] of steps [N, 6, 5]."""
    flat = steps.flatten(1)
    rows, columns = torch.triu_indices(30, 30)
    return torch.cat([flat, flat[:, rows] * flat[:, columns]], dim=1)


def unlike(one: Tensor, other: Tensor) -> float:
    """The largest distance of means in standard errors."""
    error = ((one.var(0) + other.var(0)) / len(one)).sqrt()
    return float((abs(one.mean(0) - other.mean(0)) / error.clamp_min(1e-6)).max())


def test_all_that_is_not_the_actor_has_no_direction_and_no_beginning() -> None:
    phases = torch.rand(1, 4000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    curves = loops(torch.arange(16)[None] / 16, phases)[0].T.numpy()
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

SIDE, FRAMES, STEPS, PER_CLASS = 16, 8, 96, 30
Order = Callable[[Tensor, torch.Generator], Tensor]


def in_order(clips: Tensor, rng: torch.Generator) -> Tensor:
    return clips


def shuffled(clips: Tensor, rng: torch.Generator) -> Tensor:
    """The frames of each clip in an order of its own."""
    orders = torch.rand(len(clips), FRAMES, generator=rng).argsort(1)
    return clips.gather(2, orders[:, None, :, None, None].expand_as(clips))


def one_frame(clips: Tensor, rng: torch.Generator) -> Tensor:
    """One frame of each clip, in place of all of them."""
    frames = torch.randint(FRAMES, (len(clips),), generator=rng)
    return clips[torch.arange(len(clips)), :, frames].unsqueeze(2).expand_as(clips)


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


@pytest.fixture(scope="module")
def drawn() -> tuple[Videos, Videos]:
    """Clips [N, 3, FRAMES, SIDE, SIDE] and labels [N] to train on and, of other shapes and textures, to test on."""
    batches = MotionBatches(STEPS * 45, num_frames=FRAMES, size=SIDE)
    others = MotionBatches(PER_CLASS * 45, num_frames=FRAMES, size=SIDE, split="val", frames="centre")
    (train, labels), (test, other_labels) = batches.batch(0), others.batch(0)
    return (train.float() / 255 - 0.4, labels), (test.float() / 255 - 0.4, other_labels)


def logits_of_probe(train: Videos, test: Videos, order: Order) -> Tensor:
    """Train a probe on clips in an order, each seen once, and return its logits for the test clips in such an order."""
    rng = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    probe = Probe()
    optimiser = torch.optim.AdamW(probe.parameters(), weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.01, total_steps=STEPS)
    for clips, labels in zip(*(part.split(45) for part in train), strict=True):
        loss = F.cross_entropy(probe(order(clips, rng)), labels)
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
    ways, exceeded = math.lgamma(trials + 1), 1.0
    for successes in range(trials + 1):
        failures = trials - successes
        choices = ways - math.lgamma(successes + 1) - math.lgamma(failures + 1)
        exceeded -= math.exp(choices + successes * math.log(probability) + failures * math.log(1 - probability))
        if exceeded <= error:
            return successes
    return trials


def test_bound() -> None:
    assert most_by_chance(10, 0.5, 0.002) == 9
    assert 204 < most_by_chance(360, 0.5) < 220
    assert 590 < most_by_chance(1080, 0.5) < 610


def test_frames_in_order_tell_the_class(drawn: tuple[Videos, Videos]) -> None:
    train, test = drawn
    logits = logits_of_probe(train, test, in_order)
    assert num_right(logits, test[1]) > 0.45 * len(test[1])
    assert num_right_in_pairs(logits, test[1]) > 0.75 * 2 * len(ORDER_PAIRS) * PER_CLASS


def test_shuffled_frames_do_not_tell_the_class_within_an_order_pair(drawn: tuple[Videos, Videos]) -> None:
    train, test = drawn
    logits = logits_of_probe(train, test, shuffled)
    assert num_right_in_pairs(logits, test[1]) <= most_by_chance(2 * len(ORDER_PAIRS) * PER_CLASS, 1 / 2)
    assert num_right(logits, test[1]) > 3 * most_by_chance(len(test[1]), 1 / 45)  # it did learn the families


def test_a_single_frame_does_not_tell_the_class(drawn: tuple[Videos, Videos]) -> None:
    train, test = drawn
    bound = most_by_chance(len(test[1]), 1 / 45)
    assert num_right(logits_of_probe(train, test, one_frame), test[1]) <= bound
    leaky_train, leaky_test = (with_leak(*part) for part in drawn)
    assert num_right(logits_of_probe(leaky_train, leaky_test, one_frame), test[1]) > bound


@pytest.mark.parametrize("frame", [0, 3, 7])
def test_a_linear_probe_on_one_frame_is_at_chance(drawn: tuple[Videos, Videos], frame: int) -> None:
    bound = most_by_chance(len(drawn[1][1]), 1 / 45)
    assert num_right_by_ridge(*drawn, frame) <= bound
    leaky_train, leaky_test = (with_leak(*part) for part in drawn)
    assert num_right_by_ridge(leaky_train, leaky_test, frame) > bound


def num_right_by_ridge(train: Videos, test: Videos, frame: int) -> int:
    """How many of the test clips a ridge classifier on the pixels of one frame has right."""
    frames, others = (F.pad(clips[:, :, frame].flatten(1), (0, 1), value=1.0) for clips, _ in (train, test))
    wanted = F.one_hot(train[1], 45).float() - 1 / 45
    weights = torch.linalg.solve(frames.T @ frames + 10 * torch.eye(frames.shape[1]), frames.T @ wanted)
    return num_right(others @ weights, test[1])


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
    assert sorted(index.labels) == sorted(BASIC)
    for split, per_class in (("train", 2), ("val", 1)):
        counts = Counter(index.labels[item.label] for item in index.splits[split])
        assert counts == dict.fromkeys(BASIC, per_class)
    assert len(list(written.rglob("*.mp4"))) == 3 * len(BASIC)


def test_the_files_hold_the_drawn_frames(written: Path) -> None:
    rows = [line.split(",") for line in (written / "index.csv").read_text().splitlines()]
    assert rows[0] == ["path", "label", "split", "seed"]
    assert len(rows) == 1 + 3 * len(BASIC)
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
