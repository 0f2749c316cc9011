"""The page: which charts a run gets, and the facts beside them, laid out by ``page.html``."""

from __future__ import annotations

import itertools
import math
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from vov3d.errors import RecipeError
from vov3d.files import write_text
from vov3d.plots import Bar, Series, bar_chart, confusion_chart, line_chart
from vov3d.recipe import Recipe, load_recipe
from vov3d.report import facts
from vov3d.report.examples import Example, choose_examples, show
from vov3d.report.findings import frame_order, most_confused, percent
from vov3d.report.reading import Evaluation, PredictedVideo, Run, read_run
from vov3d.version import __version__

MANY_CLASSES = 40
"""With more classes than this, only the best and the worst are drawn."""

ORDER_NAMES = {"given": "in order", "shuffled": "random order", "reversed": "backwards"}


def write_page(run: Path) -> Path:
    """Write the page of a run folder; see `vov3d.report.report`."""
    content = read_run(run)
    recipe = _recipe(content)
    given = content.evaluations.get("given")
    best = facts.best_epoch(content)
    page = _template().render(
        title=_title(content, recipe),
        run=content,
        given=given,
        headline=facts.headline(content),
        order_findings=frame_order(content.evaluations) if given else [],
        order_chart=_order_chart(content),
        examples=_examples(content),
        confused=most_confused(given, 6) if given else [],
        confusion=Markup(confusion_chart(given.labels, given.confusion)) if given and given.confusion else "",
        class_charts=_class_charts(given) if given else [],
        curves=_curves(content),
        best=best,
        prediction_chart=_prediction_chart(content),
        predicted=_predicted(content),
        training=facts.training(content, recipe),
        machine=facts.machine(content),
        left_out=[(title, videos) for title, videos in _left_out(content) if videos],
        reproduction=facts.reproduction(content),
        usage=facts.usage(content),
        version=__version__,
    )
    path = content.folder / "report.html"
    write_text(path, page)
    return path


def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["percent"] = percent
    return environment.from_string(files("vov3d.report").joinpath("page.html").read_text(encoding="utf-8"))


def _recipe(run: Run) -> Recipe | None:
    """The recipe, or None where another version of vov3d wrote it; its text is shown all the same."""
    if run.recipe_text is None:
        return None
    try:
        return load_recipe(run.folder / "recipe.yaml")
    except RecipeError:
        return None


def _title(run: Run, recipe: Recipe | None) -> str:
    network = facts.network(recipe) if recipe else run.folder.resolve().name
    data = facts.data_path(run).rstrip("/\\")
    return f"{network} on {Path(data).name}" if data else network


def _order_chart(run: Run) -> str:
    if "given" not in run.evaluations or len(run.evaluations) < 2:
        return ""
    bars = [Bar(ORDER_NAMES[order], one.headline, emphasis=order == "given") for order, one in run.evaluations.items()]
    given = run.evaluations["given"]
    measure = "Mean average precision" if given.multi_label else "Accuracy"
    return Markup(bar_chart(f"{measure} by the order of the frames", bars, ("chance", given.chance)))


def _class_charts(given: Evaluation) -> list[tuple[str, str]]:
    """Charts with their headings: all classes, or the best and the worst of many."""
    scores = [(one.average_precision if given.multi_label else one.top1, one) for one in given.per_class]
    tested = sorted(
        ((value, one) for value, one in scores if value is not None), key=lambda pair: (-pair[0], -pair[1].num_videos)
    )
    bars = [
        Bar(
            one.label,
            value,
            _videos(one.num_videos) if given.multi_label else f"{round(value * one.num_videos)} of {one.num_videos}",
        )
        for value, one in tested
    ]
    groups = {"Average precision by class" if given.multi_label else "Accuracy by class": bars}
    if len(bars) > MANY_CLASSES:
        half = MANY_CLASSES // 2
        groups = {f"The {half} best classes": bars[:half], f"The {half} worst classes": bars[-half:]}
    chance = None if given.multi_label else ("chance", given.chance)  # a rare class has less of it than a common one
    return [(heading, Markup(bar_chart(heading, group, chance))) for heading, group in groups.items()]


def _videos(number: int) -> str:
    return "1 video" if number == 1 else f"{number} videos"


def _curves(run: Run) -> list[tuple[str, str]]:
    """Accuracy and loss over the epochs, with their headings."""
    if not run.epochs:
        return []
    accuracy = [
        Series("training", [(row.epoch, row.train_top1) for row in run.epochs]),
        Series("validation", [(row.epoch, row.val_top1) for row in run.epochs], "orange", markers=True),
    ]
    loss = [
        Series("training", [(row.epoch, row.train_loss) for row in run.epochs]),
        Series("validation", [(row.epoch, row.val_loss) for row in run.epochs], "orange", markers=True),
    ]
    precision = [Series("validation", [(row.epoch, row.val_map) for row in run.epochs], "orange", markers=True)]
    charts = [("Top-1 accuracy", "Top-1 accuracy by epoch", accuracy)]
    if any(math.isfinite(row.val_map) for row in run.epochs):
        charts = [("Mean average precision", "Mean average precision by epoch", precision)]
        charts.append(("Hit at 1", "Hit at 1 by epoch", accuracy))
    return [
        *((heading, Markup(line_chart(title, "epoch", lines, fractions=True))) for heading, title, lines in charts),
        ("Loss", Markup(line_chart("Loss by epoch", "epoch", loss))),
    ]


def _prediction_chart(run: Run) -> str:
    if run.prediction is None:
        return ""
    bars = [Bar(guess.label, guess.probability, emphasis=rank == 0) for rank, guess in enumerate(run.prediction.top)]
    return Markup(bar_chart("The most probable classes of one video", bars))


def _predicted(run: Run) -> Example | None:
    """The frames of the one predicted video."""
    if run.prediction is None:
        return None
    source, first = run.prediction.source, run.prediction.top[0]
    return show(PredictedVideo(source, source, first.label, first.probability), [])


def _examples(run: Run) -> list[tuple[str, list[Example]]]:
    """The examples under their headings, right and wrong."""
    data = Path(facts.data_path(run) or ".")
    roots = [data if data.is_dir() else data.parent, run.folder.parent]
    shown = [show(video, roots) for video in choose_examples(run.predictions)]
    groups = itertools.groupby(shown, key=lambda example: example.video.correct)
    return [("Right" if correct else "Wrong", list(group)) for correct, group in groups]


def _left_out(run: Run) -> list[tuple[str, list[tuple[str, str]]]]:
    given = run.evaluations.get("given")
    missing = given.missing if given else ()
    return [
        ("Set aside in training", [(video.path, video.reason) for video in run.quarantined]),
        ("Missing from the test", [(video.path, video.reason) for video in missing]),
    ]
