"""The one file of a network: round trips, its description, and what is said of files that are not one."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from vov3d.checkpoint import RESUME_FORMAT, as_json, read_checkpoint, write_checkpoint
from vov3d.errors import CheckpointError
from vov3d.files import csv_text, write_atomically, write_text

DTYPES = (
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
    *(torch.int64, torch.int32, torch.uint8, torch.bool),
)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_any_type_of_number_comes_back(tmp_path: Path, dtype: torch.dtype) -> None:
    tensor = (torch.arange(24) % 2 if dtype is torch.bool else torch.arange(24)).to(dtype).reshape(2, 3, 4)
    write_checkpoint(tmp_path / "a.safetensors", {"a": tensor}, {})
    read = read_checkpoint(tmp_path / "a.safetensors").tensors["a"]
    assert read.dtype == dtype
    assert torch.equal(read, tensor)


def test_any_layout_in_memory_comes_back(tmp_path: Path) -> None:
    base = torch.randn(2, 3, 4, 5, 6)
    tensors = {
        "channels last": base.to(memory_format=torch.channels_last_3d),
        "transposed": base.transpose(0, 4),
        "every second": base[..., ::2],
        "expanded": torch.randn(1, 3).expand(4, 3),
        "one number": torch.tensor(7),
        "nothing": torch.empty(0, 3),
        "with gradient": torch.nn.Parameter(base),
        "shared": base,
        "shared too": base,
        "a part of it": base[0],
    }
    write_checkpoint(tmp_path / "a.safetensors", tensors, {})
    read = read_checkpoint(tmp_path / "a.safetensors").tensors
    assert set(read) == set(tensors)
    assert all(torch.equal(read[name], tensor) for name, tensor in tensors.items())


def test_the_description_comes_back(tmp_path: Path) -> None:
    told = {
        "model": "vov3d_m",
        "labels": ["hüpfen", "\u8df3", 'a "b"\n'],
        "recipe": {"optim": {"lr": 5e-5}},
        "none": None,
    }
    write_checkpoint(tmp_path / "a.safetensors", {"a": torch.zeros(1)}, told)
    read = read_checkpoint(tmp_path / "a.safetensors")
    assert {key: read.description[key] for key in told} == told
    assert not read.published
    with safe_open(tmp_path / "a.safetensors", framework="pt") as file:
        assert set(file.metadata()) == {"format", "vov3d", "digest"}  # "format: pt" is what other readers look for


def test_what_json_cannot_hold_is_not_written(tmp_path: Path) -> None:
    assert as_json({"a": (1, 2)}) == {"a": [1, 2]}
    with pytest.raises(TypeError):
        write_checkpoint(tmp_path / "a.safetensors", {}, {"a": object()})  # type: ignore[dict-item]
    assert list(tmp_path.iterdir()) == []


def test_safetensors_of_others_are_published_files(tmp_path: Path) -> None:
    save_file({"conv1.weight": torch.ones(2)}, tmp_path / "other.safetensors")
    read = read_checkpoint(tmp_path / "other.safetensors")
    assert (read.published, read.description, read.tensors["conv1.weight"].tolist()) == (True, {}, [1, 1])


@pytest.mark.parametrize("key", [None, "model_state", "state_dict"])
def test_pickles_of_others_hold_a_state_dict_of_one_process_or_several(tmp_path: Path, key: str | None) -> None:
    for prefix in ("", "module."):
        state = {f"{prefix}a.weight": torch.ones(2), f"{prefix}b": torch.zeros(1)}
        torch.save({key: state, "epoch": 3} if key else state, tmp_path / "other.pth")
        assert list(read_checkpoint(tmp_path / "other.pth").tensors) == ["a.weight", "b"]


def test_the_state_of_a_run_and_a_network_are_told_apart(tmp_path: Path) -> None:
    state = tmp_path / "resume" / "epoch-000001-step-000000.safetensors"
    write_checkpoint(state, {"a": torch.zeros(1)}, {}, RESUME_FORMAT)
    with pytest.raises(CheckpointError, match=r"for --resume alone; the run has not written its network yet$"):
        read_checkpoint(state)
    write_checkpoint(tmp_path / "last.safetensors", {"a": torch.zeros(1)}, {})
    write_checkpoint(tmp_path / "later.safetensors", {"a": torch.zeros(1)}, {}, "vov3d-checkpoint-9")
    assert read_checkpoint(state, RESUME_FORMAT).tensors
    with pytest.raises(CheckpointError) as told:
        read_checkpoint(state)
    last = str(tmp_path / "last.safetensors")
    assert str(told.value).endswith(f"is the state of a run, for --resume alone; its network is {last!r}")
    with pytest.raises(CheckpointError, match="has format 'vov3d-checkpoint-1'"):
        read_checkpoint(tmp_path / "last.safetensors", RESUME_FORMAT)
    with pytest.raises(CheckpointError, match="has format 'vov3d-checkpoint-9'; needed is 'vov3d-checkpoint-1'"):
        read_checkpoint(tmp_path / "later.safetensors")


def test_a_folder_given_for_a_file_names_what_it_holds(tmp_path: Path) -> None:
    for name in ("best", "last"):
        write_checkpoint(tmp_path / f"{name}.safetensors", {"a": torch.zeros(1)}, {})
    for given in (tmp_path, tmp_path / "bset.safetensors"):
        with pytest.raises(CheckpointError, match=r"is not a file; '.*' holds best.safetensors, last.safetensors$"):
            read_checkpoint(given)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("kind", ["ours", "published", "published long ago"])
def test_every_damage_is_an_error_of_one_line(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "damaged"
    tensors = {"a.weight": torch.arange(8.0), "b": torch.tensor(3)}
    if kind == "ours":
        write_checkpoint(file, tensors, {"model": "vov3d_m"})
    else:
        content = {"model_state": tensors, "epoch": 3, "cfg": "NUM_GPUS: 8"}
        torch.save(content, file, _use_new_zipfile_serialization=kind == "published")
    whole, refusals = file.read_bytes(), 0
    for place in range(2, len(whole), 3):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            read_checkpoint(file)
        except CheckpointError as error:
            assert "\n" not in str(error)
            refusals += 1
    assert refusals > 50


# ---- files that are there whole or not at all ------------------------------------------------------------------------


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    write_text(file, "old")

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left on device") as caught:
        write_atomically(file, fail)
    assert caught.value.filename == str(file)
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_text_is_written_the_same_on_every_system(tmp_path: Path) -> None:
    write_text(tmp_path / "deep" / "er" / "a.csv", csv_text([["ä", 'say "hi"'], ["1", "a,b"]]))
    assert (tmp_path / "deep" / "er" / "a.csv").read_bytes() == 'ä,"say ""hi"""\n1,"a,b"\n'.encode()


@pytest.mark.skipif(sys.platform == "win32", reason="no such permissions there")
def test_others_may_read_what_is_written_as_the_user_set_it(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a.txt", "hello")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640
