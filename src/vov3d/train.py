"""``vov3d train RECIPE --data PATH --out DIR``."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vov3d.distributed import ProcessGroup, process_group
from vov3d.errors import ArgumentError, TrainingError
from vov3d.inference import default_workers, threads_beside
from vov3d.loading import lost_worker
from vov3d.locks import sole_writer
from vov3d.run_folder import RunFolder
from vov3d.training import Safety, Training

if TYPE_CHECKING:
    from vov3d.recipe import Recipe

log = logging.getLogger("vov3d")

Resume = bool | Literal["auto"]


@dataclass(frozen=True)
class TrainResult:
    """A finished training.

    Attributes:
        out: the run folder.
        epochs: passes over the training videos.
        best_top1: highest accuracy on the validation videos during training, one view each; it chose
            ``best.safetensors``, so it flatters. Mean average precision where a video has several labels, ``None``
            without validation videos.
        last_top1: the same at the end.
        checkpoint: the network at the end of training.
        quarantined: videos that could not be decoded.
        seconds: how long it took.
        score_name: ``"top-1"``, or ``"mAP"`` where a video has several labels.
    """

    out: Path
    epochs: int
    best_top1: float | None
    last_top1: float | None
    checkpoint: Path
    quarantined: int
    seconds: float
    score_name: str = "top-1"


def train(
    recipe: Recipe | str | Path,
    data: str | Path,
    out: str | Path,
    *,
    device: str = "auto",
    workers: int | None = None,
    cache: str | Path | None = None,
    resume: Resume = False,
    safety: Safety | None = None,
    scaled_lr: bool = False,
    quiet: bool = False,
) -> TrainResult:
    """Train a network and leave a run folder.

    Args:
        recipe: a recipe, its name (``vov3d recipes``), or a YAML file.
        data: anything that ``vov3d check --data`` reads.
        out: the run folder; it must not hold a run yet, unless ``resume``.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``. Under ``torchrun`` each process takes its own.
        workers: processes that decode, per training process; by default by the cores.
        cache: folder for small copies of the videos that decode faster.
        resume: go on where the run in ``out`` stopped; ``"auto"``: or begin, if there is none. The recipe must be the
            one that it began with.
        safety: how the run guards itself.
        scaled_lr: the learning rates were scaled to ``train.batch_size`` (see `vov3d.recipe.scale_lr`), so that there
            must be as many clips. Otherwise a step takes all there are.
        quiet: no progress bar.

    Raises:
        ArgumentError: if an argument is out of range, or the batch does not fit the processes or the videos.
        DataError: if the data cannot be read, or too much of it cannot be decoded.
        InUseError: if another process trains in ``out``.
        RecipeError: if the recipe is not valid.
        RunFolderError: if ``out`` holds a run and ``resume`` is not given, or there is nothing to resume.
        TerminatedError: if the process was asked to end (SIGTERM); the run stands in ``out``.
        TrainingError: if the loss is no longer a number, or a process that takes part is gone.
    """
    from vov3d.data.sources import read_index
    from vov3d.data.targets import check_loss
    from vov3d.recipe import check_start, load_recipe, to_yaml

    if isinstance(recipe, str | Path):
        name, recipe = str(recipe), load_recipe(str(recipe))
        check_start(name, recipe)
    index = read_index(data)
    check_loss(recipe.train.loss, index)
    if scaled_lr:
        _check_batch(recipe, len(index.splits["train"]))
    workers = default_workers() if workers is None else workers
    safety = safety or Safety()
    folder = RunFolder(Path(out), safety.keep)
    with process_group(device) as group, threads_beside(workers), _one_line_of_torch(group), ExitStack() as held:

        def claim() -> bool:
            held.enter_context(sole_writer(folder.path))
            return folder.check(resume=resume)

        goes_on = group.from_main(claim)
        training = Training(
            recipe,
            index,
            folder,
            group,
            workers=workers,
            cache=Path(cache) if cache is not None else None,
            safety=safety,
            resume=goes_on,
            quiet=quiet,
        )
        if group.is_main:
            for note in (*index.notes, *training.summary()):
                log.info("%s", note)
            _warn_of_few(recipe, training.loader.num_clips)
        group.from_main(lambda: folder.begin(to_yaml(training.recipe), data=str(data), device=str(group.device)))
        started = time.perf_counter()
        training.run()
    return TrainResult(
        out=folder.path,
        epochs=recipe.train.epochs,
        best_top1=training.best,
        last_top1=training.rows[-1].accuracy,
        checkpoint=folder.last,
        quarantined=len(training.quarantine),
        seconds=time.perf_counter() - started,
        score_name="mAP" if index.multi_label else "top-1",
    )


def _check_batch(recipe: Recipe, num_videos: int) -> None:
    """See to it that learning rates which were scaled to a batch meet one of its size.

    Raises:
        ArgumentError: if there are fewer clips.
    """
    settings, num_clips = recipe.train, num_videos * recipe.train.repeats
    if settings.batch_size > num_clips:
        raise ArgumentError(
            f"train.batch_size {settings.batch_size} is more than the {num_clips} clips of {num_videos} training videos"
            f", and learning rates are scaled to it; give --batch-size {num_clips} or less, or leave --scale-lr out"
        )


def _warn_of_few(recipe: Recipe, num_clips: int) -> None:
    if num_clips < recipe.train.batch_size:
        log.warning(
            "train.batch_size %d is more than the %d clips that there are: each step takes these, with the recipe's "
            "learning rate %.4g as it is; --batch-size %d --scale-lr linear scales it",
            recipe.train.batch_size,
            num_clips,
            recipe.optim.lr,
            num_clips,
        )


@contextmanager
def _one_line_of_torch(group: ProcessGroup) -> Iterator[None]:
    """Tell in one line what torch tells in many: a process that decodes, or one that trains with this one, is gone.

    Raises:
        TrainingError: for these.
    """
    try:
        yield
    except RuntimeError as error:
        first = " ".join(str(error).split("\n")[0].split())
        if "DataLoader" in str(error):
            raise lost_worker(error) from error
        if group.world_size > 1 and any(word in str(error) for word in ("onnection", "gloo", "NCCL", "imed out")):
            raise TrainingError(
                f"process {group.rank} of {group.world_size} lost the others ({first[:200]}); the last good checkpoint "
                "stays, go on with --resume auto"
            ) from error
        raise
