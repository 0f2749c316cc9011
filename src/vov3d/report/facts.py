"""The named values of the page: the large numbers at its head, the training, the machine and the commands."""

from __future__ import annotations

import math
import shlex
import statistics
from dataclasses import dataclass
from pathlib import Path

from vov3d.metrics import wilson_interval
from vov3d.recipe import Recipe
from vov3d.report.findings import commonest_class, percent
from vov3d.report.reading import Epoch, Run


@dataclass(frozen=True)
class Fact:
    """A named value.

    Attributes:
        name: what it is.
        value: as it is shown.
        note: small text below a large number.
    """

    name: str
    value: str
    note: str = ""


def headline(run: Run) -> list[Fact]:
    """The numbers to see first: of the evaluation, or of the training where nothing was evaluated."""
    facts = []
    given, best = run.evaluations.get("given"), best_epoch(run)
    if given and given.multi_label:
        facts.append(Fact("mean average precision", percent(given.mean_average_precision), "mean of the classes"))
        facts.append(Fact("hit at 1", percent(given.top1), "the best class is a label of the video"))
        facts.append(Fact("chance", percent(given.chance), f"about; {given.num_classes:,} classes"))
        facts.append(Fact("videos", f"{given.num_videos:,}", f"split: {given.split}"))
    elif given:
        low, high = wilson_interval(given.top1, given.num_videos)
        facts.append(Fact("top-1 accuracy", percent(given.top1), f"95% interval {percent(low)} to {percent(high)}"))
        facts.append(Fact("macro accuracy", percent(given.macro_top1), "mean of the classes"))
        if given.num_classes > 5:
            facts.append(Fact("top-5 accuracy", percent(given.top5)))
        commonest = commonest_class(given)
        uneven = f"commonest class {percent(commonest)}" if commonest > 1.5 * given.chance else ""
        facts.append(Fact("chance", percent(given.chance), uneven or f"{given.num_classes:,} classes"))
        facts.append(Fact("videos", f"{given.num_videos:,}", f"split: {given.split}"))
    elif best:
        name = "mean average precision" if best.name == "mAP" else "top-1 accuracy"
        facts.append(Fact(name, percent(best.value), f"best validation, epoch {best.epoch}"))
    if run.num_parameters:
        facts.append(Fact("parameters", f"{run.num_parameters / 1e6:.2f} M"))
    return facts


@dataclass(frozen=True)
class Best:
    """The best validation of a training.

    Attributes:
        epoch: its number.
        name: of the measure.
        value: a fraction.
    """

    epoch: int
    name: str
    value: float


def best_epoch(run: Run) -> Best | None:
    """The epoch with the highest validation accuracy, or mAP with several labels a video; the first of equals."""
    for name, value in (("mAP", _val_map), ("top-1", _val_top1)):
        evaluated = [epoch for epoch in run.epochs if math.isfinite(value(epoch))]
        if evaluated:
            best = max(evaluated, key=value)
            return Best(best.epoch, name, value(best))
    return None


def _val_map(epoch: Epoch) -> float:
    return epoch.val_map


def _val_top1(epoch: Epoch) -> float:
    return epoch.val_top1


def network(recipe: Recipe) -> str:
    """The name of the network, with its operator where that is not its own, and its form where that is causal."""
    words = [recipe.model.name, recipe.model.operator, "causal" if recipe.model.causal else None]
    return ", ".join(word for word in words if word is not None)


def start(recipe: Recipe) -> str:
    """Where the weights started."""
    if recipe.model.init == "motion":
        return "the motion weights in the package, which know drawn motions alone"
    return recipe.model.init or recipe.model.backbone_init or "random weights"


def training(run: Run, recipe: Recipe | None) -> list[Fact]:
    """How the network was trained and tested."""
    facts = []
    if recipe:
        clip, optim, train = recipe.clip, recipe.optim, recipe.train
        stride = f", one every {clip.frame_stride}" if clip.sampling == "dense" else ""
        rate = f"learning rate {optim.lr:g}, {optim.schedule}, weight decay {optim.weight_decay:g}"
        facts = [
            Fact("model", network(recipe)),
            Fact("started from", start(recipe)),
            Fact("clips", f"{clip.num_frames} frames, {clip.sampling} sampling{stride}, {clip.crop} px"),
            Fact("optimiser", f"{optim.name.upper()}, {rate}"),
            Fact("batch", f"{train.batch_size} clips, {train.precision}"),
        ]
    if run.epochs:
        planned = f" of {recipe.train.epochs}" if recipe else ""
        facts.append(Fact("epochs", f"{len(run.epochs)}{planned}"))
        seconds = [epoch.seconds for epoch in run.epochs if math.isfinite(epoch.seconds)]
        speeds = [epoch.clips_per_second for epoch in run.epochs if math.isfinite(epoch.clips_per_second)]
        facts += [Fact("time", duration(sum(seconds)))] if seconds else []
        facts += [Fact("speed", f"{statistics.median(speeds):.3g} clips per second")] if speeds else []
        diverged = sum(not math.isfinite(epoch.train_loss) for epoch in run.epochs)
        facts += [Fact("loss not finite", f"in {diverged} of {len(run.epochs)} epochs")] if diverged else []
    given = run.evaluations.get("given")
    if given:
        facts.append(Fact("tested with", f"{given.num_clips} clips × {given.num_crops} crops at {given.crop} px"))
    return facts


def machine(run: Run) -> list[Fact]:
    """What the run was made on and with."""
    made = run.machine
    cores = f", {made.cores} cores" if made.cores else ""
    commit = f" (commit {made.commit})" if made.commit else ""
    packages = ", ".join(f"{name} {version}" for name, version in made.packages.items() if name != "torch")
    facts = [
        Fact("started", (made.started or "").replace("T", " ")),
        Fact("data", made.data or ""),
        Fact("device", made.device or ""),
        Fact("GPUs", ", ".join(made.gpus)),
        Fact("processor", f"{made.processor}{cores}" if made.processor else ""),
        Fact("memory", f"{made.memory_gib:g} GiB" if made.memory_gib else ""),
        Fact("system", made.platform or ""),
        Fact("vov3d", f"{made.vov3d}{commit}" if made.vov3d else ""),
        Fact("Python", made.python or ""),
        Fact("PyTorch", made.torch or ""),
        Fact("packages", packages),
    ]
    return [fact for fact in facts if fact.value]


def reproduction(run: Run) -> list[str]:
    """The commands that make the same run again; evaluations go into the run folder by themselves."""
    recipe, data = run.folder / "recipe.yaml", data_path(run)
    commands = []
    if run.machine.command:
        commands.append(run.machine.command)
    elif run.recipe_text and data:
        commands.append(_line("vov3d", "train", recipe, "--data", data, "--out", run.folder))
    if run.checkpoint:
        for order, one in run.evaluations.items():
            views = ["--clips", str(one.num_clips), "--crops", str(one.num_crops), "--crop", str(one.crop)]
            chosen = ["--split", one.split] if one.split != "val" else []
            chosen += ["--frame-order", order] if order != "given" else []
            chosen += ["--allow-missing"] if one.missing else []
            commands.append(_line("vov3d", "evaluate", run.checkpoint, "--data", one.data, *views, *chosen))
    return commands


def usage(run: Run) -> list[Fact]:
    """What can be done with the checkpoint, one command each."""
    if not run.checkpoint:
        return []
    test = _line("vov3d", "evaluate", run.checkpoint, "--data", "other_videos", "--out", "other_test")
    return [
        Fact("name what a video shows", _line("vov3d", "predict", run.checkpoint, "video.mp4")),
        Fact("test it on other videos", test),
        Fact("see its size and speed", _line("vov3d", "info", run.checkpoint)),
    ]


def data_path(run: Run) -> str:
    """The data set as it was named on the command line; empty where no file says it."""
    named = [evaluation.data for evaluation in run.evaluations.values()]
    return next((data for data in [*named, run.machine.data] if data), "")


def duration(seconds: float) -> str:
    """A time span in the two units that matter."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _line(*words: str | Path) -> str:
    return shlex.join(str(word) for word in words)
