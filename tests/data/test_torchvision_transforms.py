"""RandAugment and random erasing change all frames alike, as a pure function of (seed, epoch, index)."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from tests.data.video_files import Recording
from tests.torchvision_beside_cpu_torch import import_torchvision
from vov3d.data.dataset import ClipDataset
from vov3d.data.items import collate
from vov3d.data.sampler import SeekableSampler
from vov3d.data.sources import VideoIndex, VideoItem
from vov3d.data.torchvision_transforms import clip_transform
from vov3d.errors import ArgumentError


@pytest.fixture
def _torchvision() -> None:
    import_torchvision()


def still(height: int = 40, width: int = 48, num_frames: int = 3) -> Tensor:
    """A clip whose frames are one and the same, in the memory layout of a decoder."""
    picture = torch.randint(256, (1, height, width, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return picture.expand(num_frames, -1, -1, -1).permute(0, 3, 1, 2)


def drawn(transform: Callable[[Tensor], Tensor] | None, frames: Tensor, seed: int) -> Tensor:
    assert transform is not None
    torch.manual_seed(seed)
    return transform(frames)


def test_nothing_asked_is_nothing() -> None:
    assert clip_transform() is None
    assert clip_transform(rand_augment_ops=0, rand_augment_magnitude=30, random_erasing=0.0) is None


@pytest.mark.usefixtures("_torchvision")
@pytest.mark.parametrize("magnitude", [0, 9, 30])
def test_all_frames_get_the_same_change(magnitude: int) -> None:
    transform = clip_transform(rand_augment_ops=2, rand_augment_magnitude=magnitude, random_erasing=0.5)
    frames = still()
    results = [drawn(transform, frames, seed) for seed in range(60)]
    for result in results:
        assert (result.dtype, result.shape) == (torch.uint8, frames.shape)
        assert torch.equal(result, result[:1].expand_as(result))
    assert len({tuple(result[0].flatten().tolist()) for result in results}) > 20


@pytest.mark.usefixtures("_torchvision")
def test_no_change_mirrors_a_clip() -> None:
    """What is bright on the left stays brighter there than on the right, or nothing is to be seen any more."""
    frames = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    frames[..., 8:56, 8:28] = 160  # a bar left of the middle ...
    frames[..., 28:48, 36:56] = 60  # ... and a darker thing on the right
    transform = clip_transform(rand_augment_ops=1, rand_augment_magnitude=9, mean=0.0)
    for seed in range(200):
        result = drawn(transform, frames, seed)[0].float()
        solarised = result.amax() > 0 and (result[:, :8] > 200).any()
        if not solarised:
            assert result[..., :32].sum() >= result[..., 32:].sum()


@pytest.mark.usefixtures("_torchvision")
def test_erasing_blots_one_box_out_in_the_mean_colour() -> None:
    transform, frames = clip_transform(random_erasing=0.25, mean=0.45), still()
    erased = 0
    for seed in range(400):
        changed = (drawn(transform, frames, seed) != frames).any(1)
        if not changed.any():
            continue
        erased += 1
        result = drawn(transform, frames, seed)
        rows, columns = changed[0].any(1).nonzero().flatten(), changed[0].any(0).nonzero().flatten()
        box = result[..., rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert (box == 115).all(), "115 is 0.45 of 255: the mean"
        assert 0.01 < box[0, 0].numel() / frames[0, 0].numel() < 0.36
    assert 70 < erased < 130


@pytest.mark.usefixtures("_torchvision")
@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_clip_is_a_pure_function_of_its_key_in_every_process(tmp_path: Path, num_workers: int) -> None:
    items = []
    for number in range(3):
        Recording(f"{number}.mkv", "ffv1", num_frames=10, pixel_format="bgr0").write(tmp_path)
        items.append(VideoItem(tmp_path / f"{number}.mkv", 0, str(number)))
    splits = {"train": tuple(items)}
    index = VideoIndex(tmp_path, "class folders", ("a",), splits, notes=(), flip="none", frame_fps=None)
    transform = clip_transform(rand_augment_ops=2, random_erasing=0.5)

    def dataset(transform: Callable[[Tensor], Tensor] | None) -> ClipDataset:
        return ClipDataset(index, "train", num_frames=2, short_side=(32, 32), crop=32, transform=transform, repeats=2)

    sampler = SeekableSampler(3, 3)
    sampler.seek(5)
    loader = DataLoader(dataset(transform), batch_sampler=sampler, collate_fn=collate, num_workers=num_workers)
    (batch,) = list(loader)
    direct = dataset(pickle.loads(pickle.dumps(transform)))
    plain = dataset(None)
    changed = 0
    for clip, number, repeat in zip(batch.clips, batch.indices.tolist(), (0, 0, 0, 1, 1, 1), strict=True):
        torch.rand(number)  # the state of torch's generator does not matter
        assert torch.equal(direct[5, number][repeat].clip, clip)  # type: ignore[index]
        changed += not torch.equal(plain[5, number][repeat].clip, clip)  # type: ignore[index]
    assert changed >= 4


@pytest.mark.parametrize(
    ("settings", "keys"),
    [
        ({"rand_augment_ops": 2}, r"^clip.rand_augment_ops needs torchvision.*or set it to 0"),
        ({"random_erasing": 0.2}, r"^clip.random_erasing needs torchvision.*or set it to 0"),
        (
            {"rand_augment_ops": 1, "random_erasing": 0.2},
            r"clip.rand_augment_ops and clip.random_erasing need torchvision.*or set them to 0",
        ),
    ],
)
@pytest.mark.parametrize(
    "error",
    [ModuleNotFoundError("No module named 'torchvision'"), RuntimeError("operator nms\ndoes not exist")],
    ids=str,
)
def test_without_torchvision_one_line_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, float], keys: str, error: Exception
) -> None:
    def refuse(name: str, *_: object) -> object:
        raise error

    monkeypatch.setattr("vov3d.data.torchvision_transforms.import_module", refuse)
    with pytest.raises(ArgumentError, match=keys) as caught:
        clip_transform(**settings)  # type: ignore[arg-type]
    message = str(caught.value)
    assert "\n" not in message and "pip install 'vov3d[augment]'" in message
    assert " ".join(str(error).split()) in message
