"""I3D: its counts, its padding, its head."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vov3d.layers import SpatialConv3d
from vov3d.models.counting import count_gmacs, count_parameters
from vov3d.models.i3d import I3D, Inception, PairHead, SamePad, i3d, strided_pool


def on_meta(num_classes: int = 400) -> I3D:
    with torch.device("meta"):
        return i3d(num_classes)


def test_counts() -> None:
    model = on_meta()
    assert count_parameters(model) == 12_697_264  # the port of the authors' weights to PyTorch
    assert count_parameters(on_meta(0)) == 12_287_264
    assert count_gmacs(model, 64, 224) == pytest.approx(111.153, abs=5e-3)


def test_where_the_printed_numbers_come_from() -> None:
    """12M and 108 GFLOPs (Table 7) are I3D with 1x1x1 kernels in each third branch."""
    model = on_meta()
    for module in model.modules():
        if isinstance(module, Inception):
            wide = module.third[1].conv
            module.third[1].conv = SpatialConv3d(wide.in_channels, wide.out_channels)
    weights = sum(
        weight.numel() for name, weight in model.named_parameters() if "norm" not in name and weight.dim() > 1
    )
    assert weights / 1e6 == pytest.approx(12.06, abs=5e-3)
    assert count_gmacs(model, 64, 224) == pytest.approx(107.89, abs=5e-3)


def test_maps_of_the_published_clip() -> None:
    features = on_meta().stem(torch.empty(1, 3, 64, 224, 224, device="meta"))
    shapes = [features.shape[1:]]
    for stage in on_meta().stages:
        features = stage(features)
        shapes.append(features.shape[1:])
    assert shapes == [(192, 32, 56, 56), (480, 32, 28, 28), (832, 16, 14, 14), (1024, 8, 7, 7)]


@pytest.mark.parametrize(("cells", "zeros"), [(8, (2, 3)), (7, (3, 3)), (1, (3, 3)), (2, (2, 3))])
def test_an_odd_zero_comes_last(cells: int, zeros: tuple[int, int]) -> None:
    padded = SamePad((7, 7, 7), (2, 2, 2))(torch.ones(1, 1, cells, 1, 1))
    row = padded[0, 0, :, 3, 3]
    assert row.tolist() == [0.0] * zeros[0] + [1.0] * cells + [0.0] * zeros[1]


@pytest.mark.parametrize("cells", [1, 2, 5, 6])
def test_a_strided_pool_sees_every_cell_and_nothing_else(cells: int) -> None:
    row = torch.rand(cells)
    pooled = strided_pool((3, 1, 1), (2, 1, 1))(row.view(1, 1, cells, 1, 1)).flatten()
    starts = range(-(cells % 2), cells - 1 + cells % 2, 2)  # an even row has its one zero last
    assert pooled.tolist() == [float(row[max(start, 0) : start + 3].max()) for start in starts]


@pytest.mark.parametrize("num_frames", [1, 2, 5])
def test_logits_are_the_mean_over_every_two_frames(num_frames: int) -> None:
    torch.manual_seed(0)
    head = PairHead(6, 3, dropout=0.0)
    nn.init.normal_(head.classifier.weight)  # type: ignore[arg-type]
    features = torch.randn(2, 6, num_frames, 4, 5)
    pairs = [features[:, :, t : t + 2].mean((2, 3, 4)) for t in range(max(num_frames - 1, 1))]
    expected = torch.stack([head.classifier(pair) for pair in pairs]).mean(0)
    torch.testing.assert_close(head(features), expected)
    whole = head.position_logits(features, (8, 7, 7))
    torch.testing.assert_close(whole, expected[:, None])


def test_a_window_is_pooled_as_a_clip_of_its_own() -> None:
    torch.manual_seed(0)
    head = PairHead(6, 3, dropout=0.0)
    features = torch.randn(2, 6, 5, 3, 3)
    positions = head.position_logits(features, (3, 2, 3))
    windows = [features[:, :, t : t + 3, h : h + 2] for t in range(3) for h in range(2)]
    torch.testing.assert_close(positions, torch.stack([head(window) for window in windows], 1))


def test_bfloat16_pools() -> None:
    head = PairHead(4, 3, dropout=0.0).eval()
    features = torch.randn(1, 4, 3, 2, 2, dtype=torch.bfloat16)
    wide, narrow = head(features.float()), head.bfloat16()(features)
    assert narrow.dtype == torch.bfloat16
    assert torch.allclose(narrow.float(), wide, atol=0.02)
    assert head.position_logits(features, (2, 1, 1)).shape == (1, 8, 3)
