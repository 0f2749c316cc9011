"""What a network says of videos, shared by all processes: each video counted once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vov3d.bound import Clock
from vov3d.data.dataset import ViewDataset
from vov3d.data.items import Broken
from vov3d.data.sampler import eval_shard
from vov3d.data.views import Views
from vov3d.errors import DecodeError
from vov3d.inference import VIEWS_AT_ONCE, Activation, Network, default_workers, video_probabilities
from vov3d.interrupts import ignore_interrupts, interrupts_held_back, stop_for

if TYPE_CHECKING:
    from vov3d.data.sources import VideoItem
    from vov3d.distributed import ProcessGroup


@dataclass(frozen=True)
class Missing:
    """A video that could not be decoded, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class VideoScore:
    """What the network says of one video.

    Attributes:
        item: the video.
        probs: probability of each class, [K].
    """

    item: VideoItem
    probs: Tensor


class _Timed(Dataset[tuple[Views | Broken, float]]):
    """Views, and how many seconds it took to decode them."""

    def __init__(self, views: ViewDataset) -> None:
        self.views = views

    def __getitem__(self, index: int) -> tuple[Views | Broken, float]:
        started = time.perf_counter()
        return self.views[index], time.perf_counter() - started


def score_videos(
    model: Network,
    views: ViewDataset,
    group: ProcessGroup,
    *,
    window: tuple[int, int, int] | None,
    loss: Activation = "softmax",
    workers: int | None = None,
    batch_size: int | None = None,
    allow_missing: bool = True,
    on_progress: Callable[[int, int], None] | None = None,
    asked_to_stop: Callable[[], int] = lambda: 0,
    clock: Clock | None = None,
) -> tuple[list[VideoScore], list[Missing]]:
    """Return the class probabilities of every video, each counted once over all processes.

    While the network computes some videos, the worker processes decode the next ones.

    Args:
        model: the network, on the group's device; its mode is restored.
        views: the videos.
        group: the processes that share them.
        window: pooling window of the head; ``None`` pools over the whole map.
        loss: ``train.loss`` of the recipe, which says what makes probabilities of logits.
        workers: processes that decode.
        batch_size: videos at a time, all views of which are computed at once; by default at most 8 views are,
            on a CPU 2 if they are large.
        allow_missing: collect videos that cannot be decoded, instead of failing on the first.
        on_progress: called with (videos done, all videos) of this process.
        asked_to_stop: says which signal asked to stop, 0 for none; then all processes do.
        clock: takes the times of this process.

    Raises:
        DecodeError: for the first video found that cannot be decoded, unless ``allow_missing``; in every process.
    """
    mine = eval_shard(len(views), group.rank, group.world_size)
    workers = default_workers() if workers is None else workers
    views_a_video = views.num_clips * views.num_crops
    loader: DataLoader[tuple[Views | Broken, float]] = DataLoader(
        _Timed(views),
        sampler=mine,
        batch_size=batch_size or max(1, VIEWS_AT_ONCE // views_a_video),
        num_workers=workers,
        collate_fn=list,
        pin_memory=group.device.type == "cuda",
        worker_init_fn=ignore_interrupts,
    )
    at_once = batch_size * views_a_video if batch_size else None
    clock = Clock(workers) if clock is None else clock
    was_training = model.training
    model.eval()
    found: list[tuple[int, Tensor]] = []
    missing: list[tuple[int, Missing]] = []
    done = 0
    try:
        with interrupts_held_back():
            batches = iter(loader)
        for batch in clock.over(batches):
            clock.decoding_seconds += sum(seconds for _, seconds in batch)
            whole = [one for one, _ in batch if isinstance(one, Views)]
            missing.extend((one.index, Missing(one.path, one.reason)) for one, _ in batch if isinstance(one, Broken))
            if missing and not allow_missing:
                break  # the other processes wait below, where all of them hear of it
            probs = video_probabilities(model, whole, group.device, window, loss, views_at_once=at_once)
            found.extend((one.index, row) for one, row in zip(whole, probs, strict=True))
            done += len(batch)
            if on_progress is not None:
                on_progress(done, len(mine))
            if asked_to_stop():
                break  # likewise
    finally:
        model.train(was_training)
    stop_for(group.largest(asked_to_stop()))
    lost = sorted(group.gather(missing), key=lambda one: one[0])
    if lost and not allow_missing:
        first = lost[0][1]
        raise DecodeError(first.path, f"{first.reason}; --allow-missing leaves such videos out and reports them")
    scored = sorted(group.gather(found), key=lambda one: one[0])
    return [VideoScore(views.items[index], probs) for index, probs in scored], [one for _, one in lost]
