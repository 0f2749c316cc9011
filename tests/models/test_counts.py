"""Parameters and multiply-adds of the paper's tables, to the last unit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from vov3d.layers import Conv3x3x3, D1Plus2D, D2Plus1D, DepthwiseConv3d, R2Plus1D
from vov3d.models import VoV3D, vov3d_l, vov3d_m, vov3d_s, x3d_l, x3d_m
from vov3d.models.clip_classifier import ClipClassifier
from vov3d.models.counting import count_gmacs, count_parameters

# network, parameters at 174 classes, GMACs at 16x224x224, 16x256x256 and 32x256x256
PUBLISHED = {
    "VoV3D-M": (vov3d_m, 3_204_286, 4.9164, 6.4241, 12.8440),
    "VoV3D-L": (vov3d_l, 5_834_094, 9.3065, 12.1584, 24.3119),
    "X3D-M": (x3d_m, 3_331_248, 4.7320, 6.1839, 12.3626),
    "X3D-L": (x3d_l, 5_690_358, 9.1622, 11.9702, 23.9351),
}

# the paper's Table 4 at 16x256x256: network, parameters, GMACs counted independently
TABLE_4 = {
    "(a) bottleneck": (lambda: vov3d_m(174, operator=Conv3x3x3), 43.085, 119.20),
    "(b) R(2+1)D": (lambda: vov3d_m(174, operator=R2Plus1D), 20.885, 56.28),
    "(c) dw-bottleneck": (lambda: vov3d_m(174, operator=DepthwiseConv3d), 3.303, 7.014),
    "(d) D(1+2)D": (lambda: vov3d_m(174, operator=D1Plus2D), 3.204, 6.468),
    "(e) D(2+1)D": (lambda: vov3d_m(174, operator=D2Plus1D), 3.204, 6.424),
    "X3D-M w/ D(2+1)D": (lambda: x3d_m(174, operator=D2Plus1D), 3.240, 5.700),
    "VoV3D-M of December 2020": (lambda: VoV3D(48, (1, 1, 2, 2), num_units=4, num_classes=174), 3.337, 5.774),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_counts(name: str) -> None:
    build, parameters, at_224, at_256, frames_32 = PUBLISHED[name]
    with torch.device("meta"):
        model = build(174)
    assert count_parameters(model) == parameters
    assert count_gmacs(model, 16, 224) == pytest.approx(at_224, abs=5e-5)
    assert count_gmacs(model, 16, 256) == pytest.approx(at_256, abs=5e-5)
    assert count_gmacs(model, 32, 256) == pytest.approx(frames_32, abs=1e-4)


def test_our_small_one() -> None:
    with torch.device("meta"):
        model = vov3d_s(174)
    assert count_parameters(model) == 793_982
    assert count_gmacs(model, 16, 256) == pytest.approx(0.676, abs=5e-4)


def test_four_hundred_classes() -> None:
    assert [count_parameters(build(400)) for build in (vov3d_m, vov3d_l, x3d_m, x3d_l)] == [
        3_667_360,
        6_297_168,
        3_794_322,
        6_153_432,
    ]


@pytest.mark.parametrize("row", TABLE_4)
def test_table_4(row: str) -> None:
    build: Callable[[], ClipClassifier]
    build, millions, gmacs = TABLE_4[row]
    with torch.device("meta"):
        model = build()
    assert count_parameters(model) / 1e6 == pytest.approx(millions, abs=6e-4)
    assert count_gmacs(model, 16, 256) == pytest.approx(gmacs, abs=6e-3)
