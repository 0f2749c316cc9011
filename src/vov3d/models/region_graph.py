"""NL-I3D + GCN: a non-local I3D beside a graph of regions, which stand in relation by likeness and by overlap.

Wang, Gupta: "Videos as Space-Time Region Graphs", arXiv 1806.01810.

::

    clips ── NL-I3D ── 1x1x1, 512 ──┬────────────────────────────────────────────── mean ──┐
                                    │             ┌─ likeness, 3 graph convolutions ─┐     ├── concatenate ── fc
    boxes ───────────────────── RoIAlign ─ nodes ─┤                                 (+) mean ─┘
                                                  └─ overlap,  3 graph convolutions ─┘

    map of a 32x224x224 clip    16x14x14: the last stage does not stride

Axis legend: N clips, C channels, T frames, H rows, W columns, B boxes a frame, M nodes (T x B), K classes.

Deviations from the paper:

1. The detector of regions is not part of the network: boxes are given. Without them each frame is cut into grids of
   one, two and three rows and columns: 14 boxes.
2. The non-local blocks are those of `models/i3d_nl.py`, whose phi and g see a map before it is pooled.
3. What follows the reduction to 512 channels is not published; here a bias does, no norm and no activation.

Table 2 of TSM's paper has 303 GMACs and 62.2M parameters for the whole (303 in Table 6 of the VoV3D paper, too), 168
and 35.3M without the graph, 153 and 28.0M without non-local blocks. These are 189.3 and 38.9M (400 classes), 185.4 and
35.4M, 152.5 and 28.0M. The graph needs 3.9. A ResNet-50 beside it on each of the 32 frames (130.8 GMACs, 23.5M), as a
detector may have, would make 168 + 3.9 + 130.8 = 302.7 GMACs and, with 174 classes, 38.7 + 23.5 = 62.2M (tested). The
paper does not say so, and why 168 and not 185 is not known.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vov3d.errors import ArgumentError
from vov3d.layers import PoolHead, SpatialConv3d, initialise, roi_align
from vov3d.layers.convolution import frames_as_images
from vov3d.models.clip_classifier import ClipClassifier
from vov3d.models.i3d_nl import NonLocal, inflated_branch, with_non_local
from vov3d.models.resnet import R50, ResNetStem, resnet_stage


class LikenessConvolution(nn.Module):
    """Each node takes a mean of all nodes, weighted as the graph says; then a linear map, a norm and ReLU.

    Shape: ``[N, M, C], [N, M, M] -> [N, M, C]``

    Args:
        channels: C.

    Source: Section 5.1, Equation 4.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, channels, bias=False)
        self.norm = nn.LayerNorm(channels)

    def forward(self, nodes: Tensor, graph: Tensor) -> Tensor:  # noqa: D102
        return F.relu(self.norm(self.linear(graph @ nodes)))


class OverlapConvolution(nn.Module):
    """Each node takes a mean of those that it overlaps in the next frame, and one of those in the frame before.

    Shape: ``[N, T, B, C], [N, T-1, B, B] -> [N, T, B, C]``

    Args:
        channels: C.

    Source: Section 5.1, Equation 5, with the graphs forwards and backwards in time.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.forwards = nn.Linear(channels, channels, bias=False)
        self.backwards = nn.Linear(channels, channels, bias=False)
        self.norm = nn.LayerNorm(channels)

    def forward(self, nodes: Tensor, overlaps: Tensor) -> Tensor:  # noqa: D102
        following = F.pad(rows_of_sum_one(overlaps) @ nodes[:, 1:], (0, 0, 0, 0, 0, 1))
        previous = F.pad(rows_of_sum_one(overlaps.transpose(-1, -2)) @ nodes[:, :-1], (0, 0, 0, 0, 1, 0))
        return F.relu(self.norm(self.forwards(following) + self.backwards(previous)))


def rows_of_sum_one(graph: Tensor) -> Tensor:
    """Divide each row by its sum; rows of zeros stay."""
    return graph / graph.sum(-1, keepdim=True).clamp_min(1e-6)


def intersection_over_union(boxes: Tensor, others: Tensor) -> Tensor:
    """Return how much of their union two boxes share, for each pair of boxes.

    Shape: ``[..., B, 4], [..., B', 4] -> [..., B, B']``
    """
    boxes, others = boxes[..., :, None, :], others[..., None, :, :]
    starts, ends = torch.maximum(boxes[..., :2], others[..., :2]), torch.minimum(boxes[..., 2:], others[..., 2:])
    shared = (ends - starts).clamp_min(0).prod(-1)
    areas = [(one[..., 2:] - one[..., :2]).prod(-1) for one in (boxes, others)]
    return shared / (areas[0] + areas[1] - shared).clamp_min(1e-6)


def grid_boxes(height: int, width: int, divisions: Sequence[int] = (1, 2, 3)) -> Tensor:
    """Return the cells of regular grids over a frame, ``[B, 4]``: left, top, right, bottom in pixels.

    Args:
        height: rows of the frame, in pixels.
        width: columns of the frame, in pixels.
        divisions: rows, and columns, of each grid.
    """
    cells = [
        [column / parts, row / parts, (column + 1) / parts, (row + 1) / parts]
        for parts in divisions
        for row in range(parts)
        for column in range(parts)
    ]
    return torch.tensor(cells) * torch.tensor([width, height, width, height])


class RegionGraph(nn.Module):
    """A map with fewer channels, and beside it at every position the mean of the nodes of its region graph.

    Shape: ``[N, C, T, H, W], [N, T, B, 4] -> [N, 2 channels, T, H, W]``

    Args:
        in_channels: C.
        channels: of the reduced map, and of the nodes.
        depth: graph convolutions in each of the two branches.

    Source: Sections 3 to 5; RoIAlign of 7x7 cells and their maximum (Section 4.1), 512 channels.
    """

    def __init__(self, in_channels: int, *, channels: int = 512, depth: int = 3) -> None:
        super().__init__()
        self.reduce = SpatialConv3d(in_channels, channels, bias=True)
        self.theta = nn.Linear(channels, channels, bias=False)
        self.phi = nn.Linear(channels, channels, bias=False)
        self.likeness = nn.ModuleList(LikenessConvolution(channels) for _ in range(depth))
        self.overlap = nn.ModuleList(OverlapConvolution(channels) for _ in range(depth))

    def forward(self, features: Tensor, boxes: Tensor, pixels: tuple[int, int]) -> Tensor:
        """Return the map.

        Args:
            features: the trunk's last map.
            boxes: left, top, right, bottom in pixels of the clip, for each frame of the map.
            pixels: height and width of the clip.
        """
        reduced = self.reduce(features)
        nodes = self.nodes(reduced, boxes, pixels)  # [N,T,B,C]
        alike = apart = nodes
        graph, overlaps = self.likenesses(nodes), intersection_over_union(boxes[:, :-1], boxes[:, 1:]).to(nodes.dtype)
        for like in self.likeness:
            alike = like(alike.flatten(1, 2), graph).unflatten(1, nodes.shape[1:3])
        for over in self.overlap:
            apart = over(apart, overlaps)
        mean = (alike + apart).mean(dim=(1, 2))[:, :, None, None, None]
        return torch.cat([reduced, mean.expand_as(reduced)], dim=1)

    def nodes(self, maps: Tensor, boxes: Tensor, pixels: tuple[int, int]) -> Tensor:
        """Return the largest of 7x7 cells of each box. Shape: ``[N, C, T, H, W], [N, T, B, 4] -> [N, T, B, C]``."""
        height, width = pixels
        rows, columns = maps.shape[3:]
        in_cells = boxes * boxes.new_tensor([columns / width, rows / height] * 2)
        aligned = roi_align(frames_as_images(maps), in_cells.flatten(0, 1), 7)  # [N*T,C,B,7,7]
        nodes: Tensor = aligned.amax(dim=(3, 4)).transpose(1, 2).unflatten(0, (-1, boxes.shape[1]))
        return nodes

    def likenesses(self, nodes: Tensor) -> Tensor:
        """Return how alike any two nodes are, rows of sum one. Shape: ``[N, T, B, C] -> [N, M, M]``."""
        flat = nodes.flatten(1, 2)
        products: Tensor = self.theta(flat) @ self.phi(flat).transpose(-1, -2)
        return products.softmax(-1)


class RegionGraphI3D(ClipClassifier):
    """The non-local I3D and its region graph; ``model(clips, boxes) -> logits``.

    Shape: ``[N, 3, T, H, W] -> [N, K]`` for any T >= 1 and any H, W >= 32; the published T is 32.

    Args:
        depths: residual blocks in each stage.
        num_classes: K; 0 for features in place of logits.
        dropout: probability of dropping a feature before the classifier.

    Source: Table 1; non-local blocks as in Wang et al., arXiv 1711.07971.
    """

    def __init__(self, depths: Sequence[int] = R50, *, num_classes: int = 400, dropout: float = 0.5) -> None:
        first, second, third, last = (
            resnet_stage(stage, depth, inflated_branch, in_channels=channels, mid_channels=64 * 2**stage, stride=stride)
            for stage, (depth, channels, stride) in enumerate(
                zip(depths, (64, 256, 512, 1024), (1, 2, 2, 1), strict=True)
            )
        )
        pool2 = nn.MaxPool3d((3, 1, 1), stride=(2, 1, 1), padding=(1, 0, 0))
        stages = nn.Sequential(
            nn.Sequential(*first.children(), pool2), with_non_local(second, 512), with_non_local(third, 1024), last
        )
        super().__init__(ResNetStem(frames=5), stages, PoolHead(1024, num_classes, dropout=dropout))
        self.regions = RegionGraph(2048)
        self.regions.apply(initialise)
        for module in self.modules():
            if isinstance(module, NonLocal):
                nn.init.zeros_(module.project.norm.weight)

    def forward_features(self, clips: Tensor, boxes: Tensor | None = None) -> Tensor:
        """Return the last map, half of it the region graph's.

        Shape: ``[N, 3, T, H, W] -> [N, 1024, ceil(T/2), ceil(H/16), ceil(W/16)]``

        Args:
            clips: the clips.
            boxes: ``[N, ceil(T/2), B, 4]``: left, top, right and bottom, in pixels of the clip, of the regions in its
                frames 0, 2, 4, ...; without them, `grid_boxes`.

        Raises:
            ArgumentError: if the boxes are of another shape; it says what they are and what is allowed.
        """
        features = super().forward_features(clips)
        num_clips, num_frames = features.shape[0], features.shape[2]
        if boxes is None:
            boxes = grid_boxes(*clips.shape[3:]).to(clips.device).expand(num_clips, num_frames, -1, -1)
        if boxes.dim() != 4 or (*boxes.shape[:2], boxes.shape[3]) != (num_clips, num_frames, 4) or not boxes.shape[2]:
            raise ArgumentError(
                f"boxes have shape {list(boxes.shape)}; allowed for these clips is [{num_clips}, {num_frames}, B, 4] "
                "(clips, every second frame, boxes, left top right bottom in pixels)"
            )
        joined: Tensor = self.regions(features, boxes.float(), clips.shape[3:])
        return joined

    def forward(self, clips: Tensor, boxes: Tensor | None = None) -> Tensor:  # noqa: D102
        logits: Tensor = self.head(self.forward_features(clips, boxes))
        return logits


def nl_i3d_gcn(num_classes: int = 400, dropout: float = 0.5) -> RegionGraphI3D:
    """NL-I3D + GCN ResNet-50: 38,695,406 parameters at 174 classes; 189.30 GMACs at 32x224x224 (Table 6: 303)."""
    return RegionGraphI3D(R50, num_classes=num_classes, dropout=dropout)
