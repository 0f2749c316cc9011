"""``vov3d recipes``."""

from __future__ import annotations

from argparse import Namespace

from vov3d.cli.output import percent, table
from vov3d.cli.parser import Parser, UsageError
from vov3d.cli.verb import Answer, Verb
from vov3d.recipe import Recipe, list_recipes, load_recipe, recipe_text, to_mapping


def add_arguments(parser: Parser) -> None:
    """A pattern, or a name."""
    parser.add_argument(
        "pattern", nargs="?", default="*", metavar="PATTERN", help="part of a name, or a pattern such as '*_k400' [all]"
    )
    parser.add_argument("--yaml", action="store_true", help="print the recipe of that name, to read or to start from")


def run(args: Namespace) -> Answer:
    """List recipes, or print one."""
    if args.yaml:
        text = recipe_text(args.pattern)
        recipe = to_mapping(load_recipe(args.pattern))
        return Answer(recipe, text.rstrip())
    recipes = {name: load_recipe(name) for name in list_recipes(args.pattern)}
    if not recipes:
        raise UsageError(f"no recipe matches {args.pattern!r}; `vov3d recipes` lists all {len(list_recipes())}")
    value = [{"name": name, **to_mapping(recipe)} for name, recipe in recipes.items()]
    columns = ("recipe", "model", "frames>", "crop>", "epochs>", "paper top-1 / top-5 %>", "source", "ours>")
    rows = [_row(name, recipe) for name, recipe in recipes.items()]
    return Answer(value, table(columns, rows))


def _row(name: str, recipe: Recipe) -> tuple[str, ...]:
    paper, ours = recipe.reported, recipe.ours
    return (
        name,
        recipe.model.name,
        str(recipe.clip.num_frames),
        str(recipe.clip.crop),
        str(recipe.train.epochs),
        f"{percent(paper.top1)} / {percent(paper.top5)}" if paper else "-",
        paper.source if paper else "-",
        percent(ours.top1) if ours else "-",
    )


VERB = Verb(
    name="recipes",
    help="list the recipes, or print one",
    usage="vov3d recipes [PATTERN] [--yaml]",
    description=(
        "List the recipes that come with the package, with the paper's numbers and ours. With --yaml, print "
        "one whole: its keys are the flags of `vov3d train`, its comments name their sources."
    ),
    examples=(
        ("all", "vov3d recipes"),
        ("those of one data set", "vov3d recipes ssv2"),
        ("a start for your own", "vov3d recipes folder/vov3d_s_16 --yaml > mine.yaml"),
    ),
    add_arguments=add_arguments,
    run=run,
)
