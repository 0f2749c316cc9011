"""Weights into networks: which checkpoint fits which network, and under which names."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from torch import Tensor

from vov3d.checkpoint import Checkpoint
from vov3d.errors import CheckpointError
from vov3d.models.clip_classifier import ClipClassifier
from vov3d.models.published import published_names

log = logging.getLogger("vov3d")

CLASSIFIER = ("head.classifier.weight", "head.classifier.bias")
PUBLISHED_CLASSIFIER = ("head.projection.weight", "head.projection.bias")


def our_tensors(checkpoint: Checkpoint, model: ClipClassifier, source: str) -> dict[str, Tensor]:
    """Return the checkpoint's tensors under our names, every one accounted for.

    Args:
        checkpoint: ours or a published one.
        model: the network that they are meant for; its classifier may have another number of classes, and where only
            one of them has a classifier, that is left out.
        source: what to call the checkpoint in an error.

    Raises:
        CheckpointError: if an entry is missing, left over or of another shape; it names the first ones.
    """
    names = published_names(model) if checkpoint.published else {key: key for key in model.state_dict()}
    given, num_classes = checkpoint.tensors, num_classes_of(checkpoint.tensors)
    if num_classes == 0:
        names = {ours: name for ours, name in names.items() if ours not in CLASSIFIER}
    shapes = {ours: list(tensor.shape) for ours, tensor in model.state_dict().items()}
    shapes |= {ours: [num_classes, *shapes[ours][1:]] for ours in CLASSIFIER if ours in shapes}
    spare = CLASSIFIER + PUBLISHED_CLASSIFIER if num_classes and not model.num_classes else ()
    known = {*names.values(), *spare}
    missing = [name for name in names.values() if name not in given]
    left_over = [name for name in given if name not in known]
    misshapen = [
        f"{name} is {list(given[name].shape)}, not {shapes[ours]}"
        for ours, name in names.items()
        if name in given and list(given[name].shape) != shapes[ours]
    ]
    for kind, found in (("lacks", missing), ("has besides", left_over), ("differs in shape", misshapen)):
        if found:
            raise CheckpointError(
                f"checkpoint {source!r} does not fit {type(model).__name__}: it {kind} {len(found)} of {len(names)} "
                f"entries, first {', '.join(found[:3])}"
            )
    return {ours: given[name] for ours, name in names.items()}


def num_classes_of(tensors: Mapping[str, Tensor]) -> int:
    """Return the number of classes that a state dict (ours or published) classifies; 0 without a classifier."""
    for name in (CLASSIFIER[0], PUBLISHED_CLASSIFIER[0]):
        if name in tensors:
            return int(tensors[name].shape[0])
    return 0


def load_weights(model: ClipClassifier, checkpoint: Checkpoint, source: str) -> None:
    """Copy a checkpoint into a network, whatever its frames; the log says what was loaded, what was not, and why.

    A classifier of another number of classes stays fresh. A network without a classifier takes the features alone.

    Raises:
        CheckpointError: if anything else does not fit.
    """
    tensors = our_tensors(checkpoint, model, source)
    num_classes = num_classes_of(checkpoint.tensors)
    state = model.state_dict()
    fresh = [name for name in CLASSIFIER if name in state and model.num_classes != num_classes]
    loaded = {name: tensor for name, tensor in tensors.items() if name not in fresh}
    model.load_state_dict({**state, **loaded})
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
