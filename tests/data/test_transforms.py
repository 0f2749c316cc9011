"""Sizes, crops and numbers are the published ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from vov3d.data.transforms import (
    crop_offsets,
    hflip,
    jittered_short_side,
    normalise,
    random_crop_offset,
    resize_clip,
    short_side_size,
)


def test_sizes_and_crops_are_the_published_ones(golden: Path) -> None:
    cases = json.loads((golden / "pipeline_golden.json").read_text())["resize_and_uniform_crop"]
    for case in cases:
        size = short_side_size(*case["in_hw"], case["short_side"])
        assert list(size) == case["resized_hw"]
        assert [list(offset) for offset in crop_offsets(*size, case["short_side"], 3)] == case["crop_offsets_yx"]
    assert len(cases) == 18


def test_one_crop_is_the_centre() -> None:
    assert crop_offsets(256, 341, 224, 1) == [(16, 59)]
    assert crop_offsets(341, 256, 224, 3) == [(0, 16), (59, 16), (117, 16)]


def test_the_whole_transform_is_the_published_one(golden: Path) -> None:
    case = json.loads((golden / "pipeline_golden.json").read_text())["tiny_transform"]
    pixels = np.random.Generator(np.random.PCG64(5)).integers(0, 256, (2, 12, 20, 3), np.uint8)
    clip = normalise(torch.from_numpy(pixels).permute(0, 3, 1, 2), mean=0.45, std=0.225)
    size = short_side_size(12, 20, case["short_side"])
    resized = resize_clip(clip, size)
    crop = case["crop"]
    for view, (y, x) in zip(case["views"], crop_offsets(*size, crop, 3), strict=True):
        cut = resized[..., y : y + crop, x : x + crop].flip(0)  # the published input is BGR
        assert list(cut.shape) == view["shape"]
        assert cut.sum().item() == pytest.approx(view["sum"], abs=1e-2)
        assert cut.flatten()[:8].tolist() == pytest.approx(view["first8"], abs=1e-5)
        assert cut[-1, -1, -1, -1].item() == pytest.approx(view["corner_last"], abs=1e-5)


def test_normalise_takes_any_layout() -> None:
    pixels = torch.randint(0, 256, (4, 10, 12, 3), dtype=torch.uint8)
    frames = pixels.permute(0, 3, 1, 2)[..., 1:9, 2:12]
    clip = normalise(frames, mean=0.4, std=0.2)
    assert clip.shape == (3, 4, 8, 10) and clip.dtype == torch.float32
    assert clip.movedim(0, -1).is_contiguous()  # channels-last, as networks take it: nothing is moved again
    torch.testing.assert_close(clip, (frames.transpose(0, 1) / 255 - 0.4) / 0.2)


def test_a_flip_reverses_the_width() -> None:
    frames = torch.randint(0, 256, (2, 3, 4, 5), dtype=torch.uint8)
    assert torch.equal(hflip(frames)[..., 0], frames[..., 4])
    assert torch.equal(hflip(hflip(frames)), frames)


@pytest.mark.parametrize(("law", "mean"), [("uniform", 288.0), ("inverse_uniform", 285.6)])
def test_the_short_side_follows_its_law(law: str, mean: float) -> None:
    rng = np.random.default_rng(0)
    drawn = [jittered_short_side(256, 320, law, rng) for _ in range(20_000)]
    assert (min(drawn), max(drawn)) == (256, 320)
    assert np.mean(drawn) == pytest.approx(mean, abs=0.4)
    assert jittered_short_side(256, 256, law, rng) == 256


def test_random_crops_lie_inside_and_leave_out_the_last_place() -> None:
    rng = np.random.default_rng(0)
    drawn = {random_crop_offset(12, 10, 8, rng) for _ in range(200)}
    assert drawn == {(y, x) for y in range(4) for x in range(2)}
    assert random_crop_offset(8, 8, 8, rng) == (0, 0)


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="does not fit into frames of 10 x 20"):
        crop_offsets(10, 20, 11, 3)
    with pytest.raises(ValueError, match="does not fit"):
        random_crop_offset(10, 20, 11, np.random.default_rng())
    with pytest.raises(ValueError, match="allowed are 1"):
        crop_offsets(10, 20, 8, 2)
    with pytest.raises(ValueError, match="at least 1"):
        short_side_size(0, 20, 8)
