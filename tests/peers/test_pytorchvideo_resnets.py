"""PyTorchVideo's SlowFast and ir-CSN, with their weights, give our logits."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import vov3d
from tests.peers.weights import drawn
from tests.torchvision_beside_cpu_torch import import_torchvision
from vov3d.checkpoint import Checkpoint
from vov3d.models import load_weights, recognise


def assert_same_logits(theirs: nn.Module, name: str, num_frames: int, alpha: int | None = None) -> None:
    """With ``alpha`` they are given a list of both pathways' frames."""
    file = Checkpoint(theirs.state_dict(), published=True)
    assert recognise(file, "file") == name
    ours = vov3d.create_model(name, num_classes=11).eval()
    load_weights(ours, file, "file")
    clips = torch.randn(2, 3, num_frames, 75, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = theirs([clips[:, :, ::alpha], clips] if alpha else clips)
        assert float(expected.std()) > 0.1
        torch.testing.assert_close(ours(clips), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "alpha", "lateral_frames", "num_frames"),
    [
        ("slowfast_r50_4x16", 8, 5, 16),
        ("slowfast_r50_4x16", 8, 5, 9),
        ("slowfast_r50_8x8", 4, 7, 8),
        ("slowfast_r50_8x8", 4, 7, 1),
    ],
)
def test_slowfast(name: str, alpha: int, lateral_frames: int, num_frames: int) -> None:
    import_torchvision()
    slowfast = pytest.importorskip("pytorchvideo.models.slowfast", reason="pytorchvideo is not installed")
    theirs: nn.Module = slowfast.create_slowfast(
        model_num_class=11,
        slowfast_fusion_conv_kernel_size=(lateral_frames, 1, 1),
        slowfast_fusion_conv_stride=(alpha, 1, 1),
        head_pool_kernel_sizes=((-(-num_frames // alpha), 3, 2), (num_frames, 3, 2)),
    )
    assert_same_logits(drawn(theirs), name, num_frames, alpha)


@pytest.mark.parametrize("num_frames", [1, 9])
@pytest.mark.parametrize(("name", "depth", "norm_eps"), [("ir_csn_101", 101, 1e-5), ("ir_csn_152", 152, 1e-3)])
def test_csn(name: str, depth: int, norm_eps: float, num_frames: int) -> None:
    import_torchvision()
    csn = pytest.importorskip("pytorchvideo.models.csn", reason="pytorchvideo is not installed")
    theirs: nn.Module = csn.create_csn(
        model_depth=depth,
        model_num_class=11,
        stem_pool=nn.MaxPool3d,
        head_pool_kernel_size=(-(-num_frames // 8), 3, 2),
    )
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.eps = norm_eps
    assert_same_logits(drawn(theirs), name, num_frames)
