"""Training clips in batches, from any step on, decoded by worker processes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from torch.utils.data import DataLoader

from vov3d.build import clips_at_once
from vov3d.data.batches import build_sampler, joined
from vov3d.data.items import collate
from vov3d.errors import ArgumentError, TrainingError
from vov3d.interrupts import dead_children_ignored, ignore_interrupts, interrupts_held_back

if TYPE_CHECKING:
    from vov3d.data.dataset import ClipDataset
    from vov3d.data.items import Batch
    from vov3d.distributed import ProcessGroup
    from vov3d.recipe import Recipe

PATIENCE_SECONDS = 600  # a worker that gives no batch for so long is stuck


class ClipLoader:
    """This process's share of every batch of an epoch.

    Args:
        clips: the training clips.
        recipe: the experiment.
        group: the processes that share the batches.
        workers: processes that decode.

    Attributes:
        num_videos: training videos.
        num_clips: clips of a step, of all processes: ``train.batch_size``, or as many as there are.
        steps_per_epoch: batches of an epoch.

    Raises:
        ArgumentError: if the batch cannot be divided among the processes, or into ``train.repeats`` clips of a video.
    """

    def __init__(self, clips: ClipDataset, recipe: Recipe, group: ProcessGroup, workers: int) -> None:
        settings = recipe.train
        clips_at_once(recipe, group)
        videos_per_batch, left = divmod(settings.batch_size, settings.repeats)
        if left or videos_per_batch % group.world_size:
            raise ArgumentError(
                f"train.batch_size {settings.batch_size} cannot be divided into train.repeats {settings.repeats} clips "
                f"of each video on {group.world_size} processes; change one of them"
            )
        self.num_videos = len(clips)
        self.num_clips = min(settings.batch_size, len(clips) * settings.repeats)
        self._device = group.device if group.device.type == "cuda" else None
        self.sampler = build_sampler(
            clips.items,
            videos_per_batch,
            seed=settings.seed,
            rank=group.rank,
            world_size=group.world_size,
            drop_last=len(clips) >= videos_per_batch,
            workers=workers,
        )
        self.steps_per_epoch = self.sampler.steps_per_epoch
        self._loader = DataLoader(
            clips,
            batch_sampler=self.sampler,
            collate_fn=collate,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=group.device.type == "cuda",
            timeout=PATIENCE_SECONDS if workers else 0,
            worker_init_fn=ignore_interrupts,
        )

    def batches(self, epoch: int, first_step: int) -> Iterator[Batch]:
        """Yield the batches of an epoch from a step on.

        Raises:
            TrainingError: if a process that decodes is gone or stuck.
        """
        self.sampler.seek(epoch, first_step)
        try:
            with interrupts_held_back():
                batches = iter(self._loader)
            yield from joined(batches, self.sampler.parts, self._device)
        except (ConnectionError, EOFError) as error:  # it died while it handed over a batch
            raise lost_worker(error) from error


def lost_worker(error: Exception) -> TrainingError:
    """Return what to tell when a process that decodes is gone."""
    dead_children_ignored()
    return TrainingError(
        f"a process that decodes videos is gone ({' '.join(str(error).split())[:200]}); the last good checkpoint "
        "stays, go on with --resume. If it was killed for memory, give fewer --workers"
    )
