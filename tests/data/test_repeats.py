"""Repeated augmentation: several clips of one video, each with its own draws, out of one opened file."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from tests.data.video_files import Recording
from vov3d.data import dataset as dataset_module
from vov3d.data.dataset import CLIP_STREAM, ClipDataset, _clip_rng
from vov3d.data.items import Broken, Clip, collate
from vov3d.data.sampler import SeekableSampler
from vov3d.data.sources import VideoIndex, VideoItem

SETTINGS = {"num_frames": 3, "short_side": (32, 40), "crop": 32, "flip": "labels", "colour_jitter": 0.4, "seed": 3}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> VideoIndex:
    """Four videos; number 2 is broken."""
    root = tmp_path_factory.mktemp("set")
    items = []
    for number in range(4):
        Recording(f"{number}.mkv", "ffv1", num_frames=16, pixel_format="bgr0").write(root)
        items.append(VideoItem(root / f"{number}.mkv", number % 2, str(number)))
    (root / "2.mkv").write_text("not a video")
    splits = {"train": tuple(items)}
    return VideoIndex(root, "class folders", ("left", "right"), splits, notes=(), flip="labels", frame_fps=None)


def test_one_clip_draws_what_it_always_drew() -> None:
    always = np.random.default_rng((CLIP_STREAM, 3, 5, 7))
    assert _clip_rng(3, 5, 7, 0).bit_generator.state == always.bit_generator.state
    states = {str(_clip_rng(3, 5, 7, repeat).bit_generator.state) for repeat in range(10)}
    assert len(states) == 10


def test_the_first_clip_is_that_without_repeats_and_the_others_are_their_own(index: VideoIndex) -> None:
    once, many = ClipDataset(index, "train", **SETTINGS), ClipDataset(index, "train", repeats=4, **SETTINGS)
    labels = set()
    for epoch in range(4):
        clips, alone = many[epoch, 1], once[epoch, 1]
        assert isinstance(alone, Clip) and isinstance(clips, tuple) and len(clips) == 4
        assert torch.equal(clips[0].clip, alone.clip) and clips[0].label == alone.label
        assert {clip.index for clip in clips} == {1}
        assert all(not torch.equal(a.clip, b.clip) for a in clips for b in clips if a is not b)
        labels |= {clip.label for clip in clips}
        again = many[epoch, 1]
        assert isinstance(again, tuple)
        assert all(torch.equal(a.clip, b.clip) for a, b in zip(clips, again, strict=True))
    assert labels == {0, 1}, "each clip has its own flip, and the label that goes with it"


def test_a_video_is_opened_once(index: VideoIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, real = [], dataset_module.open_item
    monkeypatch.setattr(dataset_module, "open_item", lambda *args: (opened.append(args[0].name), real(*args))[1])
    ClipDataset(index, "train", repeats=3, **SETTINGS)[0, 1]
    assert opened == ["1"]


def test_a_broken_video_is_broken_once(index: VideoIndex) -> None:
    item = ClipDataset(index, "train", repeats=3, **SETTINGS)[0, 2]
    assert isinstance(item, Broken) and item.index == 2


@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_hold_each_video_before_any_for_the_second_time(index: VideoIndex, num_workers: int) -> None:
    dataset = ClipDataset(index, "train", repeats=2, **SETTINGS)
    sampler = SeekableSampler(4, 4)
    loader = DataLoader(dataset, batch_sampler=sampler, collate_fn=collate, num_workers=num_workers)
    (batch,) = list(loader)
    assert batch.clips.shape == (6, 3, 3, 32, 32) and len(batch.labels) == len(batch.targets) == 6
    order = batch.indices.tolist()
    assert order[:3] == order[3:] and sorted(order[:3]) == [0, 1, 3]
    assert [broken.index for broken in batch.broken] == [2]
    for place, number in enumerate(order):
        item = dataset[0, number]
        assert isinstance(item, tuple)
        clip = item[place // 3]
        assert torch.equal(batch.clips[place], clip.clip) and int(batch.labels[place]) == clip.label


def test_there_is_at_least_one(index: VideoIndex) -> None:
    with pytest.raises(ValueError, match="repeats=0; at least 1"):
        ClipDataset(index, "train", repeats=0, **SETTINGS)
