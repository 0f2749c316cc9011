"""Norms on feature maps of one pixel."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn import functional as F

from vov3d.models import VoV3D


def test_float32_gradients_on_maps_of_one_pixel() -> None:
    """With torch's own norm the relative error of these gradients is 1.4."""
    torch.manual_seed(0)
    model = VoV3D(16, (1, 1, 1, 1), num_units=2, num_classes=5, dropout=0.0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.ones_(module.weight)
    precise = copy.deepcopy(model).double()
    clips, labels = torch.randn(2, 3, 4, 32, 32), torch.arange(2)
    for network, dtype in ((model, torch.float32), (precise, torch.float64)):
        F.cross_entropy(network(clips.to(dtype)), labels).backward()
    for ours, exact in zip(model.parameters(), precise.parameters(), strict=True):
        assert (ours.grad - exact.grad).norm() <= 1e-3 * exact.grad.norm()
