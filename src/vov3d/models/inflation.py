"""Weights of 2D networks, trained on images, as the start of networks over time.

A 2D kernel is repeated over the t frames of a 3D one and divided by t. On a clip that stands still the network then
computes what the 2D one does on its frame (tested), but for what padding takes from the first and the last frames.

Source: Carreira, Zisserman, arXiv 1705.07750, Section 2.4.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from torch import Tensor

from vov3d.checkpoint import Checkpoint
from vov3d.models.clip_classifier import ClipClassifier
from vov3d.models.loading import fitted
from vov3d.models.published import BACKBONES, COUNTER, Backbone

log = logging.getLogger("vov3d")


def inflated(kernel: Tensor, shape: Sequence[int]) -> Tensor:
    """Return a 2D kernel ``[C_out, C_in, k, k]`` repeated over time, ``[C_out, C_in, t, k, k]``, with the same sum.

    A tensor that is no kernel, or already of this shape, comes back as it is.

    Args:
        kernel: the tensor.
        shape: the shape that is needed.
    """
    if kernel.dim() != 4 or len(shape) != 5:
        return kernel
    frames = shape[2]
    return kernel.unsqueeze(2).expand(-1, -1, frames, -1, -1) / frames


def backbone_of(network: type[ClipClassifier]) -> Backbone | None:
    """Return the network of images that can start this one; ``None`` if there is none."""
    return next((one for one in BACKBONES if issubclass(network, one.networks)), None)


def load_backbone(model: ClipClassifier, name: str, checkpoint: Checkpoint, source: str) -> None:
    """Copy the weights of a network of images into one that has its trunk; the log says what starts fresh.

    The classifier of images is left out.

    Args:
        model: the network, which has such a trunk.
        name: what to call it in an error.
        checkpoint: the 2D network's weights, under its library's names.
        source: what to call the checkpoint in an error.

    Raises:
        CheckpointError: if an entry is missing, left over or of another shape; it names the first ones.
    """
    backbone = backbone_of(type(model))
    assert backbone is not None
    state = model.state_dict()
    names = {ours: theirs for ours in state if (theirs := backbone.name(ours)) is not None}
    skipped = [theirs for theirs in checkpoint.tensors if theirs.startswith(backbone.skipped)]
    shapes = {ours: _of_one_frame(state[ours].shape) for ours in names}
    refusal = f"{source!r} (backbone_pretrained, --model.backbone_init) does not fit {name}, which starts from "
    found = fitted(names, shapes, checkpoint.tensors, skipped, refusal + backbone.title)
    model.load_state_dict({**state, **{ours: inflated(one, state[ours].shape) for ours, one in found.items()}})
    log.info("%s: loaded %d of the %d tensors of the network, inflated over time", source, len(found), len(state))
    if skipped:
        log.info("%s: not loaded: %s (they classify images)", source, ", ".join(skipped))
    fresh = [ours for ours in state if ours not in found and not ours.endswith(COUNTER)]
    if fresh:
        log.info("%s: these start fresh: %s", source, _first(fresh))


def _of_one_frame(shape: Sequence[int]) -> Sequence[int]:
    """The shape of a kernel before it is inflated."""
    return (*shape[:2], *shape[3:]) if len(shape) == 5 else shape


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
