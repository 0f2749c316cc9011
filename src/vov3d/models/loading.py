"""Weights into networks: which checkpoint fits which network, and under which names."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from vov3d.checkpoint import Checkpoint
from vov3d.errors import CheckpointError
from vov3d.models.clip_classifier import ClipClassifier
from vov3d.models.published import COUNTER, LAYOUTS, Layout

log = logging.getLogger("vov3d")

OURS = Layout("vov3d", lambda model: {key: key for key in model.state_dict()}, "head.classifier", written=True)


def layout_of(checkpoint: Checkpoint, model: ClipClassifier) -> Layout:
    """Return the naming of a checkpoint: of those that hold such a network, that with most names in common."""
    if not checkpoint.published:
        return OURS
    return max(LAYOUTS, key=lambda layout: len(checkpoint.tensors.keys() & layout.names(model).values()))


def our_tensors(checkpoint: Checkpoint, model: ClipClassifier, source: str) -> dict[str, Tensor]:
    """Return the checkpoint's tensors under our names and in our shapes, every one accounted for.

    Args:
        checkpoint: ours or a published one.
        model: the network that they are meant for; its classifier may have another number of classes, and where only
            one of them has a classifier, that is left out.
        source: what to call the checkpoint in an error.

    Raises:
        CheckpointError: if an entry is missing, left over or of another shape; it names the first ones.
    """
    layout, num_classes = layout_of(checkpoint, model), num_classes_of(checkpoint.tensors)
    names = layout.names(model)
    if not names:
        raise CheckpointError(f"checkpoint {source!r} does not fit {type(model).__name__}, which has no published form")
    shapes = {ours: tensor.shape for ours, tensor in model.state_dict().items()}
    for ours in OURS.classifier_names:
        if num_classes == 0:
            names.pop(ours, None)
        elif ours in shapes:
            shapes[ours] = torch.Size([num_classes, *shapes[ours][1:]])
    spare = [name for name in checkpoint.tensors if name.startswith(layout.left_out)]
    if num_classes and not model.num_classes:
        spare += [*OURS.classifier_names, *layout.classifier_names]
    found = fitted(names, shapes, checkpoint.tensors, spare, f"{source!r} does not fit {type(model).__name__}")
    return found | layout.added(model)


def fitted(
    names: Mapping[str, str],
    shapes: Mapping[str, Sequence[int]],
    given: Mapping[str, Tensor],
    spare: Iterable[str],
    refusal: str,
) -> dict[str, Tensor]:
    """Return what is given under our names and in our shapes, from which it may differ by axes of length one.

    Args:
        names: our name -> given name of what is needed.
        shapes: our name -> the shape that is needed.
        given: tensors by their given names; counts of batches may be missing.
        spare: given names that may be left over.
        refusal: what an error begins with.

    Raises:
        CheckpointError: if an entry is missing, left over or of another shape or type; it names the first ones.
    """
    known = {*names.values(), *spare}
    missing = [name for name in names.values() if name not in given and not name.endswith(COUNTER)]
    left_over = [name for name in given if name not in known]
    misshapen = [
        f"{name} is {list(given[name].shape)}, not {list(shapes[ours])}"
        for ours, name in names.items()
        if name in given and without_ones(given[name].shape) != without_ones(shapes[ours])
    ]
    mistyped = [
        f"{name} is {given[name].dtype}"
        for name in names.values()
        if name in given and not name.endswith(COUNTER) and not given[name].is_floating_point()
    ]
    differences = (
        ("lacks", missing),
        ("has besides", left_over),
        ("differs in shape", misshapen),
        ("has no floating-point numbers in", mistyped),
    )
    for kind, found in differences:
        if found:
            raise CheckpointError(
                f"checkpoint {refusal}: it {kind} {len(found)} of {len(names)} entries, first {', '.join(found[:3])}"
            )
    return {
        ours: given[name].reshape(tuple(shapes[ours])) if name in given else torch.tensor(0)
        for ours, name in names.items()
    }


def without_ones(shape: Iterable[int]) -> tuple[int, ...]:
    """Return a shape without its axes of length one."""
    return tuple(length for length in shape if length != 1)


def num_classes_of(tensors: Mapping[str, Tensor]) -> int:
    """Return the number of classes that a state dict (ours or published) classifies; 0 without a classifier."""
    for layout in (OURS, *LAYOUTS):
        weight, _ = layout.classifier_names
        if weight in tensors:
            return int(tensors[weight].shape[0])
    return 0


def is_causal(checkpoint: Checkpoint) -> bool:
    """Return whether a checkpoint of ours is of the causal form of its network."""
    return checkpoint.description.get("causal") is True


def load_weights(model: ClipClassifier, checkpoint: Checkpoint, source: str, *, is_own: bool = False) -> None:
    """Copy a checkpoint into a network, whatever its frames; the log says what was loaded, what was not, and why.

    A classifier of another number of classes stays fresh. A network without a classifier takes the features alone.

    Args:
        model: the network.
        checkpoint: its weights.
        source: what to call the checkpoint.
        is_own: whether the network is the checkpoint's own, of which all is loaded: that need not be told.

    Raises:
        CheckpointError: if anything else does not fit.
    """
    tensors = our_tensors(checkpoint, model, source)
    num_classes = num_classes_of(checkpoint.tensors)
    state = model.state_dict()
    fresh = [name for name in OURS.classifier_names if name in state and model.num_classes != num_classes]
    loaded = {name: tensor for name, tensor in tensors.items() if name not in fresh}
    model.load_state_dict({**state, **loaded})
    if not is_own:
        log.info("%s: loaded %d of the %d tensors of the network", source, len(loaded), len(state))
    if fresh:
        given = f"it classifies {num_classes} classes" if num_classes else "it has no classifier"
        log.warning(
            "%s: not loaded: %s (%s, the network %d: these start fresh)",
            source,
            ", ".join(fresh),
            given,
            model.num_classes,
        )
    if num_classes and not model.num_classes:
        log.info("%s: not loaded: its classifier (the network has none)", source)
