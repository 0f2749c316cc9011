"""The recipes that come with the package, recipes in files, and the keys set on the command line."""

from __future__ import annotations

import difflib
import fnmatch
import re
import sys
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from vov3d.errors import RecipeError, unknown_name
from vov3d.recipe.checks import recipe_from_mapping, to_mapping
from vov3d.recipe.keys import key_types, recipe_keys, recipe_sections, takes_list, takes_text, value_text
from vov3d.recipe.schema import Recipe

if TYPE_CHECKING:
    if sys.version_info >= (3, 11):
        from importlib.resources.abc import Traversable
    else:
        from importlib.abc import Traversable


def load_recipe(name_or_path: str | Path) -> Recipe:
    """A recipe of the package by name, such as ``"ssv1/vov3d_m_16"``, or one of your own by the path of its YAML file.

    Raises:
        RecipeError: there is no such recipe, or it is not valid; one line.
    """
    from vov3d.recipe.text import read_yaml

    text = recipe_text(name_or_path)
    try:
        return recipe_from_mapping(read_yaml(text))  # type: ignore[arg-type]  # anything else is refused there
    except RecipeError as error:
        raise RecipeError(f"{name_or_path}: {error}") from error


def recipe_text(name_or_path: str | Path) -> str:
    """The YAML text of a recipe as it was written, comments and all.

    Raises:
        RecipeError: there is no such recipe, or the file cannot be read.
    """
    source: Path | Traversable
    if str(name_or_path) in list_recipes():
        source = _folder().joinpath(f"{name_or_path}.yaml")
    else:
        source = Path(name_or_path)
        if source.suffix not in (".yaml", ".yml"):
            raise RecipeError(_no_such_recipe(str(name_or_path)))
    try:
        return source.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RecipeError(f"cannot read the recipe {str(name_or_path)!r}: {reason}") from error


def list_recipes(pattern: str = "*") -> tuple[str, ...]:
    """The names of the package's recipes, sorted.

    Args:
        pattern: with ``*`` or ``?``, what the whole name must match; else a part of the name.
    """
    names = sorted(
        f"{folder.name}/{entry.name.removesuffix('.yaml')}"
        for folder in _folder().iterdir()
        if folder.is_dir()
        for entry in folder.iterdir()
        if entry.name.endswith(".yaml")
    )
    whole = pattern if any(sign in pattern for sign in "*?[") else f"*{pattern}*"
    return tuple(name for name in names if fnmatch.fnmatchcase(name, whole))


def override(recipe: Recipe, settings: Mapping[str, str]) -> Recipe:
    """The recipe with some keys set anew, checked again as a whole.

    Args:
        recipe: where the other keys come from.
        settings: dotted key to a value as it is written in YAML; a list may go without its brackets: ``"112,128"``.

    Raises:
        RecipeError: no such key, or a value that does not fit; one line.
    """
    mapping = to_mapping(recipe)
    for name, text in settings.items():
        if name not in key_types():
            raise RecipeError(unknown_name("recipe key", name, _keys_near(name)))
        section, key = name.split(".")
        keys = mapping[section]
        assert isinstance(keys, dict)
        keys[key] = _value(name, text)
    return recipe_from_mapping(mapping)


def with_epochs(recipe: Recipe, epochs: int) -> Recipe:
    """The recipe over another number of epochs, warm-up and steps longer or shorter with it.

    Raises:
        RecipeError: fewer than one epoch; one line.
    """
    scale = epochs / recipe.train.epochs
    settings = {
        "train.epochs": str(epochs),
        "optim.warmup_epochs": str(recipe.optim.warmup_epochs * scale),
        "optim.step_epochs": str([start * scale for start in recipe.optim.step_epochs]),
    }
    if recipe.optim.warmup_steps is not None:
        settings["optim.warmup_steps"] = str(round(recipe.optim.warmup_steps * scale))
    return override(recipe, settings)


def check_start(name: str, recipe: Recipe) -> None:
    """See to it that a fine-tuning recipe of the package has weights to start from.

    Args:
        name: under which the recipe was loaded.
        recipe: as it will be used.

    Raises:
        RecipeError: it would train from scratch; one line.
    """
    start = re.fullmatch(r"\w+/\w+_\d+_(\w+)", name)
    if start and recipe.model.init is None:
        raise RecipeError(f"recipe {name!r} starts from {start[1]} weights; give them as --model.init CHECKPOINT")


def to_yaml(recipe: Recipe) -> str:
    """The recipe as YAML, every key written out; it reads back equal."""
    from vov3d.recipe.text import write_yaml

    return write_yaml(to_mapping(recipe))


def summary(recipe: Recipe) -> list[str]:
    """The recipe in one line a section, every key that can be set."""
    return [
        f"{section}: "
        + ", ".join(
            f"{key.name.partition('.')[2]} {_value_as_text(recipe, key.name)}"
            for key in recipe_keys()
            if key.name.startswith(f"{section}.")
        )
        for section in recipe_sections()
    ]


def differences(recipe: Recipe, other: Recipe) -> list[str]:
    """The keys whose values differ, each with both: ``train.epochs 30, now 60``."""
    values = {key.name: (_value_as_text(recipe, key.name), _value_as_text(other, key.name)) for key in recipe_keys()}
    return [f"{name} {one}, now {two}" for name, (one, two) in values.items() if one != two]


def _value_as_text(recipe: Recipe, name: str) -> str:
    section, _, key = name.partition(".")
    return value_text(getattr(getattr(recipe, section), key))


def scale_lr(recipe: Recipe, published: Recipe) -> Recipe:
    """The recipe with its learning rates scaled as its batch is to that of the published one.

    Args:
        recipe: with its own batch size.
        published: what the learning rates were chosen for.

    Source: Goyal et al., "Accurate, Large Minibatch SGD", arXiv 1706.02677, the linear scaling rule.
    """
    scale = recipe.train.batch_size / published.train.batch_size
    return override(
        recipe,
        {
            "optim.lr": repr(recipe.optim.lr * scale),
            "optim.warmup_start_lr": repr(recipe.optim.warmup_start_lr * scale),
        },
    )


def _folder() -> Traversable:
    return files("vov3d").joinpath("recipes")


def _value(name: str, text: str) -> object:
    """What a setting's text stands for, given the type of its key."""
    from vov3d.recipe.text import read_yaml

    if takes_text(name):
        return None if text in ("null", "") else text
    if takes_list(name) and not text.strip().startswith("["):
        text = f"[{text}]"
    try:
        return read_yaml(text)
    except RecipeError as error:
        raise RecipeError(f"recipe key {name!r} cannot be {text!r}: {error}") from error


def _keys_near(name: str) -> list[str]:
    """The keys of the same section, or all where there is no such section."""
    section = name.partition(".")[0] + "."
    return [key for key in key_types() if key.startswith(section)] or list(key_types())


def _no_such_recipe(given: str) -> str:
    names = list_recipes()
    if Path(given).is_dir():
        return f"{given!r} is a folder, not a recipe; a folder of videos is given as --data {given}"
    near = [name for name in names if name.split("/")[1] == given] or difflib.get_close_matches(given, names, n=1)
    hint = f"; did you mean {' or '.join(repr(name) for name in near)}?" if near else ";"
    return f"unknown recipe {given!r}{hint} `vov3d recipes` lists all {len(names)}; a file of your own ends in .yaml"
