"""``vov3d evaluate CHECKPOINT --data PATH``: the multi-view test, with its control."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vov3d.bound import Clock
from vov3d.build import build_cache, build_views, head_window
from vov3d.data.sources.renumber import renumbered
from vov3d.data.targets import check_loss
from vov3d.distributed import process_group
from vov3d.errors import DataError
from vov3d.evaluation import Evaluation, summarise, write_evaluation
from vov3d.fast import device_for, fast_network, spread_over
from vov3d.inference import default_workers, threads_beside
from vov3d.locks import sole_writer
from vov3d.optimize import Optimized
from vov3d.optimize.folding import folded
from vov3d.scoring import score_videos
from vov3d.trained import load_trained

if TYPE_CHECKING:
    from vov3d.data.dataset import FrameOrder
    from vov3d.inference import Network
    from vov3d.optimize import Precision


def evaluate(
    checkpoint: str | Path,
    data: str | Path,
    *,
    split: str = "val",
    clips: int | None = None,
    crops: int | None = None,
    crop: int | None = None,
    frame_order: FrameOrder = "given",
    out: str | Path | None = None,
    device: str = "auto",
    workers: int | None = None,
    batch_size: int | None = None,
    cache: str | Path | None = None,
    allow_missing: bool = False,
    fast: Precision | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Test a checkpoint: softmax at every position, mean over positions and views (Section 4.1).

    A network that was trained with ``train.loss`` sigmoid is tested with the sigmoid in place of the softmax.

    Args:
        checkpoint: a checkpoint of ours, or a published one.
        data: anything that ``vov3d check --data`` reads.
        split: which part of it; ``"all"`` for the whole.
        clips: clips of a video; by default as the recipe says.
        crops: crops of a clip, 1 or 3; likewise.
        crop: side of a crop in pixels; likewise.
        frame_order: ``"shuffled"`` or ``"reversed"`` show each clip's frames in another order, the control that tells
            how much of the accuracy comes from time.
        out: folder for ``metrics.json``, ``predictions.csv``, ``per_class.csv``, and, with one label a video,
            ``confusion.csv`` and a plot.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
        workers: processes that decode; by default half of the cores.
        batch_size: videos at a time, all views of which are computed at once; by default at most 8 views are,
            on a CPU 2 if they are large.
        cache: folder for small copies of the videos that decode faster.
        allow_missing: leave out, and report, videos that cannot be decoded.
        fast: ``"fp32"``, ``"bf16"`` or ``"int8"``: by the quickest engine (`vov3d.optimize`), checked, and
            calibrated for int8, on some of the videos.
        on_progress: called with (videos done, all videos).

    Raises:
        DecodeError: for the first video that cannot be decoded, unless ``allow_missing``.
        DataError: if the data has no such split, classes that the network does not know, or several labels a video
            where the network knows one.
        CheckpointError: if the checkpoint cannot be read.
        InUseError: if another process writes to ``out``.
        OptimizeError: if no engine computes the network in the precision ``fast``.
    """
    from vov3d.data.sources import read_index

    started = time.perf_counter()
    trained = load_trained(checkpoint)
    loss = trained.recipe.train.loss
    index = renumbered(read_index(data, for_training=False), trained.labels, split)
    check_loss(loss, index)
    views = build_views(
        trained.recipe,
        index,
        split,
        num_clips=clips,
        num_crops=crops,
        crop=crop,
        frame_order=frame_order,
        cache=build_cache(trained.recipe, Path(cache) if cache is not None else None, index, crop),
    )
    workers = default_workers() if workers is None else workers
    clock = Clock(workers)
    folder = Path(out) if out is not None else None
    num_views = views.num_clips * views.num_crops
    with process_group(device_for(fast, device)) as group, threads_beside(workers, num_views), ExitStack() as held:
        if folder is not None:
            group.from_main(partial(held.enter_context, sole_writer(folder)))
        trained.model.to(group.device)
        model: Network | None = None
        if fast is not None:
            model = fast_network(trained.model, fast, (views[one] for one in spread_over(len(views))))
        if model is None:
            model = folded(trained.model)
        scores, missing = score_videos(
            model,
            views,
            group,
            window=head_window(trained.recipe),
            loss=loss,
            workers=workers,
            batch_size=batch_size,
            allow_missing=allow_missing,
            on_progress=on_progress,
            clock=clock,
        )
        if not scores:
            raise DataError(f"none of the {len(missing)} videos of {str(data)!r} could be decoded: {missing[0].reason}")
        metrics = summarise(
            scores,
            missing,
            index.labels,
            views,
            checkpoint=str(checkpoint),
            data=str(data),
            split=split,
            seconds=time.perf_counter() - started,
            loss=loss,
            bound=clock.bound(),
            engine=str(model) if isinstance(model, Optimized) else None,
        )
        evaluation = Evaluation(metrics, tuple(scores), folder)
        if folder is not None and group.is_main:
            write_evaluation(evaluation, folder)
    return evaluation
