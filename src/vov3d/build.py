"""Names become objects here, and nowhere else."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from vov3d.checkpoint import JSON, Checkpoint, as_json, read_checkpoint
from vov3d.errors import CheckpointError, DataError
from vov3d.models import ClipClassifier, create_model, load_weights, published_name, recognise
from vov3d.optim import Schedule, decayed_names, parameter_groups

if TYPE_CHECKING:
    from vov3d.data.dataset import ClipDataset, FrameOrder, ViewDataset
    from vov3d.data.sources import VideoIndex
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


def build_model(recipe: Recipe, num_classes: int) -> ClipClassifier:
    """Return the recipe's network, started from its seed or from its checkpoint."""
    torch.manual_seed(recipe.train.seed)
    return create_model(
        recipe.model.name, num_classes=num_classes, dropout=recipe.model.dropout, pretrained=recipe.model.init
    )


def build_optimizer(recipe: Recipe, model: ClipClassifier) -> torch.optim.Optimizer:
    """Return the recipe's optimiser over the network's parameters."""
    settings = recipe.optim
    names = {key: published_name(key) or key for key in model.state_dict()}
    decayed = decayed_names(model, settings.decay_groups, names)
    groups = parameter_groups(model, decayed, settings.weight_decay)
    if settings.name == "adamw":
        return torch.optim.AdamW(groups, lr=settings.lr, betas=(settings.momentum, 0.999))
    return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum, nesterov=settings.nesterov)


def build_schedule(recipe: Recipe) -> Schedule:
    """Return the recipe's learning rate as a function of the epoch."""
    settings = recipe.optim
    return Schedule(
        lr=settings.lr,
        policy=settings.schedule,
        epochs=recipe.train.epochs,
        warmup_epochs=settings.warmup_epochs,
        warmup_start_lr=settings.warmup_start_lr,
        step_epochs=settings.step_epochs,
        step_factors=settings.step_factors,
    )


def build_clips(recipe: Recipe, index: VideoIndex, split: str = "train") -> ClipDataset:
    """Return the training clips of a split, augmented as the recipe says."""
    from vov3d.data.dataset import ClipDataset

    clip, flip = recipe.clip, recipe.clip.flip
    if flip != index.flip == "none":
        log.info("no clip is mirrored: a mirror image shows another class in %s", index.kind)
        flip = "none"
    return ClipDataset(
        index,
        split,
        num_frames=clip.num_frames,
        sampling=clip.sampling,
        frame_stride=clip.frame_stride,
        short_side=clip.short_side,
        short_side_law=clip.short_side_law,
        crop=clip.crop,
        flip=flip,
        mean=clip.mean,
        std=clip.std,
        colour_jitter=clip.colour_jitter,
        seed=recipe.train.seed,
    )


def build_views(
    recipe: Recipe,
    index: VideoIndex,
    split: str,
    *,
    num_clips: int | None = None,
    num_crops: int | None = None,
    crop: int | None = None,
    frame_order: FrameOrder = "given",
) -> ViewDataset:
    """Return all test views of each video of a split; what is not given is as the recipe says."""
    from vov3d.data.dataset import ViewDataset

    clip, test = recipe.clip, recipe.test
    return ViewDataset(
        index,
        split,
        num_frames=clip.num_frames,
        sampling=clip.sampling,
        frame_stride=clip.frame_stride,
        crop=test.crop if crop is None else crop,
        num_clips=test.num_clips if num_clips is None else num_clips,
        num_crops=test.num_crops if num_crops is None else num_crops,
        clip_rule=test.clip_rule,
        frame_order=frame_order,
        mean=clip.mean,
        std=clip.std,
        seed=recipe.train.seed,
    )


def head_window(recipe: Recipe) -> tuple[int, int, int] | None:
    """Return the pooling window of the test in feature-map cells; ``None`` pools over the whole map."""
    if recipe.test.window == "global":
        return None
    side = -(-recipe.clip.crop // 32)
    return (recipe.clip.num_frames, side, side)


def describe(recipe: Recipe, labels: tuple[str, ...]) -> dict[str, JSON]:
    """Return what a checkpoint of ours says about itself."""
    from vov3d.recipe import to_mapping
    from vov3d.version import __version__

    return {
        "model": recipe.model.name,
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
    model = create_model(name, num_classes=_num_classes(checkpoint, str(path)))
    load_weights(model, checkpoint, str(path))
    labels = checkpoint.description.get("labels")
    if not isinstance(labels, list):
        labels = [class_number(number) for number in range(model.num_classes)]
    return Trained(model.eval(), tuple(str(label) for label in labels), _recipe_of(checkpoint, name, str(path)))


def renumbered(index: VideoIndex, labels: tuple[str, ...], split: str) -> VideoIndex:
    """Return the data set with its classes numbered as the network numbers them.

    Args:
        index: the data set as read.
        labels: the network's classes. Those of a published checkpoint are numbers and are taken as the data set's, if
            there are as many.
        split: the part that will be used; ``"all"`` for the whole.

    Raises:
        DataError: if the split does not exist or is empty, or shows a class that the network does not know.
    """
    whole = tuple(item for part in index.splits.values() for item in part)
    items = whole if split == "all" else index.splits.get(split, ())
    if not items:
        there = ", ".join(f"{name} ({len(found)} videos)" for name, found in index.splits.items() if found)
        raise DataError(f"{str(index.root)!r} has no videos in the split {split!r}; it has {there or 'none at all'}")
    if any(item.label < 0 for item in items):
        raise DataError(f"the videos of the split {split!r} of {str(index.root)!r} have no labels; use vov3d predict")
    if len(index.labels) == len(labels) and all(label == class_number(n) for n, label in enumerate(labels)):
        return replace(index, splits={split: items})
    position = {label: number for number, label in enumerate(labels)}
    unknown = sorted({index.labels[item.label] for item in items} - set(position))
    if unknown:
        raise DataError(
            f"{len(unknown)} of the classes in {str(index.root)!r} are not among the {len(labels)} that the network "
            f"knows, first {', '.join(map(repr, unknown[:3]))}; it knows {', '.join(map(repr, labels[:5]))}"
            f"{', ...' if len(labels) > 5 else ''}"
        )
    renamed = tuple(replace(item, label=position[index.labels[item.label]]) for item in items)
    return replace(index, labels=labels, splits={split: renamed})


def class_number(number: int) -> str:
    """Return the label of a class that has a number and no name."""
    return f"class {number}"


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
