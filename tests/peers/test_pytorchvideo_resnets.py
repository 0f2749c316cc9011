"""PyTorchVideo's SlowFast, ir-CSN and inflated ResNet, with their weights, give our logits."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

import vov3d
from tests.peers.weights import drawn
from tests.torchvision_beside_cpu_torch import import_torchvision
from vov3d.checkpoint import Checkpoint
from vov3d.models import load_weights, recognise
from vov3d.models.i3d_nl import NonLocal
from vov3d.models.published.layout import renamed
from vov3d.models.published.pytorchvideo_resnets import CSN_RULES


def assert_same_logits(theirs: nn.Module, name: str, num_frames: int, alpha: int | None = None) -> None:
    """With ``alpha`` they are given a list of both pathways' frames."""
    file = Checkpoint(theirs.state_dict(), published=True)
    assert recognise(file, "file") == name.replace("16x8", "8x8")  # one network at other clips
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
        ("slowfast_r50_16x8", 4, 7, 16),
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


@pytest.mark.parametrize("num_frames", [8, 24])
def test_the_trunk_of_non_local_i3d(num_frames: int) -> None:
    """Its non-local blocks begin as the identity."""
    import_torchvision()
    resnet = pytest.importorskip("pytorchvideo.models.resnet", reason="pytorchvideo is not installed")
    long, short = (3, 1, 1), (1, 1, 1)
    theirs: nn.Module = drawn(
        resnet.create_resnet(
            model_num_class=11,
            stem_conv_kernel_size=(5, 7, 7),
            stem_conv_stride=(2, 2, 2),
            stem_pool_stride=(2, 2, 2),
            stage1_pool=nn.MaxPool3d,
            stage_conv_a_kernel_size=(long, [long, short], [long, short], [short, long]),
            head_pool_kernel_size=(num_frames // 8, 3, 2),
        )
    )
    state = {  # a pool is the third of their blocks
        re.sub(r"^blocks\.([3-6])", lambda found: f"blocks.{int(found[1]) - 1}", name): tensor
        for name, tensor in theirs.state_dict().items()
    }
    ours = vov3d.create_model("i3d_nl_r50", num_classes=11).eval()
    names = {key: renamed(key, CSN_RULES, first_stage=1) for key in ours.state_dict() if "non_local" not in key}
    assert set(names.values()) == set(state)
    ours.load_state_dict({**ours.state_dict(), **{key: state[str(name)] for key, name in names.items()}})
    clips = torch.randn(2, 3, num_frames, 75, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = theirs(clips)
        assert float(expected.std()) > 0.1
        torch.testing.assert_close(ours(clips), expected, rtol=1e-4, atol=1e-4)


def test_a_non_local_block() -> None:
    """Without the pool, which stands elsewhere there (deviation 1); their products are scaled."""
    import_torchvision()
    peer = pytest.importorskip("pytorchvideo.layers.nonlocal_net", reason="pytorchvideo is not installed")
    theirs: nn.Module = drawn(peer.create_nonlocal(dim_in=8, dim_inner=4))
    nn.init.zeros_(theirs.conv_out.bias)  # type: ignore[arg-type,union-attr]  # ours has none before its norm
    ours = NonLocal(8).eval()
    ours.pool = nn.Identity()  # type: ignore[assignment]
    names = {
        "theta": "conv_theta",
        "phi": "conv_phi",
        "g": "conv_g",
        "project.conv": "conv_out",
        "project.norm": "norm",
    }
    state = theirs.state_dict()
    given = {}
    for key in ours.state_dict():
        module, _, leaf = key.rpartition(".")
        given[key] = state[f"{names[module]}.{leaf}"] * (4**-0.5 if module == "theta" else 1)
    ours.load_state_dict(given)
    maps = torch.randn(2, 8, 3, 5, 4, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = theirs(maps)
        assert float((expected - maps).std()) > 0.1
        torch.testing.assert_close(ours(maps), expected, rtol=1e-4, atol=1e-5)
