"""Names become objects here, and nowhere else."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from vov3d.errors import ArgumentError, RecipeError
from vov3d.layers import BatchNorm
from vov3d.models import ClipClassifier, create_model, network_name, published_name
from vov3d.optim import Schedule, decayed_names, parameter_groups
from vov3d.weights import find_weights

if TYPE_CHECKING:
    from vov3d.data.cache import VideoCache
    from vov3d.data.dataset import ClipDataset, FrameOrder, ViewDataset
    from vov3d.data.sources import VideoIndex
    from vov3d.distributed import ProcessGroup
    from vov3d.recipe import Recipe

log = logging.getLogger("vov3d")

FEW_VIDEOS = 1000
"""Up to as many training videos, ``model.init auto`` starts from the weights in the package."""


def build_model(recipe: Recipe, num_classes: int, *, initial: bool = True) -> ClipClassifier:
    """Return the recipe's network, started from its seed or from its checkpoint.

    Args:
        recipe: the experiment.
        num_classes: K.
        initial: whether the checkpoint to start from is read; not needed where weights are restored afterwards.
    """
    torch.manual_seed(recipe.train.seed)
    start = recipe.model.init if initial and recipe.model.init != "auto" else None  # see `with_start`
    model = create_model(
        network_name(recipe.model.name, recipe.model.operator),
        num_classes=num_classes,
        dropout=recipe.model.dropout,
        stochastic_depth=recipe.model.stochastic_depth,
        causal=recipe.model.causal,
        pretrained=start,
        backbone_pretrained=recipe.model.backbone_init if initial else None,
    )
    if recipe.train.precision == "float64":
        model.double()
    if recipe.train.freeze:
        model.freeze(recipe.train.freeze)
    model.gradient_checkpointing = recipe.train.gradient_checkpointing
    return model


def with_start(recipe: Recipe, num_videos: int) -> Recipe:
    """Return the recipe with what ``model.init auto`` stands for, which then belongs to the run.

    That is ``motion``, the weights in the package, where there are some of this network and few videos to train on;
    else ``None``.

    Args:
        recipe: the experiment.
        num_videos: training videos.
    """
    settings = recipe.model
    if settings.init != "auto":
        return recipe
    has_weights = find_weights("motion", network_name(settings.name, settings.operator)) is not None
    is_wanted = has_weights and settings.backbone_init is None and num_videos <= FEW_VIDEOS
    return replace(recipe, model=replace(settings, init="motion" if is_wanted else None))


def with_norm_clips(recipe: Recipe, group: ProcessGroup, begun: int | None = None) -> Recipe:
    """Return the recipe with a number for the clips of batch norm, which then belongs to the run.

    Args:
        recipe: the experiment.
        group: the processes that train it together.
        begun: what takes the place of null; by default all clips that a process computes at once.

    Raises:
        ArgumentError: if the batch cannot be divided among the processes.
    """
    at_once = clips_at_once(recipe, group)
    if recipe.train.norm_clips is not None:
        return recipe
    return replace(recipe, train=replace(recipe.train, norm_clips=at_once if begun is None else begun))


def build_norms(recipe: Recipe, model: ClipClassifier, group: ProcessGroup) -> ClipClassifier:
    """Let the network's norms take their statistics over as many clips as the recipe says.

    Args:
        recipe: the experiment.
        model: the network, on its device; changed in place.
        group: the processes that train it together.

    Returns:
        The network; on GPUs, norms that reach over processes are torch's `SyncBatchNorm`.

    Raises:
        ArgumentError: if the recipe's ``norm_clips`` cannot be had with these processes.
    """
    wanted, part = recipe.train.norm_clips, clips_at_once(recipe, group)
    if wanted is None or wanted == part:
        return model
    if max(wanted, part) % min(wanted, part):
        raise ArgumentError(
            f"train.norm_clips {wanted} and the {part} clips that a process computes at once do not divide; change "
            "--train.norm_clips, --batch-size, --train.accumulate or the number of processes"
        )
    shared = group.neighbours(max(1, wanted // part))
    if shared is not None and group.device.type == "cuda":
        synchronised: ClipClassifier = torch.nn.SyncBatchNorm.convert_sync_batchnorm(model, shared)
        for module in synchronised.modules():
            if isinstance(module, torch.nn.SyncBatchNorm):
                module.register_forward_pre_hook(_of_one_type)
        return synchronised
    for module in model.modules():
        if isinstance(module, BatchNorm):
            module.process_group = shared
            module.clips_per_group = wanted if wanted < part else None
    return model


def _of_one_type(norm: torch.nn.Module, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor] | None:
    """Where a process has no clips, let its (empty) statistics have the type of those that the others send."""
    (clips,) = inputs
    return (clips.to(norm.weight.dtype),) if len(clips) == 0 else None  # type: ignore[arg-type]


def clips_at_once(recipe: Recipe, group: ProcessGroup) -> int:
    """Return how many clips a process computes at once.

    Raises:
        ArgumentError: if the batch cannot be divided among the processes.
    """
    settings = recipe.train
    if settings.batch_size % (group.world_size * settings.accumulate):
        raise ArgumentError(
            f"train.batch_size {settings.batch_size} cannot be divided among {group.world_size} processes with "
            f"train.accumulate {settings.accumulate} parts each; give a multiple of "
            f"{group.world_size * settings.accumulate}, with --scale-lr linear"
        )
    return settings.batch_size // group.world_size // settings.accumulate


def build_optimizer(recipe: Recipe, model: ClipClassifier) -> torch.optim.Optimizer:
    """Return the recipe's optimiser over the network's parameters."""
    settings = recipe.optim
    names = {key: published_name(key) or key for key in model.state_dict()}
    decayed = decayed_names(model, settings.decay_groups, names)
    groups = parameter_groups(model, decayed, settings.weight_decay)
    if settings.name == "adamw":
        return torch.optim.AdamW(groups, lr=settings.lr, betas=(settings.momentum, 0.999))
    return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum, nesterov=settings.nesterov)


def build_schedule(recipe: Recipe, steps_per_epoch: int) -> Schedule:
    """Return the recipe's learning rate as a function of the epoch.

    Raises:
        RecipeError: if the warm-up is longer than the training.
    """
    settings = recipe.optim
    warmup_epochs = settings.warmup_epochs
    if settings.warmup_steps is not None:
        warmup_epochs = settings.warmup_steps / steps_per_epoch
        if warmup_epochs > recipe.train.epochs:
            raise RecipeError(
                f"recipe key optim.warmup_steps {settings.warmup_steps} is more than {recipe.train.epochs} epochs of "
                f"{steps_per_epoch} steps; lower it"
            )
    return Schedule(
        lr=settings.lr,
        policy=settings.schedule,
        epochs=recipe.train.epochs,
        warmup_epochs=warmup_epochs,
        warmup_start_lr=settings.warmup_start_lr,
        step_epochs=settings.step_epochs,
        step_factors=settings.step_factors,
    )


def build_clips(
    recipe: Recipe, index: VideoIndex, split: str = "train", *, cache: VideoCache | None = None
) -> ClipDataset:
    """Return the training clips of a split, augmented as the recipe says."""
    from vov3d.data.dataset import ClipDataset
    from vov3d.data.torchvision_transforms import clip_transform

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
        repeats=recipe.train.repeats,
        transform=clip_transform(
            rand_augment_ops=clip.rand_augment_ops,
            rand_augment_magnitude=clip.rand_augment_magnitude,
            random_erasing=clip.random_erasing,
            mean=clip.mean,
        ),
        cache=cache,
    )


def build_views(
    recipe: Recipe,
    index: VideoIndex,
    split: str,
    *,
    num_clips: int | None = None,
    num_crops: int | None = None,
    crop: int | None = None,
    frame_stride: int | None = None,
    frame_order: FrameOrder = "given",
    speed: float = 1.0,
    cache: VideoCache | None = None,
) -> ViewDataset:
    """Return all test views of each video of a split; what is not given is as the recipe says."""
    from vov3d.data.dataset import ViewDataset

    clip, test = recipe.clip, recipe.test
    return ViewDataset(
        index,
        split,
        num_frames=clip.num_frames,
        sampling=clip.sampling,
        frame_stride=clip.frame_stride if frame_stride is None else frame_stride,
        crop=test.crop if crop is None else crop,
        num_clips=test.num_clips if num_clips is None else num_clips,
        num_crops=test.num_crops if num_crops is None else num_crops,
        clip_rule=test.clip_rule,
        frame_order=frame_order,
        mean=clip.mean,
        std=clip.std,
        seed=recipe.train.seed,
        cache=cache,
        speed=speed,
    )


def build_cache(recipe: Recipe, folder: Path | None, index: VideoIndex, crop: int | None = None) -> VideoCache | None:
    """Return the cache of small copies of the videos, large enough for the recipe's clips and views of this crop.

    Raises:
        ArgumentError: if it would lie where its copies are taken for videos of the data set.
    """
    if folder is None:
        return None
    from vov3d.data.cache import VideoCache

    if index.would_find(folder):
        raise ArgumentError(
            f"--cache {str(folder)!r} lies in the data set {str(index.root)!r}, which is searched for videos; give a "
            "folder outside of it, or one whose name begins with a dot"
        )
    return VideoCache(folder, max(recipe.clip.short_side[1], recipe.test.crop, crop or 0))


def head_window(recipe: Recipe) -> tuple[int, int, int] | None:
    """Return the pooling window of the test in feature-map cells; ``None`` pools over the whole map."""
    if recipe.test.window == "global":
        return None
    side = -(-recipe.clip.crop // 32)
    return (recipe.clip.num_frames, side, side)
