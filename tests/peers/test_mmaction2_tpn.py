"""mmaction2's TSM + TPN, with its weights, gives our logits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import vov3d
from tests.peers.mmaction2 import mmaction2_network
from tests.peers.weights import drawn
from vov3d.convert import convert


def network(num_frames: int) -> nn.Module:
    neck = {
        "type": "TPN",
        "in_channels": (1024, 2048),
        "out_channels": 1024,
        "spatial_modulation_cfg": {"in_channels": (1024, 2048), "out_channels": 2048},
        "temporal_modulation_cfg": {"downsample_scales": (8, 8)},
        "upsample_cfg": {"scale_factor": (1, 1, 1)},
        "downsample_cfg": {"downsample_scale": (1, 1, 1)},
        "level_fusion_cfg": {
            "in_channels": (1024, 1024),
            "mid_channels": (1024, 1024),
            "out_channels": 2048,
            "downsample_scales": ((1, 1, 1), (1, 1, 1)),
        },
        "aux_head_cfg": {"out_channels": 11, "loss_weight": 0.5},
    }
    backbone = {"type": "ResNetTSM", "depth": 50, "num_segments": num_frames, "out_indices": (2, 3), "norm_eval": False}
    head = {"type": "TPNHead", "num_classes": 11, "in_channels": 2048, "spatial_type": "avg"}
    return drawn(mmaction2_network({"type": "Recognizer2D", "backbone": backbone, "neck": neck, "cls_head": head}))


def logits(theirs: nn.Module, clips: Tensor) -> Tensor:
    levels = theirs.backbone(clips.transpose(1, 2).flatten(0, 1))  # type: ignore[operator]
    over_time = [level.unflatten(0, (len(clips), -1)).transpose(1, 2) for level in levels]
    fused, _ = theirs.neck(tuple(over_time))  # type: ignore[operator]
    found: Tensor = theirs.cls_head.fc_cls(fused.mean(dim=(2, 3, 4)))  # type: ignore[operator,union-attr]
    return found


@pytest.mark.parametrize("shape", [(2, 3, 8, 64, 64), (1, 3, 11, 45, 61), (1, 3, 3, 32, 64)], ids=str)
def test_its_weights_give_its_logits(shape: tuple[int, ...], tmp_path: Path) -> None:
    theirs = network(shape[2])
    torch.save({"state_dict": theirs.state_dict(), "meta": {}}, tmp_path / "theirs.pth")
    ours = vov3d.create_model("tsm_tpn_r50", pretrained=tmp_path / "theirs.pth").eval()
    clips = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = logits(theirs, clips)
        assert float(expected.std()) > 0.1
        torch.testing.assert_close(ours(clips), expected, rtol=1e-4, atol=1e-4)


def test_its_file_is_converted_without_its_auxiliary_head(tmp_path: Path) -> None:
    torch.save({"state_dict": network(8).state_dict(), "meta": {}}, tmp_path / "theirs.pth")
    report = convert(tmp_path / "theirs.pth", tmp_path / "ours.safetensors")
    assert report.model == "tsm_tpn_r50"
    assert any("neck.aux_head.conv.conv.weight and 7 more" in note for note in report.notes)
