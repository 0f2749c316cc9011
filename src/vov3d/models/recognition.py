"""Which network of the catalogue a checkpoint belongs to."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from vov3d.checkpoint import Checkpoint
from vov3d.errors import CheckpointError, unknown_name
from vov3d.models.catalogue import MODELS
from vov3d.models.clip_classifier import ClipClassifier
from vov3d.models.loading import without_ones
from vov3d.models.published import COUNTER, LAYOUTS

Entries = frozenset[tuple[str, tuple[int, ...]]]


def recognise(checkpoint: Checkpoint, source: str) -> str:
    """Return the name of the model that a checkpoint belongs to.

    That is the one that it has most entries in common with, so that what is wrong with the others can be told by
    `vov3d.models.our_tensors`. X3D-XS, S and M are the same network, so a published file of any of them is called
    ``x3d_m``.

    Raises:
        CheckpointError: if it has less than half of the entries of any model of the catalogue; it names the keys.
    """
    named = checkpoint.description.get("model")
    if isinstance(named, str):
        if named not in MODELS:
            raise CheckpointError(f"checkpoint {source!r}: {unknown_name('model', named, MODELS, 'vov3d models')}")
        return named
    given = _entries(checkpoint.tensors.items())
    fits: dict[str, float] = {}
    for name, build in MODELS.items():
        for expected in _published_entries(build):
            if given == expected:
                return name
            fits[name] = max(fits.get(name, 0.0), len(given & expected) / len(given | expected))
    nearest = max(fits, key=lambda name: fits[name])
    if fits[nearest] < 0.5:
        raise CheckpointError(
            f"checkpoint {source!r} has the names or shapes of none of the networks in `vov3d models`: "
            f"{len(checkpoint.tensors)} entries, beginning with "
            f"{', '.join(repr(key) for key in list(checkpoint.tensors)[:4])}"
        )
    return nearest


@functools.cache
def _published_entries(build: Callable[..., ClipClassifier]) -> tuple[Entries, ...]:
    """Return what a file of this model holds beside its classifier, in each published naming that has it."""
    with torch.device("meta"):
        model = build(num_classes=0)
    state = model.state_dict()
    namings = [names for layout in LAYOUTS if (names := layout.names(model))]
    return tuple(_entries((name, state[ours]) for ours, name in names.items()) for names in namings)


def _entries(tensors: Iterable[tuple[str, Tensor]]) -> Entries:
    """Return name and shape of each entry that tells networks apart."""
    same = {name for layout in LAYOUTS for name in layout.classifier_names}
    left_out = tuple(start for layout in LAYOUTS for start in layout.left_out)
    return frozenset(
        (name, without_ones(tensor.shape))
        for name, tensor in tensors
        if name not in same and not name.endswith(COUNTER) and not name.startswith(left_out)
    )
