"""One contract for every model of the catalogue."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import vov3d
from vov3d.layers import D1Plus2D
from vov3d.models import (
    CSN,
    I3D,
    MODELS,
    STM,
    TEA,
    TPN,
    TSM,
    X3D,
    ClipClassifier,
    MoViNetStream,
    NonLocalI3D,
    R2Plus1DNet,
    RegionGraphI3D,
    SlowFast,
    VoV3D,
)
from vov3d.models.ablations import ABOUT, VARIANTS
from vov3d.models.movinet import Rezero, Stage

NAMES = sorted(MODELS.keys() - (VARIANTS.keys() - ABOUT.keys()))  # variants that no table has are these in other sizes
CAUSAL = {"vov3d_s, causal": "vov3d_s", "x3d_m, causal": "x3d_m"}


def build(name: str, **arguments: float) -> ClipClassifier:
    return vov3d.create_model(CAUSAL.get(name, name), causal=name in CAUSAL, **arguments)  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=[*NAMES, *CAUSAL])
def name(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture(scope="module")
def model(name: str) -> ClipClassifier:
    torch.manual_seed(0)
    network = build(name, num_classes=7, dropout=0.0)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm3d | Rezero):
            torch.nn.init.ones_(module.weight)  # let every branch count
    return network


def test_the_catalogue_is_complete() -> None:
    assert vov3d.list_models() == sorted({*NAMES, *VARIANTS})
    assert vov3d.list_models("x3d_?") == ["x3d_l", "x3d_m", "x3d_s"]


@pytest.mark.parametrize("shape", [(1, 3, 1, 32, 32), (2, 3, 5, 45, 61)])
def test_any_clip_gives_logits_in_both_modes(model: ClipClassifier, shape: tuple[int, ...]) -> None:
    clips = torch.randn(shape)
    for mode in (True, False):
        model.train(mode and shape[0] > 1)
        assert model(clips).shape == (shape[0], 7)
    features = model.forward_features(clips)
    assert 1 <= features.shape[2] <= shape[2]
    for cells, pixels in zip(features.shape[3:], shape[3:], strict=True):
        assert -(-pixels // 32) <= cells <= -(-pixels // 16)
    assert model.head(features, pre_logits=True).shape == (shape[0], model.num_features)


def test_every_parameter_gets_a_gradient(model: ClipClassifier) -> None:
    model.train()
    model(torch.randn(2, 3, 4, 64, 64)).square().sum().backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    model.zero_grad()
    assert without == []


def test_clips_of_a_batch_do_not_touch(model: ClipClassifier) -> None:
    model.eval()
    clips = torch.randn(3, 3, 4, 48, 48)
    with torch.no_grad():
        together, alone = model(clips), model(clips[1:2])
    torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-5)


def test_positions_are_in_time_row_column_order(model: ClipClassifier) -> None:
    model.eval()
    clips = torch.randn(1, 3, 4, 96, 64)  # feature map 4 x 3 x 2 of VoV3D
    with torch.no_grad():
        features = model.forward_features(clips)
        frames, rows, columns = features.shape[2:]
        window = (max(frames - 1, 1), rows - 1, columns)
        positions = model.position_logits(clips, window)
        assert positions.shape == (1, min(frames, 2) * 2, 7)
        second_row = model.head(features[:, :, : window[0], 1:])
        assert torch.allclose(positions[:, 1], second_row, atol=1e-5)
        whole = model.position_logits(clips, window=(16, 7, 7))
        torch.testing.assert_close(whole[:, 0], model(clips), rtol=1e-4, atol=1e-5)


def test_state_dict_round_trip_and_fresh_classifier(name: str, model: ClipClassifier) -> None:
    twin = build(name, num_classes=7)
    twin.load_state_dict(model.state_dict())
    clips = torch.randn(1, 3, 2, 32, 32)
    with torch.no_grad():
        assert torch.equal(twin.eval()(clips), model.eval()(clips))
        twin.reset_classifier(3)
        assert twin(clips).shape == (1, 3)
        assert twin.num_classes == 3
        twin.reset_classifier(0)
        assert twin(clips).shape == (1, twin.num_features)


TINY: list[Callable[[], ClipClassifier]] = [
    lambda: VoV3D(16, (1, 2, 1, 1), num_units=3),
    lambda: VoV3D(16, (1, 1, 1, 1), num_units=3, causal=True),
    lambda: X3D(0.4),
    lambda: X3D(0.4, causal=True),
    lambda: TSM((1, 1, 1, 1)),
    lambda: STM((1, 1, 1, 1)),
    lambda: TEA((1, 2, 1, 1)),
    lambda: TPN((1, 1, 1, 1)),
    I3D,
    lambda: R2Plus1DNet((1, 1, 1, 1)),
    lambda: SlowFast((1, 1, 1, 1), alpha=4),
    lambda: CSN((1, 1, 1, 1), preserves_interactions=True),
    lambda: NonLocalI3D((1, 2, 2, 1)),
    lambda: RegionGraphI3D((1, 2, 2, 1)),
    lambda: MoViNetStream(8, (Stage(16, ((24, (5, 3)), (16, (1, 5)))),), 32),
]


@pytest.mark.parametrize("build", TINY)
def test_exports_with_a_free_batch_size(build: Callable[[], ClipClassifier]) -> None:
    model = build().eval()
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(model, (torch.randn(2, 3, 4, 64, 64),), dynamic_shapes={"clips": {0: batch}})
    clips = torch.randn(3, 3, 4, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(program.module()(clips), model(clips), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("clips", "message"),
    [
        (torch.zeros(3, 4, 64, 64), r"\[3, 4, 64, 64\]"),
        (torch.zeros(1, 4, 3, 64, 64), r"\[N, 3, T, H, W\]"),
        (torch.zeros(1, 3, 4, 31, 64), "31x64"),
        (torch.zeros(1, 3, 0, 64, 64), "0 frames"),
        (torch.zeros(1, 3, 4, 64, 64, dtype=torch.uint8), "uint8"),
        (torch.zeros(1, 3, 4, 64, 64, dtype=torch.float64), r"the network torch.float32; give clips.to\(model.dtype\)"),
    ],
)
def test_wrong_clips_are_named(clips: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VoV3D(8, (1, 1, 1, 1), num_classes=2)(clips)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "vov3d_x"}, "did you mean 'vov3d_"),
        ({"name": "vov3d_m", "num_classes": -1}, "num_classes is -1"),
        ({"name": "vov3d_m", "dropout": 1.0}, "dropout is 1.0"),
        ({"name": "tsm_r50", "operator": D1Plus2D}, "tsm_r50 has no operator to choose; of the networks, vov3d_m, "),
        ({"name": "tsm_r50", "causal": True}, "tsm_r50 has no causal form to choose; of the networks, vov3d_m, "),
        (
            {"name": "movinet_a0", "causal": True},
            "form of movinet_a0 has a name of its own: movinet_a0_stream",
        ),
        ({"name": "tsn_r50", "stochastic_depth": 0.1}, "tsn_r50 has no stochastic_depth to choose; of the networks, "),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        vov3d.create_model(**arguments)  # type: ignore[arg-type]
