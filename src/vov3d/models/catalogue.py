"""Models by their published names."""

from __future__ import annotations

import fnmatch
import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import torch

from vov3d.checkpoint import Checkpoint, read_checkpoint
from vov3d.errors import ArgumentError, CheckpointError, unknown_name
from vov3d.layers import Operator
from vov3d.models.ablations import (
    vov3d_l_dw_bottleneck,
    vov3d_m_2020,
    vov3d_m_bottleneck,
    vov3d_m_d1plus2d,
    vov3d_m_dw_bottleneck,
    vov3d_m_r2plus1d,
    x3d_l_d2plus1d,
    x3d_m_d2plus1d,
)
from vov3d.models.clip_classifier import ClipClassifier
from vov3d.models.i3d import i3d
from vov3d.models.loading import PUBLISHED_CLASSIFIER, load_weights, num_classes_of
from vov3d.models.published import published_names
from vov3d.models.r2plus1d import r2plus1d_18, r2plus1d_34
from vov3d.models.tsm import tsm_r50, tsm_r101
from vov3d.models.tsn import tsn_r50
from vov3d.models.vov3d import vov3d_l, vov3d_m, vov3d_s
from vov3d.models.x3d import x3d_l, x3d_m, x3d_s, x3d_xs

MODELS: Mapping[str, Callable[..., ClipClassifier]] = {
    "vov3d_m": vov3d_m,
    "vov3d_l": vov3d_l,
    "vov3d_s": vov3d_s,
    "x3d_m": x3d_m,
    "x3d_l": x3d_l,
    "x3d_s": x3d_s,
    "x3d_xs": x3d_xs,
    "vov3d_m_bottleneck": vov3d_m_bottleneck,
    "vov3d_m_r2plus1d": vov3d_m_r2plus1d,
    "vov3d_m_dw_bottleneck": vov3d_m_dw_bottleneck,
    "vov3d_m_d1plus2d": vov3d_m_d1plus2d,
    "vov3d_l_dw_bottleneck": vov3d_l_dw_bottleneck,
    "x3d_m_d2plus1d": x3d_m_d2plus1d,
    "x3d_l_d2plus1d": x3d_l_d2plus1d,
    "vov3d_m_2020": vov3d_m_2020,
    "tsn_r50": tsn_r50,
    "tsm_r50": tsm_r50,
    "tsm_r101": tsm_r101,
    "i3d": i3d,
    "r2plus1d_18": r2plus1d_18,
    "r2plus1d_34": r2plus1d_34,
}


def list_models(pattern: str = "*") -> list[str]:
    """Return the names of the models that match a shell pattern such as ``"x3d*"``, sorted."""
    return sorted(fnmatch.filter(MODELS, pattern))


def create_model(
    name: str,
    *,
    num_classes: int | None = None,
    dropout: float = 0.5,
    pretrained: str | Path | None = None,
    operator: Operator | None = None,
    stochastic_depth: float = 0.0,
) -> ClipClassifier:
    """Build a network by its published name.

    Args:
        name: one of `list_models()`.
        num_classes: K; by default that of ``pretrained``, else 400. 0 gives features in place of logits.
        dropout: probability of dropping a feature before the classifier, in training.
        pretrained: a checkpoint of ours (``.safetensors``) or a published one (``.pyth``). If its classes are not
            ``num_classes``, the classifier starts fresh and the log says so.
        operator: the 3D operator of every module; by default the published one. Of networks that have such modules.
        stochastic_depth: probability of leaving out the branch of the last block in training; 0 in the first, evenly
            between. Of the same networks.

    Returns:
        A network with the one contract ``model(clips [N,3,T,H,W]) -> logits [N,K]``, in training mode.

    Raises:
        ArgumentError: for an unknown name, an argument out of range, or one that this network does not have.
        CheckpointError: if ``pretrained`` cannot be read or does not fit.
    """
    if name not in MODELS:
        raise ArgumentError(unknown_name("model", name, MODELS))
    if num_classes is not None and num_classes < 0:
        raise ArgumentError(f"num_classes is {num_classes}; it must be 0 (no classifier) or more")
    if not 0 <= dropout < 1:
        raise ArgumentError(f"dropout is {dropout}; it must be at least 0 and below 1")
    checkpoint = read_checkpoint(Path(pretrained)) if pretrained is not None else None
    if num_classes is None:
        num_classes = num_classes_of(checkpoint.tensors) if checkpoint else 400
    chosen: dict[str, Operator | float] = {}
    if operator is not None:
        chosen["operator"] = operator
    if stochastic_depth:
        chosen["stochastic_depth"] = stochastic_depth
    for argument in chosen:
        if argument not in _arguments(MODELS[name]):
            having = [other for other, build in MODELS.items() if argument in _arguments(build)]
            raise ArgumentError(f"{name} has no {argument} to choose; of the networks, {', '.join(having)} have one")
    model = MODELS[name](num_classes=num_classes, dropout=dropout, **chosen)
    if checkpoint is not None:
        load_weights(model, checkpoint, str(pretrained))
    return model


def _arguments(build: Callable[..., ClipClassifier]) -> Collection[str]:
    return inspect.signature(build).parameters.keys()


def recognise(checkpoint: Checkpoint, source: str) -> str:
    """Return the name of the model that a checkpoint belongs to.

    That is the one that it has most entries in common with, so that what is wrong with the others can be told by
    `our_tensors`. X3D-XS, S and M are the same network, so a published file of any of them is called ``x3d_m``.

    Raises:
        CheckpointError: if it has less than half of the entries of any model of the catalogue; it names the keys.
    """
    named = checkpoint.description.get("model")
    if isinstance(named, str):
        if named not in MODELS:
            raise CheckpointError(f"checkpoint {source!r}: {unknown_name('model', named, MODELS)}")
        return named
    given = {(key, tensor.shape) for key, tensor in checkpoint.tensors.items() if key not in PUBLISHED_CLASSIFIER}
    fits: dict[str, float] = {}
    for name, build in MODELS.items():
        expected = _published_shapes(build)
        if given == expected:
            return name
        fits[name] = len(given & expected) / len(given | expected)
    nearest = max(fits, key=lambda name: fits[name])
    if fits[nearest] < 0.5:
        raise CheckpointError(
            f"checkpoint {source!r} has the names or shapes of none of {', '.join(MODELS)}: {len(checkpoint.tensors)} "
            f"entries, beginning with {', '.join(repr(key) for key in list(checkpoint.tensors)[:4])}"
        )
    return nearest


@functools.cache
def _published_shapes(build: Callable[..., ClipClassifier]) -> frozenset[tuple[str, torch.Size]]:
    """Return name and shape of every entry that a published file of this model has beside its classifier."""
    with torch.device("meta"):
        model = build(num_classes=0)
    state = model.state_dict()
    try:
        names = published_names(model)
    except CheckpointError:
        return frozenset()
    return frozenset((published, state[ours].shape) for ours, published in names.items())
