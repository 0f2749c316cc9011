"""RoIAlign as torchvision has it: the nodes of the region graph."""

from __future__ import annotations

import torch

from tests.torchvision_beside_cpu_torch import import_torchvision
from vov3d.layers import roi_align


def test_the_same_cells() -> None:
    import_torchvision()
    from torchvision.ops import roi_align as theirs

    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, 3, 7, 9, generator=generator)
    corners = torch.rand(2, 5, 2, 2, generator=generator).sort(dim=2).values * torch.tensor([9.0, 7.0])
    boxes = corners.flatten(2)
    expected = theirs(images, list(boxes), 4, sampling_ratio=2, aligned=True)
    assert float(expected.std()) > 0.1
    torch.testing.assert_close(roi_align(images, boxes, 4).transpose(1, 2).flatten(0, 1), expected)
