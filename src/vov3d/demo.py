"""``vov3d demo``: the whole way, from videos to a report, in minutes on a CPU."""

from __future__ import annotations

import json
import logging
import statistics
import time
from functools import partial
from pathlib import Path

import torch

from vov3d.build import build_model, build_optimizer
from vov3d.data.dataset import FrameOrder
from vov3d.data.motion.classes import BASIC_FAMILIES, Split, classes_of
from vov3d.errors import RunFolderError
from vov3d.evaluate import evaluate
from vov3d.evaluation import Evaluation
from vov3d.files import write_text
from vov3d.inference import default_workers, threads_beside
from vov3d.locks import sole_writer
from vov3d.predict import predict
from vov3d.progress import task_progress
from vov3d.recipe import Recipe, load_recipe, override, with_epochs
from vov3d.report import report
from vov3d.train import train
from vov3d.training import Safety

log = logging.getLogger("vov3d")

MOTION_RECIPE, FOLDER_RECIPE = "motion/vov3d_s_16", "folder/vov3d_s_16"
CONTROLS: tuple[FrameOrder, ...] = ("shuffled", "reversed")
MAX_BROKEN = 0.5  # it shows what it can with what there is, and the report names the rest
MOTIONS = classes_of(BASIC_FAMILIES)
VIDEOS_PER_CLASS: dict[Split, int] = {"train": 40, "val": 10}
TRAINING_SECONDS = 270
"""Time for training on the motion set, so that the whole demo takes less than six minutes on two CPU cores."""

CLIPS_ON_OWN_DATA = 12_000
"""Training clips on a user's own videos: minutes on a CPU, and enough to see whether there is something to learn."""


def demo(
    out: str | Path,
    *,
    data: str | Path | None = None,
    device: str = "auto",
    workers: int | None = None,
    quiet: bool = False,
) -> Path:
    """Write a motion set, train on it, test it, predict one video of it, and report; or do so on other videos.

    Args:
        out: the run folder; it must not hold a run yet.
        data: the videos, anything that ``vov3d check --data`` reads; by default the built-in motion set.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
        workers: processes that decode; by default half of the cores, at most 8.
        quiet: no progress bars.

    Returns:
        The report's HTML file.

    Raises:
        Vov3dError: as `vov3d.train`, `vov3d.evaluate` and `vov3d.predict` do.
    """
    out = Path(out).resolve()
    with sole_writer(out):
        if (out / "log.csv").exists() or (out / "resume").exists():
            raise RunFolderError(
                f"{str(out)!r} already holds a run; remove it, or give another --out (make demo OUT=...)"
            )
        return _demo(out, data, device=device, workers=workers, quiet=quiet)


def _demo(out: Path, data: str | Path | None, *, device: str, workers: int | None, quiet: bool) -> Path:
    recipe = load_recipe(MOTION_RECIPE)
    if data is None:
        log.info("1/5  writing the built-in motion set")
        data = _write_motion_set(out.with_name(f"{out.name}-data"), quiet=quiet)
        recipe = _affordable(recipe, num_videos=len(MOTIONS) * VIDEOS_PER_CLASS["train"])
    else:
        recipe = _fitted(load_recipe(FOLDER_RECIPE), Path(data))
        log.info("1/5  using the videos in %s: %d epochs of recipe %s", data, recipe.train.epochs, FOLDER_RECIPE)
    log.info(
        "2/5  training %s on %d frames of %d pixels, %d epochs",
        recipe.model.name,
        recipe.clip.num_frames,
        recipe.clip.crop,
        recipe.train.epochs,
    )
    trained = train(
        recipe, data, out, device=device, workers=workers, safety=Safety(max_broken=MAX_BROKEN), quiet=quiet
    )
    log.info("3/5  testing with several views, and with the frames of each clip in another order")
    test = partial(_test, trained.checkpoint, data, device=device, workers=workers, quiet=quiet)
    found = test("given", out=out / "evaluation")
    for order in CONTROLS:
        test(order, out=out / f"evaluation-{order}")
    log.info("4/5  predicting one video")
    one = predict(trained.checkpoint, found.scores[0].item.path, device=device)[0]
    answer = {
        "source": one.source,
        "top": [{"label": label, "probability": probability} for label, probability in one.top],
        "num_frames": one.num_frames,
        "duration_seconds": one.duration_seconds,
    }
    write_text(out / "prediction.json", json.dumps(answer, indent=1, ensure_ascii=False) + "\n")
    log.info("     %s: %s, %.0f%%", one.source, one.top[0][0], 100 * one.top[0][1])
    log.info("5/5  writing the report")
    return report(out)


def _test(
    checkpoint: Path,
    data: str | Path,
    order: FrameOrder,
    *,
    out: Path,
    device: str,
    workers: int | None,
    quiet: bool,
) -> Evaluation:
    with task_progress("videos", quiet=quiet) as on_progress:
        found = evaluate(
            checkpoint,
            data,
            frame_order=order,
            out=out,
            device=device,
            workers=workers,
            allow_missing=True,
            on_progress=on_progress,
        )
    log.info("     frames %s: top-1 %.1f%%, chance %.1f%%", order, 100 * found.metrics.top1, 100 * found.metrics.chance)
    return found


def _write_motion_set(folder: Path, *, quiet: bool) -> Path:
    from vov3d.data.motion import write_motion_set

    with task_progress("videos", quiet=quiet) as advance:
        return write_motion_set(folder, videos_per_class=VIDEOS_PER_CLASS, on_progress=advance)


def _affordable(recipe: Recipe, num_videos: int) -> Recipe:
    """Return the recipe with as many of its epochs as this machine trains in the time there is, at least a third."""
    model = build_model(recipe, len(MOTIONS))
    optimizer = build_optimizer(recipe, model)
    clip, num_clips = recipe.clip, recipe.train.batch_size
    clips = torch.randn(num_clips, 3, clip.num_frames, clip.crop, clip.crop)
    seconds = []
    with threads_beside(default_workers()):
        for _ in range(8):
            started = time.perf_counter()
            optimizer.zero_grad()
            model(clips).square().mean().backward()
            optimizer.step()
            seconds.append(time.perf_counter() - started)
    affordable = int(TRAINING_SECONDS / (statistics.median(seconds) * num_videos / num_clips))
    return with_epochs(recipe, max(recipe.train.epochs // 3, min(recipe.train.epochs, affordable)))


def _fitted(recipe: Recipe, data: Path) -> Recipe:
    """Return the recipe with as many epochs as make the demo's number of clips, and a batch that the data can fill."""
    from vov3d.data.sources import read_index

    num_videos = len(read_index(data).splits["train"])
    epochs = max(10, min(recipe.train.epochs, CLIPS_ON_OWN_DATA // num_videos))
    return override(with_epochs(recipe, epochs), {"train.batch_size": str(min(recipe.train.batch_size, num_videos))})
