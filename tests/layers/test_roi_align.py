"""RoIAlign against its definition."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vov3d.layers import roi_align


def bilinear(image: Tensor, row: float, column: float) -> Tensor:
    """The value of an image at a place, cells having their centres at halves."""
    height, width = image.shape[1:]
    row, column = min(max(row - 0.5, 0), height - 1), min(max(column - 0.5, 0), width - 1)
    top, left = int(row), int(column)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    down, across = row - top, column - left
    upper = image[:, top, left] * (1 - across) + image[:, top, right] * across
    lower = image[:, bottom, left] * (1 - across) + image[:, bottom, right] * across
    return upper * (1 - down) + lower * down


@pytest.mark.parametrize(("height", "width", "size", "samples"), [(5, 7, 3, 2), (1, 4, 2, 1), (4, 1, 2, 3)])
def test_each_cell_is_the_mean_of_its_samples(height: int, width: int, size: int, samples: int) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, 3, height, width, generator=generator)
    corners = torch.rand(2, 4, 2, 2, generator=generator).sort(dim=2).values * torch.tensor([width, height])
    boxes = corners.flatten(2)
    aligned = roi_align(images, boxes, size, samples=samples)
    assert aligned.shape == (2, 3, 4, size, size)
    steps = size * samples
    for image, its_boxes, its_cells in zip(images, boxes, aligned, strict=True):
        for (left, top, right, bottom), cells in zip(its_boxes.tolist(), its_cells.unbind(1), strict=True):
            seen = [
                [
                    bilinear(image, top + (bottom - top) * (i + 0.5) / steps, left + (right - left) * (j + 0.5) / steps)
                    for j in range(steps)
                ]
                for i in range(steps)
            ]
            expected = torch.stack([torch.stack(row, -1) for row in seen], -2)  # [C,S,S]
            expected = expected.unflatten(1, (size, samples)).unflatten(3, (size, samples)).mean(dim=(2, 4))
            torch.testing.assert_close(cells, expected, rtol=1e-4, atol=1e-5)


def test_a_slope_has_its_value_at_the_middle_of_each_cell() -> None:
    slope = (torch.arange(8) + 0.5).expand(1, 1, 6, 8).contiguous()  # the column of each place
    aligned = roi_align(slope, torch.tensor([[[1.0, 1.0, 7.0, 5.0], [2.0, 0.5, 4.0, 1.0]]]), 2)
    torch.testing.assert_close(aligned[0, 0], torch.tensor([[[2.5, 5.5]] * 2, [[2.5, 3.5]] * 2]))


def test_gradients_reach_the_map() -> None:
    images = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    boxes = torch.tensor([[[0.3, 0.2, 3.1, 2.9]]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda given: roi_align(given, boxes, 2), (images,))
