"""NL-I3D + GCN: its costs, its boxes and its two graphs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import vov3d
from vov3d.errors import ArgumentError
from vov3d.models import RegionGraphI3D
from vov3d.models.counting import count_gmacs, count_parameters
from vov3d.models.i3d_nl import NonLocalResidual
from vov3d.models.region_graph import OverlapConvolution, RegionGraph, grid_boxes, intersection_over_union

GRAPH = (16 * 14 * 14 * 2048 * 512 + 16 * 14 * (2 + 3 * 1 + 3 * 2) * 512**2) / 1e9
"""GMACs of the reduction and of the graphs, 14 nodes in each frame."""


def test_costs() -> None:
    with torch.device("meta"):
        model = vov3d.create_model("nl_i3d_gcn", num_classes=174)
    assert isinstance(model, RegionGraphI3D)
    assert count_parameters(model) == 38_695_406
    assert count_gmacs(model, 32, 224) == pytest.approx(189.30, abs=6e-3)
    classifier = 2049 * 400

    def trunk() -> int:
        return count_parameters(model.stem) + count_parameters(model.stages) + classifier

    assert trunk() / 1e6 == pytest.approx(35.3, rel=1e-2)
    for module in model.modules():
        if isinstance(module, NonLocalResidual):
            module.non_local = nn.Identity()
    assert trunk() / 1e6 == pytest.approx(28.0, rel=1e-2)
    assert count_gmacs(model, 32, 224) - GRAPH == pytest.approx(153, rel=1e-2)


def test_a_detector_on_each_frame_would_make_what_is_printed() -> None:
    """303 GFLOPs (Table 6) and 62.2M parameters (TSM's Table 2) hold 168 without the graph."""
    with torch.device("meta"):
        trunk = vov3d.create_model("tsn_r50", num_classes=0)
        model = vov3d.create_model("nl_i3d_gcn", num_classes=174)
    assert 168 + GRAPH + count_gmacs(trunk, 32, 224) == pytest.approx(302.7, abs=0.05)
    assert (count_parameters(model) + count_parameters(trunk)) / 1e6 == pytest.approx(62.2, abs=0.05)


def test_boxes_in_pixels_choose_what_a_node_sees() -> None:
    maps = torch.zeros(1, 4, 2, 6, 8)
    maps[0, :, 0, 3:, 4:] = 1
    maps[0, :, 1, :3, :4] = 2
    graph = RegionGraph(4, channels=4)
    corners = torch.tensor([[0, 0, 60, 40], [70, 50, 128, 96.0]])
    nodes = graph.nodes(maps, corners.expand(1, 2, -1, -1), (96, 128))
    assert nodes.shape == (1, 2, 2, 4)
    assert nodes[0, :, :, 0].tolist() == [[0, 1], [2, 0]]


def test_overlap_is_intersection_over_union() -> None:
    one, others = (
        torch.tensor([[0, 0, 4, 4.0]]),
        torch.tensor([[0, 0, 4, 4.0], [2, 0, 6, 4], [4, 4, 8, 8], [1, 1, 3, 3]]),
    )
    torch.testing.assert_close(intersection_over_union(one, others), torch.tensor([[1, 1 / 3, 0, 1 / 4]]))


def test_nodes_take_from_what_they_overlap_in_the_frames_beside() -> None:
    convolve = OverlapConvolution(4)
    nn.init.zeros_(convolve.backwards.weight)
    nn.init.eye_(convolve.forwards.weight)
    convolve.norm = nn.Identity()  # type: ignore[assignment]
    nodes = torch.rand(1, 3, 2, 4)
    overlaps = torch.tensor([[[[0.2, 0.6], [0.0, 0.0]], [[0.0, 0.5], [1.0, 0.0]]]])
    forwards = convolve(nodes, overlaps)
    torch.testing.assert_close(forwards[0, 0, 0], 0.25 * nodes[0, 1, 0] + 0.75 * nodes[0, 1, 1])
    torch.testing.assert_close(forwards[0, 1], nodes[0, 2, [1, 0]])
    assert not forwards[0, 0, 1].any()
    assert not forwards[0, 2].any()
    nn.init.zeros_(convolve.forwards.weight)
    nn.init.eye_(convolve.backwards.weight)
    backwards = convolve(nodes, overlaps)
    torch.testing.assert_close(backwards[0, 1], nodes[0, 0, :1].expand(2, -1))
    torch.testing.assert_close(backwards[0, 2], nodes[0, 1, [1, 0]])
    assert not backwards[0, 0].any()


@pytest.fixture(scope="module")
def model() -> RegionGraphI3D:
    torch.manual_seed(0)
    network = RegionGraphI3D((1, 1, 1, 1), num_classes=5).eval()
    for name, parameter in network.regions.named_parameters():
        if "norm" not in name:
            nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)  # so that the graph counts
    return network


CLIPS = torch.randn(2, 3, 5, 64, 48, generator=torch.Generator().manual_seed(1))
BOXES = torch.tensor([[0, 0, 20, 30], [10, 8, 48, 64], [30, 5, 44, 25.0]]).expand(2, 3, -1, -1)


def logits(model: RegionGraphI3D, boxes: Tensor | None) -> Tensor:
    with torch.no_grad():
        given: Tensor = model(CLIPS, boxes)
    return given


def test_regions_count_and_their_order_within_a_frame_does_not(model: RegionGraphI3D) -> None:
    expected = logits(model, BOXES)
    torch.testing.assert_close(logits(model, BOXES.flip(2)), expected, rtol=1e-4, atol=1e-5)
    moved = BOXES.clone()
    moved[1, 2, 0] = torch.tensor([20, 20, 40, 60])
    assert torch.equal(logits(model, moved)[0], expected[0])
    assert not torch.allclose(logits(model, moved)[1], expected[1], atol=1e-4)


def test_without_boxes_there_is_a_grid(model: RegionGraphI3D) -> None:
    boxes = grid_boxes(64, 48)
    assert boxes[:5].tolist() == [[0, 0, 48, 64], [0, 0, 24, 32], [24, 0, 48, 32], [0, 32, 24, 64], [24, 32, 48, 64]]
    assert len(boxes) == 14
    torch.testing.assert_close(logits(model, None), logits(model, boxes.expand(2, 3, -1, -1)))


def test_graphs_have_rows_of_sum_one(model: RegionGraphI3D) -> None:
    rows = model.regions.likenesses(torch.randn(2, 3, 4, 512))
    assert rows.shape == (2, 12, 12)
    torch.testing.assert_close(rows.sum(-1), torch.ones(2, 12))


@pytest.mark.parametrize("shape", [(2, 5, 3, 4), (1, 3, 3, 4), (2, 3, 4), (2, 3, 3, 5), (2, 3, 0, 4)], ids=str)
def test_wrong_boxes_are_named(model: RegionGraphI3D, shape: tuple[int, ...]) -> None:
    with pytest.raises(ArgumentError, match=r"boxes have shape \[.*\]; allowed for these clips is \[2, 3, B, 4\]"):
        model(CLIPS, torch.zeros(shape))
