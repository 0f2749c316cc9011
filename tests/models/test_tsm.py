"""TSN and TSM: their costs, what they know of time, and where channels go."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import vov3d
from vov3d.layers import TemporalShift
from vov3d.models import TSM, TSN
from vov3d.models.counting import count_gmacs, count_parameters

TINY = (1, 2, 1, 1)

# parameters at 174 classes, then GMACs by frames at 224x224; the last by a library's own count
COSTS = {
    "tsn_r50": (23.86, {8: 32.70}),
    "tsm_r50": (23.86, {8: 32.70, 16: 65.39}),
    "tsm_r101": (42.86, {8: 62.39}),
}


@pytest.mark.parametrize("name", COSTS)
def test_costs(name: str) -> None:
    millions, gmacs = COSTS[name]
    with torch.device("meta"):
        model = vov3d.create_model(name, num_classes=174)
    assert count_parameters(model) / 1e6 == pytest.approx(millions, abs=6e-3)
    for frames, expected in gmacs.items():
        assert count_gmacs(model, frames, 224) == pytest.approx(expected, abs=6e-3)


def numbered(num_frames: int, channels: int = 8) -> Tensor:
    """Every channel of frame t is t + 1."""
    return torch.arange(1.0, num_frames + 1).view(1, 1, -1, 1, 1).expand(2, channels, -1, 3, 3)


@pytest.mark.parametrize(
    ("num_frames", "later", "earlier"), [(4, [2, 3, 4, 0], [0, 1, 2, 3]), (2, [2, 0], [0, 1]), (1, [0], [0])]
)
def test_the_first_channels_are_of_the_next_frame_and_the_second_of_the_last(
    num_frames: int, later: list[int], earlier: list[int]
) -> None:
    clips = numbered(num_frames)
    shifted = TemporalShift(4)(clips)
    assert shifted[0, :, :, 0, 0].int().tolist() == 2 * [later] + 2 * [earlier] + 4 * [list(range(1, num_frames + 1))]
    assert torch.equal(shifted[1], shifted[0])
    assert shifted.is_contiguous(memory_format=torch.channels_last_3d)


def shifted_blocks(model: TSM) -> list[list[bool]]:
    return [[isinstance(block.branch.before, TemporalShift) for block in stage] for stage in model.stages]  # type: ignore[attr-defined]


def test_every_block_shifts_or_in_the_deep_one_every_second() -> None:
    with torch.device("meta"):
        r50, r101 = vov3d.create_model("tsm_r50"), vov3d.create_model("tsm_r101")
    assert isinstance(r50, TSM) and isinstance(r101, TSM)
    assert shifted_blocks(r50) == [[True] * depth for depth in (3, 4, 6, 3)]
    assert shifted_blocks(r101) == [[block % 2 == 0 for block in range(depth)] for depth in (3, 4, 23, 3)]


def test_the_order_of_frames_matters_to_tsm_alone() -> None:
    torch.manual_seed(0)
    tsn = TSN(TINY, num_classes=5).eval()
    tsm = TSM(TINY, num_classes=5).eval()
    tsm.load_state_dict(tsn.state_dict())
    clips = torch.randn(1, 3, 6, 32, 32)
    backwards = clips.flip(2)
    with torch.no_grad():
        torch.testing.assert_close(tsn(backwards), tsn(clips))
        torch.testing.assert_close(
            tsn(clips), torch.stack([tsn(clips[:, :, t : t + 1]) for t in range(6)]).mean(0), rtol=1e-4, atol=1e-5
        )
        assert not torch.allclose(tsm(backwards), tsm(clips), atol=1e-3)
        assert not torch.allclose(tsm(clips), tsn(clips), atol=1e-3)


def test_a_frame_reaches_as_far_as_there_are_shifts() -> None:
    torch.manual_seed(0)
    model = TSM((1, 1, 0, 0), num_classes=0).eval()
    clips = torch.randn(1, 3, 9, 32, 32)
    changed = clips.clone()
    changed[:, :, 4] += 1
    with torch.no_grad():
        before, after = (model.forward_features(one) for one in (clips, changed))
    seen = [t for t in range(9) if not torch.equal(before[:, :, t], after[:, :, t])]
    assert seen == [2, 3, 4, 5, 6]
