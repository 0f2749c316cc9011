"""A trained network with all that is needed to use it, and what a checkpoint says about itself."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vov3d.checkpoint import JSON, Checkpoint, as_json, read_checkpoint
from vov3d.data.sources.renumber import class_number
from vov3d.errors import CheckpointError
from vov3d.models import MODELS, ClipClassifier, create_model, is_causal, load_weights, network_name, recognise
from vov3d.weights import find_weights

if TYPE_CHECKING:
    from vov3d.recipe import Recipe

log = logging.getLogger("vov3d")


@dataclass(frozen=True)
class Trained:
    """A trained network with all that is needed to use it.

    Attributes:
        model: the network, in evaluation mode.
        labels: class names, in the order of the logits.
        recipe: what it was trained with; the preprocessing is in its ``clip`` and ``test`` sections.
    """

    model: ClipClassifier
    labels: tuple[str, ...]
    recipe: Recipe


def describe(recipe: Recipe, labels: tuple[str, ...]) -> dict[str, JSON]:
    """Return what a checkpoint of ours says about itself."""
    from vov3d.recipe import to_mapping
    from vov3d.version import __version__

    return {
        "model": network_name(recipe.model.name, recipe.model.operator),
        "causal": recipe.model.causal,
        "num_classes": len(labels),
        "labels": list(labels),
        "recipe": as_json(to_mapping(recipe)),
        "vov3d": __version__,
    }


def load_trained(path: str | Path) -> Trained:
    """Return the network of a checkpoint with its labels and its recipe.

    A published checkpoint knows neither: its labels are class numbers, its recipe is the published one for its number
    of classes, and the log says so.

    Raises:
        CheckpointError: if the file cannot be read, or nothing says how its clips are prepared.
    """
    checkpoint = read_checkpoint(Path(path))
    name = recognise(checkpoint, str(path))
    model = create_model(name, num_classes=_num_classes(checkpoint, str(path)), causal=is_causal(checkpoint))
    load_weights(model, checkpoint, str(path), is_own=not checkpoint.published)
    labels = checkpoint.description.get("labels")
    if not isinstance(labels, list):
        labels = [class_number(number) for number in range(model.num_classes)]
    return Trained(model.eval(), tuple(str(label) for label in labels), _recipe_of(checkpoint, name, str(path)))


def load_network(model: str | Path, num_classes: int | None = None) -> tuple[str, ClipClassifier, bool]:
    """Return a network by its published name, fresh, or the network of a checkpoint.

    Args:
        model: a name of `vov3d.list_models()`, or a checkpoint, or the name of weights of the package.
        num_classes: K; by default that of the checkpoint, or 400.

    Returns:
        Its name, the network, and whether its weights are those of a checkpoint.

    Raises:
        ArgumentError: for an unknown name.
        CheckpointError: if the checkpoint cannot be read.
    """
    path = Path(model)
    is_there = find_weights(model) is not None or (str(model) and path.exists())
    names_a_file = is_there or path.suffix or len(path.parts) > 1
    if str(model) in MODELS or not names_a_file:
        return str(model), create_model(str(model), num_classes=num_classes), False
    name = recognise(read_checkpoint(path), str(model))
    return name, create_model(name, num_classes=num_classes, pretrained=model), True


def _num_classes(checkpoint: Checkpoint, source: str) -> int:
    from vov3d.models.loading import num_classes_of

    num_classes = num_classes_of(checkpoint.tensors)
    if num_classes == 0:
        raise CheckpointError(f"checkpoint {source!r} has no classifier, only features")
    return num_classes


def _recipe_of(checkpoint: Checkpoint, model: str, source: str) -> Recipe:
    from vov3d.recipe import list_recipes, load_recipe, recipe_from_mapping

    mapping = checkpoint.description.get("recipe")
    if isinstance(mapping, dict):
        return recipe_from_mapping(mapping)
    data_set = {400: "k400", 174: "ssv2"}.get(_num_classes(checkpoint, source))
    name = f"{data_set}/{model}_16"
    if name not in list_recipes():
        raise CheckpointError(
            f"checkpoint {source!r} does not say how its clips are prepared, and no published recipe has its model and "
            "number of classes; start a training from it with --model.init"
        )
    log.warning("%s does not say how its clips are prepared: taking the recipe %s", source, name)
    return load_recipe(name)
