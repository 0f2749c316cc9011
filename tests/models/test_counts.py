"""Parameters and multiply-adds of the paper's tables, to the last unit."""

from __future__ import annotations

import pytest
import torch

from vov3d.models import vov3d_l, vov3d_m, vov3d_s, x3d_l, x3d_m
from vov3d.models.counting import count_gmacs, count_parameters

# network, parameters at 174 classes, GMACs at 16x224x224, 16x256x256 and 32x256x256
PUBLISHED = {
    "VoV3D-M": (vov3d_m, 3_204_286, 4.9164, 6.4241, 12.8440),
    "VoV3D-L": (vov3d_l, 5_834_094, 9.3065, 12.1584, 24.3119),
    "X3D-M": (x3d_m, 3_331_248, 4.7320, 6.1839, 12.3626),
    "X3D-L": (x3d_l, 5_690_358, 9.1622, 11.9702, 23.9351),
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
