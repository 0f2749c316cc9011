"""Testing networks at one pace after another."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from vov3d.build import build_cache, build_views, head_window
from vov3d.data.sources.renumber import renumbered
from vov3d.data.targets import check_loss
from vov3d.distributed import ProcessGroup, process_group
from vov3d.errors import ArgumentError, DataError
from vov3d.evaluation import Evaluation, summarise
from vov3d.inference import default_workers, threads_beside
from vov3d.optimize.folding import folded
from vov3d.plots import STYLES
from vov3d.scoring import score_videos
from vov3d.tempo.results import NetworkTempo, Pace, Tempo, write_tempo
from vov3d.trained import Trained, load_trained

if TYPE_CHECKING:
    from vov3d.data.dataset import FrameOrder
    from vov3d.data.sources import VideoIndex
    from vov3d.recipe import Recipe

STRIDES = (5, 8, 10, 12, 14, 16)
"""The strides of Figure 4, whose networks were trained with the first."""

SPEEDS = (0.5, 1.0, 2.0)
MOST_SPEED = 100
ORDERS: tuple[FrameOrder, ...] = ("reversed", "shuffled")


@dataclass(frozen=True)
class _Shown:
    """How the videos are shown; two that have the same ``key`` are the same."""

    name: str
    kind: Literal["stride", "speed", "order"]
    value: float | None = None
    stride: int | None = None
    speed: float = 1.0
    order: FrameOrder = "given"

    @property
    def key(self) -> tuple[float, FrameOrder]:
        return (self.stride or 1) * self.speed, self.order


@dataclass(frozen=True)
class _Network:
    """A network, the data set in its own numbers, and what is to be tested; the first is the pace of the training."""

    name: str
    checkpoint: str
    trained: Trained
    index: VideoIndex
    plan: tuple[_Shown, ...]


@dataclass(frozen=True)
class _Bench:
    """What all tests have in common."""

    group: ProcessGroup
    data: str
    split: str
    clips: int | None
    crops: int | None
    crop: int | None
    workers: int
    batch_size: int | None
    cache: Path | None
    allow_missing: bool

    def test(self, network: _Network, shown: _Shown, on_progress: Callable[[int, int], None]) -> Evaluation:
        """Test a network at one pace."""
        recipe, index = network.trained.recipe, network.index
        views = build_views(
            recipe,
            index,
            self.split,
            num_clips=self.clips,
            num_crops=self.crops,
            crop=self.crop,
            frame_stride=shown.stride,
            frame_order=shown.order,
            speed=shown.speed,
            cache=build_cache(recipe, self.cache, index, self.crop),
        )
        scores, missing = score_videos(
            folded(network.trained.model.to(self.group.device)),
            views,
            self.group,
            window=head_window(recipe),
            loss=recipe.train.loss,
            workers=self.workers,
            batch_size=self.batch_size,
            allow_missing=self.allow_missing,
            on_progress=on_progress,
        )
        if not scores:
            raise DataError(f"none of the {len(missing)} videos of {self.data!r} could be decoded: {missing[0].reason}")
        metrics = summarise(
            scores,
            missing,
            index.labels,
            views,
            checkpoint=network.checkpoint,
            data=self.data,
            split=self.split,
            seconds=0.0,
            loss=recipe.train.loss,
        )
        return Evaluation(metrics, tuple(scores))


def tempo(
    checkpoints: Sequence[str | Path],
    data: str | Path,
    *,
    strides: Sequence[int] = STRIDES,
    speeds: Sequence[float] = SPEEDS,
    orders: Sequence[FrameOrder] = ORDERS,
    split: str = "val",
    clips: int | None = None,
    crops: int | None = None,
    crop: int | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    workers: int | None = None,
    batch_size: int | None = None,
    cache: str | Path | None = None,
    allow_missing: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> Tempo:
    """Test networks at other strides and speeds than they were trained with, and with frames in another order.

    Args:
        checkpoints: one to six checkpoints of ours, or published ones.
        data: anything that ``vov3d check --data`` reads.
        strides: of dense clips, frames from one to the next at 30 per second; networks of segments have none.
        speeds: how many times as fast the videos play.
        orders: ``"reversed"`` or ``"shuffled"``: the frames of each clip in another order.
        split: see `vov3d.evaluate`, as for all that is not explained here.
        clips: likewise.
        crops: likewise.
        crop: likewise.
        out: folder for ``tempo.json``, ``tempo.csv``, ``strides.svg`` and ``speeds.svg``.
        device: likewise.
        workers: likewise.
        batch_size: likewise.
        cache: likewise.
        allow_missing: likewise.
        on_progress: called with (views of videos done, all); each video counts once for each network and pace.

    Raises:
        ArgumentError: for a stride, a speed or a number of checkpoints that is not possible.
        DecodeError: see `vov3d.evaluate`.
        DataError: likewise.
        CheckpointError: likewise; before anything is tested.

    Source: Figure 4.
    """
    started = time.perf_counter()
    _check(checkpoints, strides, speeds)
    strides, speeds, orders = list(dict.fromkeys(strides)), list(dict.fromkeys(speeds)), list(dict.fromkeys(orders))
    networks = _read(checkpoints, data, split, lambda recipe: _plan(recipe, strides, speeds, orders))
    num_tests = sum(len({shown.key for shown in network.plan}) for network in networks)
    workers = default_workers() if workers is None else workers
    tests_done, tested, notes = 0, [], []
    with process_group(device) as group, threads_beside(workers):
        copies = Path(cache) if cache is not None else None
        bench = _Bench(group, str(data), split, clips, crops, crop, workers, batch_size, copies, allow_missing)
        for network in networks:
            found: dict[tuple[float, FrameOrder], Evaluation] = {}
            for shown in network.plan:
                if shown.key not in found:
                    report = partial(_overall, on_progress, tests_done, num_tests)
                    found[shown.key] = bench.test(network, shown, report)
                    tests_done += 1
            tested.append(_result(network, found))
            notes += _notes(network, strides, found[network.plan[0].key])
        seconds = time.perf_counter() - started
        result = Tempo(str(data), split, tuple(tested), tuple(notes), seconds, None if out is None else Path(out))
        if result.out is not None and group.is_main:
            write_tempo(result, result.out)
    return result


def _read(
    checkpoints: Sequence[str | Path], data: str | Path, split: str, plan: Callable[[Recipe], tuple[_Shown, ...]]
) -> list[_Network]:
    """Read all that is to be tested, so that what cannot be is told at once."""
    from vov3d.data.sources import read_index

    trained = [load_trained(path) for path in checkpoints]
    whole = read_index(data, for_training=False)
    networks = [
        _Network(name, str(path), one, renumbered(whole, one.labels, split), plan(one.recipe))
        for name, path, one in zip(_names(checkpoints), checkpoints, trained, strict=True)
    ]
    for network in networks:
        check_loss(network.trained.recipe.train.loss, network.index)
    return networks


def _plan(
    recipe: Recipe, strides: Sequence[int], speeds: Sequence[float], orders: Sequence[FrameOrder]
) -> tuple[_Shown, ...]:
    """Return the pace of the training, then all that was asked for."""
    own = recipe.clip.frame_stride if recipe.clip.sampling == "dense" else None
    plan = [_Shown("as trained", "speed", 1.0, own)]
    if own is not None:
        plan += [_Shown(f"stride {stride}", "stride", stride, stride) for stride in strides]
    plan += [_Shown(f"x{speed:g}", "speed", speed, own, speed) for speed in speeds]
    plan += [_Shown(order, "order", stride=own, order=order) for order in orders]
    return tuple(plan)


def _result(network: _Network, found: dict[tuple[float, FrameOrder], Evaluation]) -> NetworkTempo:
    """Return what was found for one network."""
    trained = found[network.plan[0].key]
    paces = [_pace(shown, found[shown.key], trained) for shown in network.plan[1:]]
    return NetworkTempo(
        name=network.name,
        checkpoint=network.checkpoint,
        sampling=network.trained.recipe.clip.sampling,
        num_frames=network.trained.recipe.clip.num_frames,
        frame_stride=network.plan[0].stride,
        score_name=trained.metrics.headline_name,
        score=trained.metrics.headline,
        num_videos=trained.metrics.num_videos,
        strides=tuple(pace for pace in paces if pace.kind == "stride"),
        speeds=tuple(pace for pace in paces if pace.kind != "stride"),
    )


def _pace(shown: _Shown, found: Evaluation, trained: Evaluation) -> Pace:
    return Pace(
        name=shown.name,
        kind=shown.kind,
        value=shown.value,
        top1=found.metrics.top1,
        top5=found.metrics.top5,
        mean_average_precision=found.metrics.mean_average_precision,
        score=found.metrics.headline,
        change=found.metrics.headline - trained.metrics.headline,
        change_margin=None if found.metrics.multi_label else _margin(found, trained),
    )


def _margin(one: Evaluation, other: Evaluation) -> float:
    """Return half of the 95% interval of the difference of two top-1 accuracies on the same videos."""
    right, before = (
        {score.item: score.probs.argmax().item() == score.item.label for score in test.scores} for test in (one, other)
    )
    differences = [int(right[item]) - int(before[item]) for item in right.keys() & before.keys()]
    return float(1.96 * np.std(differences) / math.sqrt(len(differences)))


def _notes(network: _Network, strides: Sequence[int], trained: Evaluation) -> list[str]:
    """Return what has to be said of one network."""
    name, missing = network.name, len(trained.metrics.missing)
    notes = []
    if strides and network.plan[0].stride is None:
        notes.append(f"{name} sees segments of the whole video: it has no stride to change, only speeds are tested")
    if missing:
        notes.append(f"{name}: videos that cannot be decoded are left out: {missing}")
    return notes


def _names(checkpoints: Sequence[str | Path]) -> list[str]:
    """Return short names: that of the run, or of the file; the whole path where that would be the same for two."""
    paths = [Path(checkpoint) for checkpoint in checkpoints]
    short = [path.absolute().parent.name if path.stem in ("last", "best") else path.stem for path in paths]
    times = Counter(short)
    return [name if times[name] == 1 else str(path) for name, path in zip(short, paths, strict=True)]


def _overall(
    on_progress: Callable[[int, int], None] | None, tests_done: int, num_tests: int, done: int, total: int
) -> None:
    if on_progress is not None:
        on_progress(tests_done * total + done, num_tests * total)


def _check(checkpoints: Sequence[str | Path], strides: Sequence[int], speeds: Sequence[float]) -> None:
    if not 1 <= len(checkpoints) <= len(STYLES):
        raise ArgumentError(f"{len(checkpoints)} checkpoints; one plot shows 1 to {len(STYLES)}")
    times = Counter(Path(path).resolve() for path in checkpoints)
    twice = [str(path) for path in checkpoints if times[Path(path).resolve()] > 1]
    if twice:
        raise ArgumentError(f"the checkpoint {twice[0]!r} is given twice; name each once")
    for stride in strides:
        if stride < 1:
            raise ArgumentError(f"a stride of {stride} frames is not possible; it must be a whole number of at least 1")
    for speed in speeds:
        if not 0 < speed <= MOST_SPEED:
            raise ArgumentError(f"a speed of {speed:g} is not possible; it must be above 0 and at most {MOST_SPEED}")
