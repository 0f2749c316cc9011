"""From the videos of a split to the batches of a training: which sampler suits them, and how its parts are joined."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import torch

from vov3d.data.items import Batch
from vov3d.data.pack.sampler import PackSampler
from vov3d.data.sampler import SeekableSampler
from vov3d.data.sources.index import VideoItem


def build_sampler(
    items: Sequence[VideoItem],
    batch_size: int,
    *,
    seed: int = 0,
    rank: int = 0,
    world_size: int = 1,
    drop_last: bool = True,
    workers: int = 0,
) -> SeekableSampler:
    """The sampler for these videos: `PackSampler` where all are packed, else `SeekableSampler`.

    Args:
        items: the videos of the split.
        batch_size: of the global batch, over all ranks.
        seed: of the order.
        rank: of this process.
        world_size: number of processes.
        drop_last: leave out the last batch where it is not full.
        workers: `num_workers` of the DataLoader.

    Raises:
        ValueError: the sizes do not fit together, or the epoch would have no step.
    """
    if items and all(item.packed is not None for item in items):
        return PackSampler(
            items,
            batch_size,
            seed=seed,
            rank=rank,
            world_size=world_size,
            drop_last=drop_last,
            parts=max(1, workers),
        )
    return SeekableSampler(len(items), batch_size, seed=seed, rank=rank, world_size=world_size, drop_last=drop_last)


def joined(batches: Iterable[Batch], parts: int, device: torch.device | None = None) -> Iterator[Batch]:
    """Put each `parts` batches in succession together to one.

    Args:
        batches: a DataLoader.
        parts: of its sampler; 1 changes nothing.
        device: where clips are moved before they are put together, so that no large copy is made here.
    """
    if parts == 1:
        yield from batches
        return
    rest = iter(batches)
    while group := list(islice(rest, parts)):
        yield _join(group, device)


def _join(group: Sequence[Batch], device: torch.device | None) -> Batch:
    full = [batch for batch in group if len(batch.labels)]
    if device is not None:
        full = [batch._replace(clips=batch.clips.to(device, non_blocking=True)) for batch in full]
    broken = tuple(one for batch in group for one in batch.broken)
    if len(full) <= 1:
        return (full or group)[0]._replace(broken=broken)
    places = _repeats_apart([batch.indices for batch in full])
    return Batch(
        clips=torch.cat([batch.clips for batch in full])[places],
        labels=torch.cat([batch.labels for batch in full])[places],
        indices=torch.cat([batch.indices for batch in full])[places],
        targets=torch.cat([batch.targets for batch in full])[places],
        broken=broken,
    )


def _repeats_apart(indices: Sequence[torch.Tensor]) -> torch.Tensor | slice:
    """Where the clips of joined parts go: the first of each video before the second of each, as in one part."""
    times_seen: Counter[int] = Counter()
    number = []
    for index in torch.cat(list(indices)).tolist():
        number.append(times_seen[index])
        times_seen[index] += 1
    return torch.tensor(number).argsort(stable=True) if any(number) else slice(None)
