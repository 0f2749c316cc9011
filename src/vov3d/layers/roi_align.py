"""Features of boxes (He et al., arXiv 1703.06870)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def roi_align(images: Tensor, boxes: Tensor, size: int, *, samples: int = 2) -> Tensor:
    """Return a small map of each box: the means of bilinear samples, at places that are never rounded.

    Beyond the border of an image its outermost values go on.

    Shape: ``[N, C, H, W], [N, B, 4] -> [N, C, B, size, size]``

    Args:
        images: the feature maps.
        boxes: left, top, right and bottom of each box, in cells of the map: 0 and W are its left and right border.
        size: rows and columns of what a box gives.
        samples: rows and columns of samples in each of these.

    Source: Section 3; the centre of a cell is half a cell from its border, as in later releases ("aligned").
    """
    height, width = images.shape[2:]
    steps = (torch.arange(size * samples, device=boxes.device, dtype=boxes.dtype) + 0.5) / (size * samples)
    starts, lengths = boxes[..., :2], boxes[..., 2:] - boxes[..., :2]
    places = starts[..., None, :] + steps[:, None] * lengths[..., None, :]  # [N,B,S,2]
    columns, rows = (2 * places / boxes.new_tensor([width, height]) - 1).unbind(-1)  # from -1 to 1
    num_boxes, num_steps = columns.shape[1:]
    grid = torch.stack(
        [columns[:, :, None].expand(-1, -1, num_steps, -1), rows[..., None].expand(-1, -1, -1, num_steps)], dim=-1
    )  # [N,B,S,S,2]
    sampled = F.grid_sample(
        images, grid.flatten(1, 2).to(images.dtype), padding_mode="border", align_corners=False
    )  # [N,C,B*S,S]
    aligned: Tensor = F.avg_pool2d(sampled, samples).unflatten(2, (num_boxes, size))
    return aligned
