"""Published checkpoints to ours and back, bit by bit, every entry accounted for."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.filling import filled_value
from tests.tiny import LABELS
from vov3d.checkpoint import read_checkpoint, write_published
from vov3d.convert import convert
from vov3d.errors import CheckpointError
from vov3d.models import create_model

KEYS = {
    ("vov3d_m", 400): "vov3d_m_k400",
    ("vov3d_m", 174): "vov3d_m",
    ("vov3d_l", 400): "vov3d_l_k400",
    ("x3d_m", 400): "pyslowfast_main_x3d_m",
    ("x3d_m", 174): "x3d_m",
    ("x3d_l", 400): "pyslowfast_main_x3d_l",
}
"""The files of golden names and shapes: VoV3D's of its authors' code, X3D's of PySlowFast."""


def published_tensors(golden: Path, keys: str) -> dict[str, Tensor]:
    names = json.loads((golden / f"{keys}.keys.json").read_text())
    return {name: torch.from_numpy(filled_value(name, tuple(shape))) for name, shape in names}


def save(path: Path, tensors: dict[str, Tensor], **beside: object) -> Path:
    torch.save({"model_state": tensors, **beside}, path)
    return path


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    """A published VoV3D-M for Something-Something; to be copied before it is changed."""
    return published_tensors(Path(__file__).parent / "golden", "vov3d_m")


def assert_bit_equal(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert list(ours) == list(theirs)
    for name, tensor in theirs.items():
        assert (ours[name].dtype, ours[name].shape) == (tensor.dtype, tensor.shape)
        assert ours[name].numpy().tobytes() == tensor.numpy().tobytes(), name


@pytest.mark.parametrize(("model", "num_classes"), KEYS)
def test_there_and_back_again(golden: Path, tmp_path: Path, model: str, num_classes: int) -> None:
    tensors = published_tensors(golden, KEYS[model, num_classes])
    source = save(tmp_path / "in.pyth", tensors, epoch=3, cfg="NUM_GPUS: 8\n", optimizer_state={"state": {}})
    there = convert(source, tmp_path / "ours.safetensors")
    back = convert(tmp_path / "ours.safetensors", tmp_path / "back.pyth")
    content = torch.load(tmp_path / "back.pyth", weights_only=True)
    assert list(content) == ["model_state"]
    assert_bit_equal(content["model_state"], tensors)

    ours = read_checkpoint(tmp_path / "ours.safetensors")
    with torch.device("meta"):
        expected = create_model(model, num_classes=num_classes).state_dict()
    assert set(ours.tensors) == set(expected)
    assert ours.description["model"] == model
    assert ours.description["num_classes"] == num_classes

    assert (there.model, back.model) == (model, model)
    assert (there.direction, back.direction) == ("published to vov3d", "vov3d to published")
    assert there.num_tensors == back.num_tensors == len(tensors)
    assert [name for name, _ in there.mapped] == list(tensors)
    assert [name for _, name in there.mapped] == list(expected)
    assert {(new, old) for old, new in there.mapped} == set(back.mapped)
    for old, new in there.mapped:
        assert torch.equal(tensors[old], ours.tensors[new])


def test_every_value_of_a_number_survives(published: dict[str, Tensor], tmp_path: Path) -> None:
    odd = torch.tensor([float("nan"), float("inf"), -float("inf"), -0.0, 1e-45, 1.17e-38], dtype=torch.float32)
    tensors = {**published, "head.projection.bias": odd.repeat(29), "head.lin_5.weight": None}
    tensors["head.lin_5.weight"] = published["head.lin_5.weight"].half()
    convert(save(tmp_path / "in.pyth", tensors), tmp_path / "ours.safetensors")
    convert(tmp_path / "ours.safetensors", tmp_path / "back.pyth")
    assert_bit_equal(torch.load(tmp_path / "back.pyth", weights_only=True)["model_state"], tensors)


def test_a_bare_state_dict_is_taken_too(published: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(published, tmp_path / "bare.pth")
    assert convert(tmp_path / "bare.pth", tmp_path / "ours.safetensors").num_tensors == len(published)


@pytest.mark.parametrize("size", ["xs", "s", "m"])
def test_the_three_small_x3d_share_one_name(golden: Path, tmp_path: Path, size: str) -> None:
    tensors = published_tensors(golden, f"pyslowfast_main_x3d_{size}")
    report = convert(save(tmp_path / "in.pyth", tensors), tmp_path / "ours.safetensors")
    assert report.model == "x3d_m"
    assert any("X3D-XS, S and M share all names" in note for note in report.notes)


def test_what_does_not_fit_a_published_file_is_told(run: Path, tmp_path: Path) -> None:
    report = convert(run / "last.safetensors", tmp_path / "published.pyth")
    assert any("label names and preprocessing" in note for note in report.notes)
    again = convert(run / "last.safetensors", tmp_path / "again.safetensors")
    assert again.direction == "vov3d to vov3d"
    assert read_checkpoint(tmp_path / "again.safetensors").description["labels"] == list(LABELS)


# ---- what is refused -------------------------------------------------------------------------------------------------


def refused(source: Path, folder: Path) -> str:
    """The one line that a file is refused with; nothing is left behind."""
    before = sorted(folder.iterdir())
    with pytest.raises(CheckpointError) as caught:
        convert(source, folder / "out.safetensors")
    assert sorted(folder.iterdir()) == before
    assert "\n" not in str(caught.value)
    assert str(source) in str(caught.value)
    return str(caught.value)


def test_a_file_of_another_network_is_refused_by_its_names(tmp_path: Path) -> None:
    tensors = {f"encoder.{number}.weight": torch.zeros(3) for number in range(9)}
    said = refused(save(tmp_path / "other.pyth", tensors), tmp_path)
    assert "has the names or shapes of none of the networks in `vov3d models`: " in said
    assert "9 entries, beginning with 'encoder.0.weight', 'encoder.1.weight'" in said


def test_a_missing_entry_is_named(published: dict[str, Tensor], tmp_path: Path) -> None:
    tensors = dict(published)
    del tensors["s3.pathway0_res0.branch2.layers.1.b1.weight"]
    said = refused(save(tmp_path / "in.pyth", tensors), tmp_path)
    assert "does not fit VoV3D: it lacks 1 of 944 entries, first s3.pathway0_res0.branch2.layers.1.b1.weight" in said


@pytest.mark.parametrize("name", ["head.projection.weight", "head.projection.bias"])
def test_half_a_classifier_is_none(published: dict[str, Tensor], tmp_path: Path, name: str) -> None:
    tensors = dict(published)
    del tensors[name]
    assert "first head.projection" in refused(save(tmp_path / "in.pyth", tensors), tmp_path)


def test_an_entry_too_many_is_named(published: dict[str, Tensor], tmp_path: Path) -> None:
    said = refused(save(tmp_path / "in.pyth", {**published, "s9.extra.weight": torch.zeros(3)}), tmp_path)
    assert "it has besides 1 of 944 entries, first s9.extra.weight" in said


@pytest.mark.parametrize(
    ("name", "shape"), [("s1.bn.weight", [7]), ("head.projection.bias", [7]), ("head.projection.weight", [174, 7])]
)
def test_a_wrong_shape_is_named(published: dict[str, Tensor], tmp_path: Path, name: str, shape: list[int]) -> None:
    name = next(key for key in published if key.startswith(name[:2]) and key.endswith(name[2:]))
    said = refused(save(tmp_path / "in.pyth", {**published, name: torch.zeros(shape)}), tmp_path)
    assert f"it differs in shape 1 of 944 entries, first {name} is {shape}, not {list(published[name].shape)}" in said


@pytest.mark.parametrize("dtype", [torch.int32, torch.complex64])
def test_weights_of_a_wrong_type_are_named(published: dict[str, Tensor], tmp_path: Path, dtype: torch.dtype) -> None:
    name = "head.projection.bias"
    said = refused(save(tmp_path / "in.pyth", {**published, name: torch.zeros(174, dtype=dtype)}), tmp_path)
    assert f"it has no floating-point numbers in 1 of 944 entries, first {name} is {dtype}" in said


@pytest.mark.parametrize(
    ("tensor", "kind"), [(torch.eye(3).to_sparse(), "sparse"), (torch.empty(3, device="meta"), "empty")]
)
def test_a_tensor_without_all_its_values_is_named(tmp_path: Path, tensor: Tensor, kind: str) -> None:
    said = refused(save(tmp_path / "in.pyth", {"s1.weight": tensor}), tmp_path)
    assert f"s1.weight is {kind}; save tensors that hold all their values" in said


def test_a_pickle_is_read_whatever_its_ending(published: dict[str, Tensor], tmp_path: Path) -> None:
    source = save(tmp_path / "in.safetensors", published)
    assert convert(source, tmp_path / "out.safetensors").num_tensors == len(published)


class RunsCode:
    """What a malicious checkpoint holds."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f'echo gotcha > "{self.victim}"',)


@pytest.mark.parametrize("protocol", [2, 4, "torch", "torch, old format"])
def test_code_in_a_file_is_not_run(
    published: dict[str, Tensor], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, protocol: object
) -> None:
    victim = tmp_path_factory.mktemp("victim") / "file"
    content = {"model_state": {"s1.weight": published["head.projection.bias"]}, "cfg": RunsCode(victim)}
    source = tmp_path / "evil.pyth"
    if isinstance(protocol, int):
        source.write_bytes(pickle.dumps(content, protocol=protocol))
    else:
        torch.save(content, source, _use_new_zipfile_serialization=protocol == "torch")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torch's would stand beside the one line
        said = refused(source, tmp_path)
    assert "cannot be read with weights only, and nothing else in it is run: " in said
    assert "weights_only" not in said  # torch advises to run the code
    assert ("it would call " in said) == (protocol != 4)  # of which torch reads nothing
    assert not victim.exists()
    pickle.loads(pickle.dumps(RunsCode(victim)))
    assert victim.exists()  # so that is what would have happened


def test_a_truncated_file_is_refused(published: dict[str, Tensor], tmp_path: Path) -> None:
    whole = save(tmp_path / "whole.pyth", published)
    convert(whole, tmp_path / "whole.safetensors")
    for file in (whole, tmp_path / "whole.safetensors"):
        content, cut = file.read_bytes(), tmp_path / f"cut{file.suffix}"
        for length in (0, 1, 7, 1000, len(content) // 2, len(content) - 1):
            cut.write_bytes(content[:length])
            assert refused(cut, tmp_path)


@pytest.mark.parametrize("content", [[1, 2], {"model_state": {}}, {"model_state": {"a": 1}}, {"weights": {}}, "text"])
def test_other_pickles_are_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "other.pyth")
    said = refused(tmp_path / "other.pyth", tmp_path)
    assert all(repr(key) in said for key in (content if isinstance(content, dict) else ()))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", b"\x80\x02rubbish", b"hello", b"\x00" * 64])
def test_rubbish_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "rubbish.pyth").write_bytes(content)
    refused(tmp_path / "rubbish.pyth", tmp_path)


def test_the_ending_says_what_is_wanted(published: dict[str, Tensor], tmp_path: Path) -> None:
    source = save(tmp_path / "in.pyth", published)
    for name in ("out.onnx", "out", "out.pt"):
        with pytest.raises(CheckpointError, match=r"the ending must be \.safetensors \(ours\) or \.pyth \(published\)"):
            convert(source, tmp_path / name)
    assert [file.name for file in tmp_path.iterdir()] == ["in.pyth"]


def test_a_source_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    assert "is not a file" in refused(tmp_path / "absent.pyth", tmp_path)


FULL = """
import resource, sys
from vov3d.convert import convert
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
for source, out in (sys.argv[1:3], sys.argv[3:5]):
    try:
        convert(source, out)
    except OSError as error:
        print(f"{error.strerror}: {error.filename}")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limits there")
def test_a_disk_that_is_full_leaves_nothing_behind(published: dict[str, Tensor], tmp_path: Path) -> None:
    source, ours = save(tmp_path / "in.pyth", published), tmp_path / "in.safetensors"
    convert(source, ours)
    outs = [tmp_path / "out.safetensors", tmp_path / "out.pyth"]
    for out in outs:
        out.write_text("what was there before")
    command = [sys.executable, "-c", FULL, source, outs[0], ours, outs[1]]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout == "".join(f"File too large: {out}\n" for out in outs)
    assert {out.read_text() for out in outs} == {"what was there before"}
    assert set(tmp_path.iterdir()) == {source, ours, *outs}


def test_what_was_written_as_published_reads_as_published(published: dict[str, Tensor], tmp_path: Path) -> None:
    write_published(tmp_path / "a.pyth", published)
    read = read_checkpoint(tmp_path / "a.pyth")
    assert read.published
    assert_bit_equal(read.tensors, published)
