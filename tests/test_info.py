"""What a network costs: the published numbers, for names and for files."""

from __future__ import annotations

from pathlib import Path

import pytest

from vov3d.convert import convert
from vov3d.errors import ArgumentError, CheckpointError
from vov3d.info import info


@pytest.mark.parametrize(
    ("name", "parameters", "gmacs"),
    [("vov3d_m", 3_204_286, 6.424), ("vov3d_l", 5_834_094, 12.158)],
)
def test_published_numbers(name: str, parameters: int, gmacs: float) -> None:
    found = info(name, frames=16, crop=256, num_classes=174, measure=False)
    assert (found.name, found.num_classes, found.num_frames, found.crop) == (name, 174, 16, 256)
    assert found.parameters == parameters
    assert found.gmacs == pytest.approx(gmacs, abs=5e-4)
    assert found.activations > 1e6
    assert (found.latency_ms, found.latency_ms_spread) == (None, None)


def test_latency_is_measured_and_lies_in_its_spread() -> None:
    found = info("x3d_xs", frames=2, crop=32)
    assert found.num_classes == 400
    assert found.latency_ms is not None and found.latency_ms_spread is not None
    fastest, slowest = found.latency_ms_spread
    assert 0 < fastest <= found.latency_ms <= slowest
    assert found.device.startswith("cpu")
    assert found.threads >= 1


def test_a_checkpoint_of_either_kind_will_do(run: Path, tmp_path: Path) -> None:
    convert(run / "last.safetensors", tmp_path / "published.pyth")
    sizes = []
    for file in (run / "last.safetensors", tmp_path / "published.pyth"):
        found = info(file, frames=4, crop=32, measure=False)
        assert (found.name, found.num_classes) == ("vov3d_m", 3)
        sizes.append(found.parameters)
    hidden = 2048 * (174 - 3) + 174 - 3
    assert sizes == [3_204_286 - hidden] * 2
    assert info(run / "last.safetensors", frames=4, crop=32, num_classes=174, measure=False).parameters == 3_204_286


def test_an_unknown_name_is_told_the_nearest(run: Path) -> None:
    with pytest.raises(ArgumentError, match="unknown model 'vov3dm'; did you mean 'vov3d_m'"):
        info("vov3dm")
    with pytest.raises(CheckpointError, match="is the state of a run"):
        info(run / "resume" / "epoch-000002-step-000000.safetensors")


@pytest.mark.parametrize(("frames", "crop"), [(0, 64), (4, 31)])
def test_a_clip_that_is_too_small_is_refused(frames: int, crop: int) -> None:
    with pytest.raises(ArgumentError, match=f"a clip of {frames} frames of {crop}x{crop} is too small"):
        info("vov3d_m", frames=frames, crop=crop)
