"""timm's Res2Net: TEA is its mean over frames where nothing is excited and nothing shifted."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import vov3d
from tests.peers.weights import drawn
from tests.torchvision_beside_cpu_torch import import_torchvision
from vov3d.layers import start_as_shift
from vov3d.models.tea import MotionExcitation, MultipleTemporalAggregation


def test_tea_starts_from_it(tmp_path: Path) -> None:
    import_torchvision()
    timm = pytest.importorskip("timm", reason="timm is not installed")
    res2net: nn.Module = drawn(timm.create_model("res2net50_26w_4s", num_classes=11))
    save_file(res2net.state_dict(), tmp_path / "model.safetensors")
    tea = vov3d.create_model("tea_r50", num_classes=0, backbone_pretrained=tmp_path / "model.safetensors").eval()
    clips = torch.randn(1, 3, 3, 75, 61, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected: Tensor = torch.stack(
            [res2net.forward_features(frame) for frame in clips.unbind(2)],  # type: ignore[operator]
            dim=2,
        )
        assert float(expected.std()) > 0.1
        assert not torch.allclose(tea.forward_features(clips), expected, atol=1e-2)
        for module in tea.modules():
            if isinstance(module, MotionExcitation):
                nn.init.zeros_(module.restore.norm.weight)
            if isinstance(module, MultipleTemporalAggregation):
                start_as_shift(module.temporal[3], (0,))  # type: ignore[arg-type]
        torch.testing.assert_close(tea.forward_features(clips), expected, rtol=1e-4, atol=1e-4)
