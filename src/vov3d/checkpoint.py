"""Reading and writing checkpoints: safetensors with a description inside, and published files read with weights only.

A checkpoint of ours is one ``.safetensors`` file. Its header holds one JSON text under the key ``vov3d``: the model's
name and arguments, the label names, the preprocessing and the resolved recipe, so that nothing but the file is needed
to predict. Beside it stands a digest of that text and of all tensors, which is checked whenever the file is read.
"""

from __future__ import annotations

import io
import json
import pickle
import re
import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor

from vov3d.errors import CheckpointError
from vov3d.files import write_bytes
from vov3d.weights import find_weights

JSON: TypeAlias = "str | int | float | bool | list[JSON] | dict[str, JSON] | None"
FORMAT, RESUME_FORMAT = "vov3d-checkpoint-1", "vov3d-resume-3"
STATE_KEYS = ("model_state", "state_dict")
"""Where pickles of others keep the state dict, if not at the top."""
PARALLEL = "module."
"""What torch's DataParallel puts before each name."""
UNPICKLING_ERRORS = (
    *(pickle.PickleError, struct.error, ArithmeticError, AssertionError, AttributeError, EOFError, LookupError),
    *(MemoryError, RuntimeError, TypeError, ValueError),
)
"""What torch raises for damaged pickles."""


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name, and what is known about them.

    Attributes:
        tensors: the state dict.
        description: the JSON mapping of the header; empty for a published file.
        published: whether the names are those of the published code.
    """

    tensors: dict[str, Tensor]
    description: dict[str, JSON] = field(default_factory=dict)
    published: bool = False


def as_json(value: object) -> JSON:
    """Return a value as a JSON document has it: tuples become lists.

    Raises:
        TypeError: if it holds what JSON cannot.
    """
    document: JSON = json.loads(json.dumps(value))
    return document


def write_checkpoint(
    path: Path, tensors: Mapping[str, Tensor], description: Mapping[str, JSON], kind: str = FORMAT
) -> None:
    """Write one ``.safetensors`` file, whole or not at all.

    Args:
        path: the file to make or replace.
        tensors: the state dict, in any memory layout and on any device.
        description: what the header says.
        kind: `FORMAT` for a network, `RESUME_FORMAT` for the state of a run.

    Raises:
        OSError: if it cannot be written.
    """
    from safetensors.torch import save

    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    text = json.dumps({"format": kind, **description})
    header = {"format": "pt", "vov3d": text, "digest": _digest(text, plain)}
    write_bytes(path, save(plain, metadata=header))  # its save_file does not tell a full disk as an OSError


def write_published(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a ``.pyth`` file as the published code does: a pickle of ``{"model_state": ...}``.

    Raises:
        OSError: if it cannot be written.
    """
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    content = io.BytesIO()
    torch.save({"model_state": plain}, content)
    write_bytes(path, content.getbuffer())


def read_checkpoint(path: Path, kind: str = FORMAT) -> Checkpoint:
    """Read a checkpoint of ours or a published one, without running any code that it may hold.

    Args:
        path: a ``.safetensors`` file, or a pickle of a state dict, bare or as ``model_state`` or ``state_dict``; or the
            name of weights of the package.
        kind: `FORMAT` for a network, `RESUME_FORMAT` for the state of a run.

    Raises:
        CheckpointError: if the file is missing, damaged, not a checkpoint, or a pickle that would run code.
    """
    shipped = find_weights(path)
    path = Path(path) if shipped is None else shipped.path
    if not path.is_file():
        raise CheckpointError(f"checkpoint {str(path)!r} is not a file{_siblings(path)}")
    with path.open("rb") as file:
        is_pickle = file.read(2) in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
    return _read_published(path) if is_pickle else _read_safetensors(path, kind)


def _read_safetensors(path: Path, kind: str) -> Checkpoint:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except SafetensorError as error:
        raise CheckpointError(
            f"checkpoint {str(path)!r} is damaged or of an unknown kind ({error}); allowed are .safetensors of vov3d "
            "and published .pyth files"
        ) from error
    if "vov3d" not in header:
        return Checkpoint(tensors, published=True)
    if header.get("digest") != _digest(header["vov3d"], tensors):
        raise CheckpointError(f"checkpoint {str(path)!r} is damaged: its content is not what was written")
    description = json.loads(header["vov3d"])
    found = description.get("format")
    if found != kind:
        if found == RESUME_FORMAT:
            raise CheckpointError(f"checkpoint {str(path)!r} is the state of a run, for --resume alone{_network(path)}")
        raise CheckpointError(f"checkpoint {str(path)!r} has format {found!r}; needed is {kind!r}{_siblings(path)}")
    return Checkpoint(tensors, description)


def _read_published(path: Path) -> Checkpoint:
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = torch.load(file, map_location="cpu", weights_only=True)
    except UNPICKLING_ERRORS as error:
        reason = _unread(error)
        raise CheckpointError(
            f"checkpoint {str(path)!r} cannot be read with weights only, and nothing else in it is run: {reason}"
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(f"checkpoint {str(path)!r} holds a {type(content).__name__}; a state dict is expected")
    state = next((content[key] for key in STATE_KEYS if key in content), content)
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(
            f"checkpoint {str(path)!r} has no {STATE_KEYS[0]!r} of tensors; its keys begin with {_first_keys(content)}"
        )
    tensors = {str(name): tensor for name, tensor in state.items()}
    for name, tensor in tensors.items():
        if tensor.is_meta or tensor.layout != torch.strided:
            kind = "empty" if tensor.is_meta else "sparse"
            raise CheckpointError(
                f"checkpoint {str(path)!r}: {name} is {kind}; save tensors that hold all their values"
            )
    if all(name.startswith(PARALLEL) for name in tensors):
        tensors = {name.removeprefix(PARALLEL): tensor for name, tensor in tensors.items()}
    return Checkpoint(tensors, published=True)


def _unread(error: Exception) -> str:
    """Why a pickle was not read; torch tells it amid a page of advice to let it run code."""
    text = str(error).strip() or type(error).__name__
    code = re.search(r"GLOBAL ([\w.]+) ", text)
    if code:
        return f"it would call {code[1]}; allowed is a state dict of tensors alone"
    unpickler = re.search(r"WeightsUnpickler error:\s+(.+)", text)
    return (unpickler[1] if unpickler else text).splitlines()[0].split(". ", maxsplit=1)[0][:200]


def _digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    """Return a digest of a description and of every tensor's name, type, shape and bytes."""
    content = blake2b(text.encode(), digest_size=16)
    for name, tensor in sorted(tensors.items()):
        content.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        content.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return content.hexdigest()


def _first_keys(mapping: Mapping[str, object]) -> str:
    return ", ".join(repr(str(key)) for key in list(mapping)[:4]) or "nothing"


def _network(state: Path) -> str:
    """Where the network of a run is, told a state of it."""
    last = state.parent.parent / "last.safetensors"
    return f"; its network is {str(last)!r}" if last.is_file() else "; the run has not written its network yet"


def _siblings(path: Path) -> str:
    folder = path if path.is_dir() else path.parent
    found = sorted(file.name for file in folder.glob("*.safetensors"))
    names = ", ".join(found[:5]) + f" and {len(found) - 5} more" * (len(found) > 5)
    return f"; {str(folder)!r} holds {names}" if found else ""
