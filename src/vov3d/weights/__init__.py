"""The weights that come with the package: which there are, and where (docs/weights.md).

Each file is a checkpoint as any other, in half precision, which says in its header how it was made and what it was
found to know. ``index.json`` has their digests, by name and by model; the first model of a name is the one that is
meant where none is given.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path

from vov3d.errors import CheckpointError

FOLDER = Path(__file__).parent
NAMES = ("motion",)


@dataclass(frozen=True)
class Weights:
    """One file of the package.

    Attributes:
        name: what they are called, such as ``"motion"``.
        model: the network that they are of.
        sha256: digest of the file, hexadecimal.
        path: the file.
    """

    name: str
    model: str
    sha256: str
    path: Path


@functools.cache
def weights_in(folder: Path) -> tuple[Weights, ...]:
    """Return the weights of a folder in the order of its ``index.json``.

    Raises:
        CheckpointError: if that is missing or damaged.
    """
    try:
        index: dict[str, dict[str, str]] = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        return tuple(
            Weights(name, model, sha256, folder / f"{model}_{name}.safetensors")
            for name, models in index.items()
            for model, sha256 in models.items()
        )
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"the weights of the package cannot be listed: {str(folder / 'index.json')!r} is missing or damaged; "
            "install vov3d again"
        ) from error


def find_weights(name: str | Path | None, model: str | None = None) -> Weights | None:
    """Return the weights of the package that go by a name; ``None`` where it names none of them.

    A file of the same name is meant by a path with a separator, such as ``./motion``.

    Args:
        name: such as ``"motion"``.
        model: the network that they are for; by default the first that there are weights of this name for.
    """
    if str(name) not in NAMES:
        return None
    found = (one for one in weights_in(FOLDER) if one.name == str(name) and model in (None, one.model))
    return next(found, None)


def models_with(name: str) -> list[str]:
    """Return the models that there are weights of this name for."""
    return [one.model for one in weights_in(FOLDER) if one.name == name]
