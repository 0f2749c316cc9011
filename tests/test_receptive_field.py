"""What a network sees of the frames: the theory against known fields, the measurement against known weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from torch import Tensor, nn

from vov3d.cli import main
from vov3d.errors import ArgumentError
from vov3d.layers import OPERATORS, D2Plus1D, SqueezeExcitation
from vov3d.models import (
    CSN,
    I3D,
    TEA,
    TOSA,
    TSM,
    X3D,
    ClipClassifier,
    MoViNetStream,
    NonLocalI3D,
    SlowFast,
    VoV3D,
)
from vov3d.models.movinet import Stage
from vov3d.receptive_field import ReceptiveField, marks, receptive_field
from vov3d.receptive_field.fields import chart, find_fields
from vov3d.receptive_field.gradients import effective_frames, measure_energy, settle
from vov3d.receptive_field.marks import find_spans

SMALL = {"frames": 16, "crop": 32}


def extents(model: ClipClassifier, depth: int = 2) -> dict[str, int | None]:
    """Frames that stem and blocks see."""
    return {
        name: seen.made.extent
        for name, seen in find_spans(model).items()
        if seen.made is not None and (name == "stem" or (name.startswith("stages") and name.count(".") == depth))
    }


def without_gates(model: nn.Module) -> nn.Module:
    for module in model.modules():
        for name, child in module.named_children():
            if isinstance(child, SqueezeExcitation):
                setattr(module, name, nn.Identity())
    return model


# ---- theory ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small() -> ReceptiveField:
    return receptive_field("vov3d_s", **SMALL)  # type: ignore[arg-type]


def test_the_stem_sees_five_frames_and_the_branches_of_a_t_osa_two_more_each(small: ReceptiveField) -> None:
    stem, *_ = (field for field in small.fields if field.kind == "stem")
    assert (stem.name, stem.frames, stem.of_input, stem.first, stem.last) == ("stem", 5, 5, -2, 2)
    branches = [field for field in small.fields if field.kind == "branch"]
    assert len(branches) == 4 * 5
    for block in range(4):
        inside = [field for field in branches if field.name.startswith(f"stages.{block}.")]
        assert [field.of_input for field in inside] == [3, 5, 7, 9, 11]
        assert [field.frames for field in inside] == [5 + 10 * block + wider for wider in (2, 4, 6, 8, 10)]
    blocks = [field for field in small.fields if field.kind == "block"]
    assert [(field.name, field.frames, field.of_input) for field in blocks] == [
        (f"stages.{block}.0", 15 + 10 * block, 11) for block in range(4)
    ]
    layers = [field for field in small.fields if field.kind == "layer"]
    assert [field.of_input for field in layers] == [5] + 20 * [3]
    assert all(field.name.endswith(".temporal") for field in layers)


@pytest.mark.parametrize("stride", [1, 2])
def test_gradients_through_a_t_osa_alone_agree(stride: int) -> None:
    """With positive weights nothing cancels and no ReLU is off: what has a gradient is what is seen."""
    tosa = without_gates(TOSA(8, 16, 8, num_units=5, operator=D2Plus1D, stride=stride)).eval()
    with torch.no_grad():
        for parameter in tosa.parameters():
            parameter.abs_().add_(0.1)
    clips = torch.rand(1, 8, 25, 4, 4, requires_grad=True)
    seen, features = [], clips
    for unit in tosa.units:  # type: ignore[union-attr]
        features = unit(features)
        (gradient,) = torch.autograd.grad(features[:, :, 12].sum(), clips, retain_graph=True)
        frames = gradient.abs().sum((0, 1, 3, 4)).nonzero().flatten()
        seen.append((int(frames[0]), int(frames[-1]), len(frames)))
    assert seen == [(12 - reach, 12 + reach, 2 * reach + 1) for reach in (1, 2, 3, 4, 5)]


@pytest.mark.parametrize("operator", OPERATORS)
def test_each_operator_reaches_one_frame_each_way(operator: str) -> None:
    model = VoV3D(8, (1, 1, 1, 1), num_units=2, operator=OPERATORS[operator], num_classes=2)
    assert list(extents(model).values()) == [5, 9, 13, 17, 21]


def test_fields_of_other_networks() -> None:
    assert list(extents(X3D(0.4)).values()) == [5, 7, 9, 11, 13, 15, 17]
    assert list(extents(TSM((1, 2, 1, 1))).values()) == [1, 3, 5, 7, 9, 11]
    i3d = find_spans(I3D())
    last = i3d["stages.2.2"].made
    assert last is not None
    assert (last.extent, last.stride) == (99, 8)  # as its authors count, arXiv 1705.07750, Figure 3


@pytest.mark.parametrize(
    "build",
    [
        lambda: VoV3D(8, (1, 2, 1, 1), num_units=2),
        lambda: X3D(0.4),
        lambda: TSM((1, 1, 1, 1)),
        lambda: TEA((1, 1, 1, 1)),
        lambda: SlowFast((1, 1, 1, 1), alpha=4),
        lambda: CSN((1, 1, 1, 1), preserves_interactions=True),
        lambda: NonLocalI3D((1, 2, 1, 1)),
        lambda: MoViNetStream(8, (Stage(16, ((24, (5, 3)), (16, (1, 5)))),), 32),
    ],
)
def test_marks_alone_go_where_the_whole_arithmetic_takes_them(
    build: Callable[[], ClipClassifier], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = build()
    monkeypatch.setattr(marks, "CLIP_FRAMES", (64,))
    alone = find_spans(model)
    for name in ("_CONVOLUTIONS", "_ELEMENTWISE", "_SUMS"):
        monkeypatch.setattr(marks, name, ())
    assert find_spans(model) == alone
    assert len({seen.made.extent for seen in alone.values() if seen.made is not None}) > 1


class OverTime(nn.Module):
    """Each frame by its share of all."""

    def forward(self, clips: Tensor) -> Tensor:
        return clips * clips.softmax(2)


def test_what_sees_the_whole_clip_is_told_so() -> None:
    model = VoV3D(8, (1, 1, 1, 1), num_units=1, num_classes=2)
    model.stages[2].append(OverTime())
    assert list(extents(model).values()) == [5, 7, 9, 11, None, None]
    fields = find_fields(model, frames=8, crop=32, clips=1, seed=0)
    seen = {field.name: (field.frames, field.of_input, field.first) for field in fields if field.kind == "block"}
    assert seen["stages.2.0"] == (11, 3, -5)
    assert seen["stages.2.1"] == seen["stages.3.0"] == (None, None, None)
    picture = chart(ReceptiveField("a", False, 8, 32, 1, fields))
    assert picture.count(">all<") == 3  # with the branch of the last block


# ---- measurement -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tap", range(5))
def test_energy_is_on_the_frame_that_the_weights_take(tap: int) -> None:
    torch.manual_seed(0)  # of four channels, ReLU may silence all
    model = VoV3D(8, (1, 1, 1, 1), num_units=1, num_classes=2)
    with torch.no_grad():
        weight = model.stem.temporal.weight  # type: ignore[union-attr]
        weight.zero_()
        weight[:, :, tap] = 1
    energy = measure_energy(model, ["stem"], num_frames=9, crop=32, num_clips=1, seed=0)["stem"]
    assert energy == pytest.approx([float(frame == 4 - 2 + tap) for frame in range(9)])
    assert next(iter(extents(model).values())) == 5  # what could be seen stays


def test_only_gates_reach_beyond_the_theory() -> None:
    torch.manual_seed(0)
    energies = []
    for model in (X3D(0.4), without_gates(X3D(0.4))):
        settle(model, num_frames=24, crop=32, num_clips=2, seed=0)  # type: ignore[arg-type]
        fields = find_fields(model, frames=24, crop=32, clips=1, seed=0)  # type: ignore[arg-type]
        first = next(field for field in fields if field.name == "stages.1.0")
        assert (first.first, first.last) == (-4, 4)
        energies.append(first.energy)
    outside = [energy[: 12 - 4] + energy[12 + 4 + 1 :] for energy in energies]
    assert min(outside[0]) > 0
    assert max(outside[1]) == 0
    assert all(energy > 0 for energy in energies[1][8:17])


def test_shares_sum_to_one(small: ReceptiveField) -> None:
    assert len(small.fields) == 1 + 1 + 20 + 20 + 4
    for field in small.fields:
        assert len(field.energy) == 16
        assert sum(field.energy) == pytest.approx(1)
        assert 1 <= field.effective <= 16
    assert small.fields[-1].effective > small.fields[0].effective == 5
    assert max(small.fields[0].energy[:6]) == 0  # the stem sees the frames 6 to 10


def test_the_shortest_run() -> None:
    assert effective_frames([0.02, 0.96, 0.02]) == 1
    assert effective_frames([0.06, 0.9, 0.04]) == 2
    assert effective_frames([0.05] * 20) == 19
    assert effective_frames([0, 0, 1.0]) == 1
    assert effective_frames([0.5, 0, 0, 0.5]) == 4


# ---- files and command line ------------------------------------------------------------------------------------------


def test_files(tmp_path: Path) -> None:
    state = torch.random.get_rng_state()
    seen: list[tuple[int, int]] = []
    report = lambda *counts: seen.append(counts)  # noqa: E731
    found = receptive_field("vov3d_s", **SMALL, out=tmp_path, on_progress=report)  # type: ignore[arg-type]
    assert seen == [(done, len(found.fields)) for done in range(1, len(found.fields) + 1)]
    assert torch.equal(torch.random.get_rng_state(), state)
    written = json.loads((tmp_path / "receptive_field.json").read_text())
    assert [field["frames"] for field in written["fields"]] == [field.frames for field in found.fields]
    picture = ElementTree.parse(tmp_path / "receptive_field.svg").getroot()
    said = [element.text for element in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert said.count("unit 4") == 4
    assert {"stem", "stages.3.0", "theory", "95%", "45"} <= set(said)


def test_names_and_checkpoints(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.tiny import small_network
    from vov3d.models import MODELS

    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setitem(MODELS, "vov3d_m", small_network)  # type: ignore[arg-type]
    assert main(["receptive-field", str(checkpoint), "--frames", "8", "--crop", "32"]) == 0
    shown = capsys.readouterr().out
    assert "vov3d_m, as trained" in shown
    assert "1 clip of noise, 8 frames of 32 pixels" in shown
    rows = [line.split() for line in shown.splitlines()]
    assert ["branch", "stages.0.0.branch.units.1", "5", "9", "-4", "+4"] in [row[:6] for row in rows]
    assert not any(row[:1] == ["layer"] for row in rows)
    assert main(["receptive-field", "vov3d_m", "--frames", "8", "--crop", "32", "--layers", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["trained"] is False
    assert main(["receptive-field", "vov3d_mm"]) == 2
    assert "unknown model 'vov3d_mm'; did you mean 'vov3d_m'" in capsys.readouterr().err
    with pytest.raises(ArgumentError, match="1 clips of 1 frames of 64x64; at least"):
        receptive_field("vov3d_s", frames=1)


def test_a_clip_that_leaves_a_norm_one_number_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"from 1 clip of 7 frames of 32x32 a norm .* give 2 clips, or more frames"):
        receptive_field("slowfast_r50_4x16", frames=7, crop=32)
