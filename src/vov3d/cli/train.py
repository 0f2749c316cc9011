"""``vov3d train``."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from vov3d.cli.arguments import add_cache, add_data, add_machine, fraction, new_folder, one_of, whole
from vov3d.cli.output import duration, facts, percent, shell_command
from vov3d.cli.parser import Parser, UsageError
from vov3d.cli.verb import Answer, Verb
from vov3d.recipe import (
    Recipe,
    check_start,
    load_recipe,
    override,
    recipe_keys,
    recipe_sections,
    scale_lr,
    value_text,
    with_epochs,
)

if TYPE_CHECKING:
    from vov3d.train import TrainResult

DEFAULT_RECIPE = "folder/vov3d_s_16"
SHORTHANDS = {"train.epochs": "--epochs", "train.batch_size": "--batch-size", "optim.lr": "--lr"}


def add_arguments(parser: Parser) -> None:
    """The run, then every key of a recipe by section."""
    parser.add_argument(
        "recipe",
        nargs="?",
        metavar="RECIPE",
        help=f"a name from `vov3d recipes`, or your own .yaml file [{DEFAULT_RECIPE}; with --resume, that of the run]",
    )
    add_data(parser)
    parser.add_argument("--out", type=new_folder, required=True, metavar="DIR", help="the run's folder")
    parser.add_argument(
        "--resume",
        nargs="?",
        const="must",
        type=one_of("--resume", "auto", "must"),
        metavar="auto",
        help="go on with the run in --out where it stopped; auto: or begin one, if there is none",
    )
    parser.add_argument(
        "--from-scratch",
        action="store_true",
        help="start from random weights, whatever the recipe says: model.init null",
    )
    parser.add_argument(
        "--scale-lr",
        type=one_of("--scale-lr", "linear"),
        metavar="linear",
        help="scale the recipe's learning rates as --batch-size is to the batch that they were chosen for",
    )
    parser.add_argument(
        "--keep", type=whole(1), default=3, metavar="N", help="newest states to resume from that are kept [3]"
    )
    parser.add_argument(
        "--save-minutes",
        type=fraction(0, 1e6),
        default=10.0,
        metavar="X",
        help="longest time from one state to the next, beside those at the end of epochs [10]",
    )
    parser.add_argument(
        "--max-broken",
        type=fraction(0, 1),
        default=0.01,
        metavar="X",
        help="part of the training videos, and of the validation videos, that may turn out broken before the run "
        "stops; one of each may, unless 0 [0.01]",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress")
    add_machine(parser)
    add_cache(parser)
    values = _recipe_to_explain(parser) if parser.wants_help else {}
    groups = {
        section: parser.add_argument_group(f"recipe, {section}", about) for section, about in recipe_sections().items()
    }
    for key in recipe_keys():
        section = key.name.partition(".")[0]
        flags = [f"--{key.name}", *([SHORTHANDS[key.name]] if key.name in SHORTHANDS else [])]
        meaning = f"{key.help} [{values.get(key.name, key.default)}]" + (f" ({key.source})" if key.source else "")
        groups[section].add_argument(*flags, dest=key.name, metavar=key.type_text, help=meaning.replace("%", "%%"))


def _recipe_to_explain(parser: Parser) -> dict[str, str]:
    """The values of the recipe that help was asked on, told in the description."""
    name = next((word for word in parser.words[:1] if not word.startswith("-")), DEFAULT_RECIPE)
    recipe = load_recipe(name)
    parser.description = (
        f"{parser.description}\n\nIn brackets are the values of {name}; `vov3d train RECIPE --help` shows those of "
        "another recipe. In parentheses is what the paper or its authors' released configuration has."
    )
    return {
        key.name: value_text(getattr(getattr(recipe, section), field))
        for key in recipe_keys()
        for section, field in [key.name.split(".")]
    }


def run(args: Namespace) -> Answer:
    """Resolve the recipe, then train."""
    recipe = resolve(args)
    from vov3d.train import train
    from vov3d.training import Safety

    result = train(
        recipe,
        args.data,
        args.out,
        device=args.device,
        workers=args.workers,
        cache=args.cache,
        resume="auto" if args.resume == "auto" else args.resume is not None,
        safety=Safety(keep=args.keep, save_minutes=args.save_minutes, max_broken=args.max_broken),
        scaled_lr=args.scale_lr is not None,
        quiet=args.quiet,
    )
    return Answer(result, _text(result))


def resolve(args: Namespace) -> Recipe:
    """The recipe that the arguments name, with the keys that they set."""
    resumed = args.out / "recipe.yaml"
    name = (
        args.recipe if args.recipe is not None else (resumed if args.resume and resumed.is_file() else DEFAULT_RECIPE)
    )
    settings = {key.name: getattr(args, key.name) for key in recipe_keys() if getattr(args, key.name) is not None}
    recipe = load_recipe(name)
    if args.from_scratch:
        if not settings.keys().isdisjoint(("model.init", "model.backbone_init")):
            raise UsageError("--from-scratch and --model.init say two things about the start; give one of them")
        settings["model.init"] = "null"
    epochs = settings.get("train.epochs", "")
    if epochs.isdecimal() and int(epochs) and settings.keys().isdisjoint(("optim.warmup_epochs", "optim.step_epochs")):
        recipe = with_epochs(recipe, int(epochs))
    recipe = override(recipe, settings)
    if args.scale_lr is not None:
        if "optim.lr" in settings:
            raise UsageError("--scale-lr and --optim.lr say two things about the learning rate; give one of them")
        recipe = scale_lr(recipe, load_recipe(name))
    if not args.from_scratch:
        check_start(str(name), recipe)
    return recipe


def _text(result: TrainResult) -> str:
    return facts(
        {
            f"best {result.score_name}": f"{percent(result.best_top1)} %",
            f"last {result.score_name}": f"{percent(result.last_top1)} %",
            "epochs": result.epochs,
            "time": duration(result.seconds),
            "not decodable": f"{result.quarantined} videos, see {result.out / 'quarantine.csv'}"
            if result.quarantined
            else None,
            "weights": result.checkpoint,
            "next": shell_command("vov3d", "report", result.out),
        }
    )


VERB = Verb(
    name="train",
    help="train a network on your videos",
    usage="vov3d train [RECIPE] --data PATH --out DIR [--SECTION.KEY VALUE ...] [options]",
    description=(
        "Train a network and write the run to a folder: weights, log, the recipe as it was used and what it "
        "ran on. A recipe holds the science of one experiment; any of its keys can be set by a flag of the "
        "same name. A run that stopped goes on with --resume, as if it had not stopped."
    ),
    examples=(
        ("your videos, a folder for each class", "vov3d train --data videos --out runs/first"),
        ("the same, other settings", "vov3d train --data videos --out runs/second --epochs 30 --clip.crop 96"),
        ("a row of the paper", "vov3d train ssv2/vov3d_l_32 --data ssv2 --out runs/ssv2 --train.precision bf16"),
        (
            "another network of the paper, from weights of images",
            "vov3d train --data videos --out runs/tsm --model.name tsm_r50 --model.backbone_init r50.pth",
        ),
        ("few videos, from random weights all the same", "vov3d train --data videos --out runs/own --from-scratch"),
        ("on from published weights", "vov3d train --data videos --out runs/tuned --model.init k400.safetensors"),
        ("after an interruption", "vov3d train --data videos --out runs/first --resume"),
    ),
    add_arguments=add_arguments,
    run=run,
)
