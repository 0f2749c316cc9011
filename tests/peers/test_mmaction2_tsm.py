"""mmaction2's TSN and TSM, with its weights, give our logits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import vov3d
from tests.peers.mmaction2 import mmaction2_network
from tests.peers.weights import drawn

NUM_FRAMES = 4


def network(name: str) -> nn.Module:
    depth = int(name.removeprefix("tsm_r").removeprefix("tsn_r"))
    backbone = {"type": "ResNetTSM", "num_segments": NUM_FRAMES} if name.startswith("tsm") else {"type": "ResNet"}
    head = {"type": "TSMHead", "num_segments": NUM_FRAMES, "spatial_type": "avg", "is_shift": True}
    if name.startswith("tsn"):
        head = {"type": "TSNHead", "consensus": {"type": "AvgConsensus", "dim": 1}, "spatial_type": "avg"}
    return drawn(
        mmaction2_network(
            {
                "type": "Recognizer2D",
                "backbone": {**backbone, "depth": depth, "norm_eval": False},
                "cls_head": {**head, "num_classes": 11, "in_channels": 2048},
            }
        )
    )


def logits(theirs: nn.Module, clips: Tensor) -> Tensor:
    frames = clips.transpose(1, 2).flatten(0, 1)
    found: Tensor = theirs.cls_head(theirs.backbone(frames), NUM_FRAMES)  # type: ignore[operator]
    return found


@pytest.mark.parametrize("name", ["tsn_r50", "tsm_r50", "tsm_r101"])
def test_its_weights_give_its_logits(name: str, tmp_path: Path) -> None:
    theirs = network(name)
    torch.save({"state_dict": theirs.state_dict(), "meta": {}}, tmp_path / "theirs.pth")
    ours = vov3d.create_model(name, pretrained=tmp_path / "theirs.pth").eval()
    clips = torch.randn(2, 3, NUM_FRAMES, 75, 61, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = logits(theirs, clips)
        assert float(expected.std()) > 0.1
        torch.testing.assert_close(ours(clips), expected, rtol=1e-4, atol=1e-4)
