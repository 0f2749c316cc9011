"""Clips and views are pure functions of their keys, and a broken video stays a broken video."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from tests.data.video_files import Recording
from vov3d.data.dataset import ClipDataset, ViewDataset, frame_order
from vov3d.data.items import Batch, Broken, Clip, collate
from vov3d.data.sampler import SeekableSampler
from vov3d.data.sources import VideoIndex, VideoItem
from vov3d.data.video import VideoInfo, open_video
from vov3d.data.views import Views
from vov3d.errors import DataError

LABELS = ("left", "right", "up", "circle_ccw")
SMALL = {"num_frames": 4, "short_side": (32, 40), "crop": 32}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> VideoIndex:
    """Eight videos, two of each class; number 5 is broken."""
    root = tmp_path_factory.mktemp("set")
    items = []
    for number in range(8):
        name = f"{number}.mkv"
        Recording(name, "ffv1", num_frames=20 + number, pixel_format="bgr0", keyframe_every=4).write(root)
        items.append(VideoItem(root / name, number % 4, name))
    (root / "5.mkv").write_text("not a video")
    splits = {"train": tuple(items), "val": tuple(items)}
    return VideoIndex(root, "class folders", LABELS, splits, notes=(), flip="labels", frame_fps=None)


def clip_of(dataset: ClipDataset, epoch: int, index: int) -> Clip:
    item = dataset[epoch, index]
    assert isinstance(item, Clip)
    return item


def views_of(dataset: ViewDataset, index: int) -> torch.Tensor:
    item = dataset[index]
    assert isinstance(item, Views)
    return item.views


def test_a_clip_is_a_pure_function_of_seed_epoch_and_index(index: VideoIndex) -> None:
    dataset, again = (ClipDataset(index, "train", seed=1, **SMALL) for _ in range(2))
    other_seed = ClipDataset(index, "train", seed=2, **SMALL)
    clip = clip_of(dataset, 3, 0)
    assert clip.clip.shape == (3, 4, 32, 32) and clip.clip.dtype == torch.float32
    assert (clip.label, clip.index) == (0, 0)
    clip_of(again, 0, 6)
    assert torch.equal(clip.clip, clip_of(again, 3, 0).clip)
    assert not torch.equal(clip.clip, clip_of(dataset, 4, 0).clip)
    assert not torch.equal(clip.clip, clip_of(other_seed, 3, 0).clip)


def test_a_clip_is_cut_out_of_the_frames_of_its_video(index: VideoIndex) -> None:
    dataset = ClipDataset(index, "train", num_frames=4, short_side=(64, 64), crop=64, mean=0.0, std=1.0)
    clip = clip_of(dataset, 0, 2)
    with open_video(index.splits["train"][2].path) as video:
        frames = video.frames(range(video.info.num_frames)).float() / 255
    places = [frames[..., x : x + 64] for x in range(16)]  # the crop may lie anywhere along the width of 80
    for place in range(4):
        assert any(torch.isclose(crop, clip.clip[:, place]).all(dim=(1, 2, 3)).any() for crop in places)


def test_flips_take_the_label_along(index: VideoIndex) -> None:
    plain = ClipDataset(index, "train", flip="none", **SMALL)
    flipping = ClipDataset(index, "train", flip="labels", **SMALL)
    seen: dict[int, set[int]] = {}
    for epoch in range(12):
        for number in (0, 1, 2, 3):
            given, got = clip_of(plain, epoch, number), clip_of(flipping, epoch, number)
            flipped = not torch.equal(given.clip, got.clip)
            assert torch.equal(got.clip, given.clip.flip(-1) if flipped else given.clip)
            assert got.label == ({0: 1, 1: 0, 2: 2}[given.label] if flipped else given.label)
            seen.setdefault(number, set()).add(flipped)
    assert seen == {0: {True, False}, 1: {True, False}, 2: {True, False}, 3: {False}}


def test_a_transform_sees_bytes_after_crop_and_flip(index: VideoIndex) -> None:
    seen = []

    def transform(frames: torch.Tensor) -> torch.Tensor:
        seen.append((frames.dtype, tuple(frames.shape)))
        return torch.zeros_like(frames)

    dataset = ClipDataset(index, "train", transform=transform, mean=0.5, std=0.5, **SMALL)
    assert torch.equal(clip_of(dataset, 0, 0).clip, torch.full((3, 4, 32, 32), -1.0))
    assert seen == [(torch.uint8, (4, 3, 32, 32))]


def test_the_draws_of_a_transform_are_repeatable(index: VideoIndex) -> None:
    def noise(frames: torch.Tensor) -> torch.Tensor:
        return torch.randint_like(frames, 256)

    dataset = ClipDataset(index, "train", transform=noise, **SMALL)
    state = torch.random.get_rng_state()
    first = clip_of(dataset, 0, 0).clip
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.rand(5)
    assert torch.equal(clip_of(dataset, 0, 0).clip, first)
    assert not torch.equal(clip_of(dataset, 1, 0).clip, first) and not torch.equal(clip_of(dataset, 0, 1).clip, first)


@pytest.mark.parametrize("sampling", ["segment", "dense"])
@pytest.mark.parametrize("law", ["uniform", "inverse_uniform"])
def test_every_setting_gives_a_clip(index: VideoIndex, sampling: str, law: str) -> None:
    dataset = ClipDataset(index, "train", sampling=sampling, frame_stride=2, short_side_law=law, **SMALL)
    assert clip_of(dataset, 0, 7).clip.shape == (3, 4, 32, 32)


def test_a_broken_video_is_reported(index: VideoIndex) -> None:
    path = str(index.splits["train"][5].path)
    for item in (ClipDataset(index, "train", **SMALL)[0, 5], ViewDataset(index, "val", num_frames=4, crop=32)[5]):
        assert isinstance(item, Broken)
        assert (item.index, item.path, item.reason) == (5, path, "Invalid data found when processing input")


def test_collate() -> None:
    clips = [Clip(torch.full((3, 2, 4, 4), float(number)), number, 10 + number) for number in range(3)]
    broken = Broken(7, "a.mp4", "damaged")
    batch = collate([clips[0], broken, clips[2]])
    assert isinstance(batch, Batch) and batch.clips.shape == (2, 3, 2, 4, 4)
    assert batch.clips.is_contiguous(memory_format=torch.channels_last_3d)
    assert (batch.labels.tolist(), batch.indices.tolist(), batch.broken) == ([0, 2], [10, 12], (broken,))
    for items in ([broken], []):
        batch = collate(items)
        assert (len(batch.clips), len(batch.labels), len(batch.indices)) == (0, 0, 0)
        assert batch.broken == tuple(items)


def several_labels(index: VideoIndex, labels: tuple[str, ...]) -> VideoIndex:
    """Three of the videos, which show the first and third class, the second, and none."""
    items = index.splits["train"]
    shown = (
        dataclasses.replace(items[0], label=0, also=(2,)),
        dataclasses.replace(items[1], label=1),
        dataclasses.replace(items[2], label=-1),
    )
    return dataclasses.replace(index, labels=labels, splits={"train": shown}, multi_label=True)


def test_targets_hold_every_class(index: VideoIndex) -> None:
    several = ClipDataset(several_labels(index, LABELS), "train", **SMALL)
    batch = collate([several[0, number] for number in (0, 1, 2)])
    assert batch.targets.dtype == torch.float32
    assert batch.targets.tolist() == [[1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert batch.labels.tolist() == [0, 1, -1]
    one = ClipDataset(index, "train", **SMALL)
    batch = collate([one[0, 6], one[0, 5], one[0, 1]])
    assert (batch.targets.tolist(), batch.labels.tolist()) == ([[0, 0, 1, 0], [0, 1, 0, 0]], [2, 1])
    views = ViewDataset(index, "val", num_frames=4, crop=32)
    assert collate([views[0]]).targets.shape == (0,) == collate([one[0, 5]]).targets.shape


def test_a_flip_mirrors_every_class(index: VideoIndex) -> None:
    """The classes are left, right and up: what shows left and up shows right and up in the mirror."""
    several = several_labels(index, LABELS[:3])
    plain, flipping = (ClipDataset(several, "train", flip=flip, **SMALL) for flip in ("none", "labels"))
    mirrored = {0: [0, 1, 1], 1: [1, 0, 0], 2: [0, 0, 0]}
    seen: dict[int, set[bool]] = {}
    for epoch in range(12):
        for number in (0, 1, 2):
            given, got = clip_of(plain, epoch, number), clip_of(flipping, epoch, number)
            flipped = not torch.equal(given.clip, got.clip)
            assert torch.equal(got.clip, given.clip.flip(-1) if flipped else given.clip)
            assert given.target is not None and got.target is not None
            assert got.target.tolist() == (mirrored[number] if flipped else given.target.tolist())
            assert got.label == (got.target.tolist().index(1) if got.target.any() else -1)
            seen.setdefault(number, set()).add(flipped)
    assert seen == {number: {True, False} for number in (0, 1, 2)}


def test_nothing_is_flipped_where_the_mirror_may_show_what_has_no_label(index: VideoIndex) -> None:
    """Whether a mirror image turns clockwise says only a label for the other direction, and there is none."""
    several = several_labels(index, LABELS)
    plain, flipping = (ClipDataset(several, "train", flip=flip, **SMALL) for flip in ("none", "labels"))
    for epoch in range(8):
        for number in (0, 1, 2):
            assert torch.equal(clip_of(plain, epoch, number).clip, clip_of(flipping, epoch, number).clip)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_loader_goes_on_where_it_stopped(index: VideoIndex, num_workers: int) -> None:
    dataset = ClipDataset(index, "train", seed=1, flip="labels", **SMALL)
    sampler = SeekableSampler(len(dataset), 3, seed=1, drop_last=False)
    loader = DataLoader(dataset, batch_sampler=sampler, collate_fn=collate, num_workers=num_workers)
    sampler.seek(2)
    whole = list(loader)
    assert sum(len(batch.labels) for batch in whole) == 7
    assert [broken.index for batch in whole for broken in batch.broken] == [5]
    sampler.seek(2, 1)
    for batch, expected in zip(loader, whole[1:], strict=True):
        assert torch.equal(batch.clips, expected.clips) and torch.equal(batch.labels, expected.labels)
    keys = [key for batch in whole for key in batch.indices.tolist()]
    direct = {number: clip_of(dataset, 2, number) for number in keys}
    for batch in whole:
        for clip, label, number in zip(*batch[:3], strict=True):
            assert torch.equal(clip, direct[int(number)].clip) and label == direct[int(number)].label


def test_views_are_ordered_clip_by_clip(index: VideoIndex) -> None:
    six = views_of(ViewDataset(index, "val", num_frames=4, num_clips=2, num_crops=3, crop=48), 0)
    assert six.shape == (6, 3, 4, 48, 48)
    centres = views_of(ViewDataset(index, "val", num_frames=4, num_clips=2, num_crops=1, crop=48), 0)
    assert torch.equal(six[[1, 4]], centres)
    one = views_of(ViewDataset(index, "val", num_frames=4, crop=48), 0)
    assert one.shape == (1, 3, 4, 48, 48) and not torch.equal(one[0], centres[0])
    left, right = six[0], six[2]
    assert torch.equal(left[..., 6:], six[1][..., :42]) and torch.equal(right[..., :42], six[1][..., 6:])


def test_views_decode_each_frame_once(index: VideoIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    from vov3d.data.pyav import PyAVDecoder

    asked = []
    frames: Callable[..., torch.Tensor] = PyAVDecoder.frames

    def spy(self: PyAVDecoder, indices: list[int], *size_and_window: tuple[int, ...]) -> torch.Tensor:
        asked.append(list(indices))
        return frames(self, indices, *size_and_window)

    monkeypatch.setattr(PyAVDecoder, "frames", spy)
    views_of(ViewDataset(index, "val", num_frames=16, num_clips=4, num_crops=3, crop=32, sampling="dense"), 0)
    assert len(asked) == 1 and len(asked[0]) == len(set(asked[0])) <= 20


@pytest.mark.parametrize("sampling", ["segment", "dense"])
def test_random_views_are_drawn_each_by_itself(index: VideoIndex, sampling: str) -> None:
    settings = {
        "num_frames": 4,
        "num_clips": 2,
        "num_crops": 3,
        "crop": 64,
        "clip_rule": "random",
        "sampling": sampling,
    }
    dataset = ViewDataset(index, "val", seed=1, **settings)
    views = views_of(dataset, 0)
    assert torch.equal(views, views_of(ViewDataset(index, "val", seed=1, **settings), 0))
    assert not torch.equal(views, views_of(ViewDataset(index, "val", seed=2, **settings), 0))
    with open_video(index.splits["val"][0].path) as video:
        drawn = {tuple(row) for row in dataset._indices(video.info, 0)}
    assert len(drawn) >= 5


def test_frame_orders_are_controls(index: VideoIndex) -> None:
    settings = {"num_frames": 6, "num_clips": 2, "crop": 32}
    given = views_of(ViewDataset(index, "val", **settings), 1)
    backwards = views_of(ViewDataset(index, "val", frame_order="reversed", **settings), 1)
    shuffled = views_of(ViewDataset(index, "val", frame_order="shuffled", seed=4, **settings), 1)
    assert torch.equal(backwards, given.flip(2))
    order = frame_order("shuffled", 6, (4, 1))
    assert torch.equal(shuffled, given[:, :, order]) and not torch.equal(shuffled, given)


def test_a_shuffle_is_never_the_given_order() -> None:
    for num_frames in (2, 3, 4):
        for seed in range(60):
            order = frame_order("shuffled", num_frames, (seed, 0)).tolist()
            assert sorted(order) == list(range(num_frames)) and order != sorted(order)
    assert frame_order("shuffled", 1, (0, 0)).tolist() == [0]
    assert len({tuple(frame_order("shuffled", 8, (0, number))) for number in range(20)}) == 20


@pytest.mark.parametrize("rule", ["uniform", "random"])
@pytest.mark.parametrize("sampling", ["segment", "dense"])
def test_a_clip_at_twice_the_speed_is_that_of_a_video_without_every_second_frame(
    index: VideoIndex, sampling: str, rule: str
) -> None:
    """To a frame: what is rounded in one video is rounded to a frame of half the length in the other."""
    settings = {"num_frames": 8, "sampling": sampling, "clip_rule": rule, "frame_stride": 3, "num_clips": 3, "crop": 32}
    given, fast, slow = (ViewDataset(index, "val", speed=speed, **settings) for speed in (1.0, 2.0, 0.5))
    long = VideoInfo(Path("long"), 240, 30.0, 8.0, 48, 64, "h264")
    halved = dataclasses.replace(long, num_frames=120)
    if sampling == "dense":
        assert np.abs(fast._indices(long, 0) - 2 * given._indices(halved, 0)).max() <= 2
    else:  # the halved video is over in the middle of the clip, and its last frame stays
        assert fast._indices(halved, 0)[:, :4].tolist() == given._indices(long, 0)[:, :4].tolist()
        assert (fast._indices(halved, 0)[:, 4:] == 119).all()
        assert slow._indices(long, 0).tolist() == (given._indices(halved, 0) + 60).tolist()
    spans = [np.ptp(dataset._indices(long, 0), axis=1).mean() for dataset in (slow, given)]
    assert spans[0] == pytest.approx(spans[1] / 2, abs=3)


def test_speed_1_changes_nothing_and_speeds_change_what_is_seen(index: VideoIndex) -> None:
    settings = {"num_frames": 6, "num_clips": 2, "crop": 32}
    given = views_of(ViewDataset(index, "val", **settings), 0)
    assert torch.equal(given, views_of(ViewDataset(index, "val", speed=1.0, **settings), 0))
    assert not torch.equal(given, views_of(ViewDataset(index, "val", speed=0.5, **settings), 0))


def test_frame_folders_are_read_at_the_rate_of_the_index(tmp_path: Path, index: VideoIndex) -> None:
    from PIL import Image

    for number in range(24):
        Image.fromarray(np.full((20, 24, 3), number, np.uint8)).save(tmp_path / f"{number}.png")
    item = VideoItem(tmp_path, 2, "folder", tuple(f"{number}.png" for number in range(24)))
    folder = dataclasses.replace(index, splits={"val": (item,)}, frame_fps=12.0)
    settings = {"num_frames": 4, "crop": 16, "sampling": "dense", "frame_stride": 5, "mean": 0.0, "std": 1 / 255}
    shown = views_of(ViewDataset(folder, "val", **settings), 0)[0, 0, :, 0, 0].round().int().tolist()
    assert shown == [8, 10, 12, 15]  # 8 frames at 12 per second, out of the middle of 24


def test_a_label_that_is_not_known_is_kept(index: VideoIndex) -> None:
    item = dataclasses.replace(index.splits["train"][0], label=-1)
    unlabelled = dataclasses.replace(index, labels=("left", "right"), splits={"test": (item,)})
    dataset = ClipDataset(unlabelled, "test", flip="labels", **SMALL)
    assert {clip_of(dataset, epoch, 0).label for epoch in range(6)} == {-1}


def test_wrong_arguments(index: VideoIndex) -> None:
    with pytest.raises(ValueError, match="short_side=200 to 320 with crop=224"):
        ClipDataset(index, "train", num_frames=4, short_side=(200, 320), crop=224)
    with pytest.raises(ValueError, match="did you mean 'dense'"):
        ClipDataset(index, "train", num_frames=4, sampling="dens")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="1 or 3 crops"):
        ViewDataset(index, "val", num_frames=4, num_crops=2)
    with pytest.raises(ValueError, match=r"speed=0\.0; above 0"):
        ViewDataset(index, "val", num_frames=4, speed=0.0)
    with pytest.raises(DataError, match=r"no split 'tset'. Allowed: train, val"):
        ViewDataset(index, "tset", num_frames=4)
