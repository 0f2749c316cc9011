"""The smallest network of each kind, alive in every branch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from vov3d.models import (
    CSN,
    I3D,
    STM,
    TEA,
    TPN,
    TSM,
    X3D,
    ClipClassifier,
    MoViNet,
    MoViNetStream,
    NonLocalI3D,
    R2Plus1DNet,
    RegionGraphI3D,
    SlowFast,
    VoV3D,
)
from vov3d.models.movinet import Rezero, Stage

MOVINET = (8, (Stage(16, ((24, (5, 3)), (16, (1, 5)))),), 32)

NETWORKS: dict[str, Callable[[], ClipClassifier]] = {
    "vov3d": lambda: VoV3D(8, (1, 1, 1, 1), num_units=2, num_classes=7),
    "x3d": lambda: X3D(0.1, num_classes=7),
    "vov3d_causal": lambda: VoV3D(8, (1, 1, 1, 1), num_units=1, num_classes=7, causal=True),
    "tsm": lambda: TSM((1, 1, 1, 1), num_classes=7),
    "stm": lambda: STM((1, 1, 1, 1), num_classes=7),
    "tea": lambda: TEA((1, 1, 1, 1), num_classes=7),
    "tpn": lambda: TPN((1, 1, 1, 1), num_classes=7),
    "i3d": lambda: I3D(num_classes=7),
    "i3d_nl": lambda: NonLocalI3D((1, 2, 2, 1), num_classes=7),
    "nl_i3d_gcn": lambda: RegionGraphI3D((1, 2, 2, 1), num_classes=7),
    "r2plus1d": lambda: R2Plus1DNet((1, 1, 1, 1), num_classes=7),
    "slowfast": lambda: SlowFast((1, 1, 1, 1), alpha=4, num_classes=7),
    "csn": lambda: CSN((1, 1, 1, 1), preserves_interactions=True, num_classes=7),
    "movinet": lambda: MoViNet(*MOVINET, num_classes=7),
    "movinet_stream": lambda: MoViNetStream(*MOVINET, num_classes=7),
}


def network(name: str) -> ClipClassifier:
    """A network in evaluation mode whose norms are far from the identity."""
    torch.manual_seed(0)
    model = NETWORKS[name]()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.normal_(module.weight, 1, 0.1)
            nn.init.normal_(module.bias, 0, 0.1)
            nn.init.normal_(module.running_mean, 0, 0.05)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
        elif isinstance(module, Rezero):
            nn.init.ones_(module.weight)
    return model.eval()


def clips(num_clips: int = 2, frames: int = 4, height: int = 32, width: int = 46) -> Tensor:
    """Clips of noise, the same ones every time."""
    return torch.randn(num_clips, 3, frames, height, width, generator=torch.Generator().manual_seed(1))
