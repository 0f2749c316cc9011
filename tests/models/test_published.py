"""The namings of published files: which network each holds, and that our names are theirs."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import vov3d
from vov3d.checkpoint import Checkpoint
from vov3d.convert import convert
from vov3d.errors import CheckpointError
from vov3d.layers import Conv3x3x3, ConvNorm
from vov3d.models import TSM, ClipClassifier, our_tensors, recognise
from vov3d.models.published import LAYOUTS, Layout, published_names
from vov3d.models.published.pytorchvideo import PYTORCHVIDEO_X3D
from vov3d.models.published.temporal_shift import MMACTION2_TSM, TSM_AUTHORS


@functools.cache
def on_meta(name: str, num_classes: int = 400) -> ClipClassifier:
    with torch.device("meta"):
        return vov3d.create_model(name, num_classes=num_classes)


def as_published(model: nn.Module, layout: Layout) -> dict[str, Tensor]:
    """The network's state as such a file has it."""
    state = model.state_dict()
    return {name: state[ours] for ours, name in layout.names(model).items()}


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.title)
def test_every_naming_has_a_network_and_no_name_twice(layout: Layout) -> None:
    held = {name: names for name in vov3d.list_models() if (names := layout.names(on_meta(name)))}
    assert held
    for name, names in held.items():
        assert len(set(names.values())) == len(names)
        state = on_meta(name).state_dict()
        assert {*names, *layout.added(on_meta(name))} == set(state)
        assert {names[f"head.classifier.{leaf}"] for leaf in ("weight", "bias")} == set(layout.classifier_names)
        for ours, tensor in layout.added(on_meta(name)).items():
            assert (tensor.shape, tensor.dtype) == (state[ours].shape, state[ours].dtype)


@pytest.mark.parametrize("size", ["m", "l"])
def test_names_and_shapes_of_pytorchvideo(golden: Path, size: str) -> None:
    theirs = {name: tuple(shape) for name, shape in json.loads((golden / f"ptv_x3d_{size}.keys.json").read_text())}
    ours = as_published(on_meta(f"x3d_{size}"), PYTORCHVIDEO_X3D)
    assert {name: tuple(tensor.shape) for name, tensor in ours.items()} == theirs
    held = {name: torch.empty(shape, device="meta") for name, shape in theirs.items()}
    assert recognise(Checkpoint(held, published=True), "file") == f"x3d_{size}"


def test_the_norm_that_pytorchvideo_lacks_does_nothing() -> None:
    model = vov3d.create_model("x3d_m")
    model.load_state_dict({**model.state_dict(), **PYTORCHVIDEO_X3D.added(model)})
    shortcut = model.get_submodule("stages.0.0.shortcut")
    assert isinstance(shortcut, ConvNorm)
    clips = torch.randn(2, 24, 3, 4, 4)
    assert torch.equal(shortcut.norm.eval()(clips), clips)


def test_a_file_of_pytorchvideo_becomes_ours_and_says_what_it_lacks(golden: Path, tmp_path: Path) -> None:
    keys = json.loads((golden / "ptv_x3d_m.keys.json").read_text())
    tensors = {name: torch.rand(shape) if shape else torch.tensor(7) for name, shape in keys}
    torch.save({"model_state": tensors}, tmp_path / "x3d_m.pyth")
    report = convert(tmp_path / "x3d_m.pyth", tmp_path / "ours.safetensors")
    assert (report.model, report.direction, report.num_tensors) == ("x3d_m", "published to vov3d", 563)
    assert [name for name, _ in report.mapped] and {name for name, _ in report.mapped} == set(tensors)
    assert any("stages.0.0.shortcut.norm: an identity was put in its place" in note for note in report.notes)
    again = convert(tmp_path / "ours.safetensors", tmp_path / "back.pyth")  # in the naming of the authors
    assert again.num_tensors == 568


@pytest.mark.parametrize("name", ["tsm_r50", "tsm_r101"])
@pytest.mark.parametrize("layout", [TSM_AUTHORS, MMACTION2_TSM], ids=lambda layout: layout.title)
def test_shifted_convolutions_are_wrapped(layout: Layout, name: str) -> None:
    names = layout.names(on_meta(name))
    wrapped = [theirs for theirs in names.values() if theirs.endswith(".net.weight")]
    assert len(wrapped) == {"tsm_r50": 16, "tsm_r101": 2 + 2 + 12 + 2}[name]
    held = {theirs: torch.empty(0, device="meta") for theirs in names.values()}
    expected = {
        TSM_AUTHORS.title: ["base_model.layer3.2.conv1.net.weight", "base_model.layer1.0.downsample.0.weight"],
        MMACTION2_TSM.title: ["backbone.layer3.2.conv1.conv.net.weight", "backbone.layer1.0.downsample.conv.weight"],
    }
    assert all(theirs in held for theirs in expected[layout.title])


def test_2d_kernels_are_those_of_one_frame() -> None:
    model = TSM((1, 1, 1, 1), num_classes=3)
    state = as_published(model, TSM_AUTHORS)
    flat = {name: tensor.squeeze(2) if tensor.dim() == 5 else tensor for name, tensor in state.items()}
    assert flat["base_model.layer1.0.conv2.weight"].shape == (64, 64, 3, 3)
    tensors = our_tensors(Checkpoint(flat, published=True), model, "file")
    assert all(torch.equal(tensors[ours], tensor) for ours, tensor in model.state_dict().items())


def test_counts_of_batches_may_be_missing_and_nothing_else() -> None:
    model = TSM((1, 1, 1, 1), num_classes=3)
    state = as_published(model, MMACTION2_TSM)
    old = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    assert len(old) < len(state)
    assert our_tensors(Checkpoint(old, published=True), model, "file").keys() == model.state_dict().keys()
    del old["backbone.conv1.bn.running_var"]
    with pytest.raises(CheckpointError, match=r"lacks 1 of 104 entries, first backbone\.conv1\.bn\.running_var"):
        our_tensors(Checkpoint(old, published=True), model, "file")


def test_a_network_without_a_published_form_says_so() -> None:
    with torch.device("meta"):
        model = vov3d.create_model("vov3d_s", operator=Conv3x3x3)
    with pytest.raises(CheckpointError, match="does not fit VoV3D, which has no published form"):
        our_tensors(Checkpoint({"a": torch.zeros(1)}, published=True), model, "file")
    with pytest.raises(
        CheckpointError, match="VoV3D, as it is here, has no published form to write; those of VoV3D's au"
    ):
        published_names(model)
