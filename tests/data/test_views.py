"""Views are cut out of frames that are handed over once, as bytes; both ways to cut them give the same numbers."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from vov3d.data.transforms import normalise
from vov3d.data.video import VideoInfo
from vov3d.data.views import Views

INFO = VideoInfo(Path("a.mp4"), 9, 30.0, 0.3, 20, 24, "h264")
CORNERS = ((0, 0), (3, 4), (0, 8))


@pytest.fixture
def views() -> Views:
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (9, 20, 24, 3), dtype=torch.uint8, generator=generator).permute(0, 3, 1, 2)
    places = torch.randint(0, 9, (6, 5), generator=generator)
    return Views(frames, places, CORNERS * 2, crop=16, mean=0.4, std=0.2, label=3, index=7, info=INFO)


def test_each_view_shows_its_frames_at_its_corner(views: Views) -> None:
    made = views.views
    assert made.shape == (6, 3, 5, 16, 16) and made.dtype == torch.float32
    assert made.is_contiguous(memory_format=torch.channels_last_3d)
    for view, (y, x) in enumerate(views.corners):
        cut = views.frames[views.places[view]][..., y : y + 16, x : x + 16]
        torch.testing.assert_close(made[view], ((cut.float() / 255 - 0.4) / 0.2).transpose(0, 1))


def test_a_gpu_makes_what_the_processor_makes(views: Views) -> None:
    other = torch.empty(6, 3, 5, 16, 16)
    views._fill_by_view(other)  # the way of a GPU, taken on the processor
    assert torch.equal(other, views.on(torch.device("cpu")))


def test_what_a_worker_hands_over_is_bytes(views: Views) -> None:
    assert len(pickle.dumps(views)) < views.views.nbytes / 2
    assert torch.equal(pickle.loads(pickle.dumps(views)).views, views.views)


def test_normalise_is_one_rounding_of_the_formula() -> None:
    frames = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(2, 3, 16, 16)
    exact = (frames.double() / 255 - 0.45) / 0.225
    assert (normalise(frames, 0.45, 0.225).double().transpose(0, 1) - exact).abs().max() < 5e-7


@pytest.mark.parametrize("most", [1, 2, 4, 5, 6, 30])
def test_parts_are_the_views_in_order(views: Views, most: int) -> None:
    parts = views.split(most)
    assert len(parts) == -(-6 // most) and all(0 < len(part) <= most for part in parts)
    assert torch.equal(torch.cat([part.views for part in parts]), views.views)


def test_views_that_are_moved_are_the_same(views: Views) -> None:
    assert torch.equal(views.to(torch.device("cpu")).views, views.views)
