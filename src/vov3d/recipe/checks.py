"""The one place where a recipe is checked: plain mappings in, frozen dataclasses or one line of error out."""

from __future__ import annotations

import functools
import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import TYPE_CHECKING

from vov3d.errors import RecipeError, unknown_name
from vov3d.recipe.keys import SETTINGS, choices
from vov3d.recipe.schema import Ours, Recipe, Reported

if TYPE_CHECKING:
    from pydantic import TypeAdapter
    from pydantic_core import ErrorDetails

_SECTIONS: dict[str, type] = {**SETTINGS, "reported": Reported, "ours": Ours}


def recipe_from_mapping(mapping: Mapping[str, object]) -> Recipe:
    """Check a mapping of sections and make it a recipe; what is not given takes its default.

    Strict: ``1`` is not a boolean, ``true`` not a number, ``"5e-5"`` not a float.

    Args:
        mapping: sections of keys, as read from YAML or JSON.

    Raises:
        RecipeError: one line that names the first key that is not right, and the nearest right one.
    """
    from pydantic import ValidationError

    _check_names(mapping)
    try:
        recipe = _adapter().validate_json(json.dumps(mapping), strict=True)
    except ValidationError as error:
        raise RecipeError(_one_line(error.errors()[0])) from error
    _check_together(recipe)
    return recipe


def to_mapping(recipe: Recipe) -> dict[str, object]:
    """The recipe as plain dictionaries, lists and scalars, every key written out."""
    plain: dict[str, object] = json.loads(json.dumps(asdict(recipe)))
    return plain


@functools.cache
def _adapter() -> TypeAdapter[Recipe]:
    from pydantic import TypeAdapter

    return TypeAdapter(Recipe)


def _check_names(mapping: object) -> None:
    """Every section and key must exist, and every value be one that JSON can hold."""
    if not isinstance(mapping, Mapping):
        raise RecipeError(f"a recipe is a mapping of sections ({', '.join(_SECTIONS)}), not {_shown(mapping)}")
    for section, keys in mapping.items():
        if section not in _SECTIONS:
            raise RecipeError(unknown_name("recipe section", str(section), _SECTIONS))
        allowed = {f"{section}.{field.name}" for field in fields(_SECTIONS[section])}
        for key, value in keys.items() if isinstance(keys, Mapping) else ():
            if f"{section}.{key}" not in allowed:
                raise RecipeError(unknown_name("recipe key", f"{section}.{key}", allowed))
            try:
                json.dumps(value, allow_nan=False)
            except (TypeError, ValueError) as error:
                raise RecipeError(f"recipe key '{section}.{key}' cannot be {value!r}") from error


def _one_line(error: ErrorDetails) -> str:
    """What pydantic found first, in our words."""
    section, *rest = (str(part) for part in error["loc"])
    name = ".".join([section, *rest[:1]])
    value = error["input"]
    if not rest and error["type"] != "missing":
        return f"recipe section {section!r} must be a group of keys, not {_shown(value)}"
    if error["type"] == "missing" and len(rest) < 2:
        return f"recipe key {'model.name' if name == 'model' else name!r} is required"
    if error["type"] == "literal_error" and isinstance(value, str):
        return unknown_name(f"value of recipe key {name!r}:", value, choices(name))
    if error["type"] in ("missing", "too_long"):
        return f"recipe key {name!r} must be a list of two numbers, not {_shown(value)}"
    wish = (
        error["msg"]
        .removeprefix("Input should be ")
        .replace("valid array", "list")
        .replace("a valid integer", "an integer")
        .replace("valid ", "")
    )
    hint = "; a number stands without quotes" if wish in ("a number", "an integer") and _is_number(value) else ""
    return f"recipe key {name!r} must be {wish}, not {_shown(value)}{hint}"


def _shown(value: object) -> str:
    return json.dumps(value, default=str)


def _is_number(value: object) -> bool:
    """Whether a text would be a number if it stood without quotes."""
    try:
        return isinstance(value, str) and math.isfinite(float(value))
    except ValueError:
        return False


def _check_together(recipe: Recipe) -> None:
    """What no single key can know."""
    clip, optim, train, test = recipe.clip, recipe.optim, recipe.train, recipe.test
    low, high = clip.short_side
    steps, factors = optim.step_epochs, optim.step_factors
    wrong = {
        "model.init and model.backbone_init both say where the weights start; give one of them": (
            recipe.model.init not in (None, "auto") and recipe.model.backbone_init is not None
        ),
        f"clip.short_side must go from low to high, not [{low}, {high}]": low > high,
        f"clip.short_side must end at 4096 pixels or less, not {high}": high > 4096,
        f"clip.short_side starts at {low}, below clip.crop {clip.crop}: the crop would not fit": low < clip.crop,
        f"optim.nesterov needs optim.momentum above 0, not {optim.momentum}": optim.nesterov and optim.momentum == 0,
        f"optim.warmup_epochs {optim.warmup_epochs:g} is more than train.epochs {train.epochs}: lower it": (
            optim.warmup_epochs > train.epochs
        ),
        f"optim.step_epochs and optim.step_factors must be equally long, not {len(steps)} and {len(factors)}": (
            len(steps) != len(factors)
        ),
        "optim.schedule steps needs optim.step_epochs and optim.step_factors": optim.schedule == "steps" and not steps,
        f"optim.step_epochs must start at 0 and rise, not {list(steps)}": (
            bool(steps) and (steps[0] != 0 or any(later <= sooner for sooner, later in itertools.pairwise(steps)))
        ),
        f"optim.step_epochs {list(steps)} reach past train.epochs {train.epochs}: lower them": (
            optim.schedule == "steps" and bool(steps) and steps[-1] >= train.epochs
        ),
        f"optim.step_factors must not be below 0, not {list(factors)}": any(factor < 0 for factor in factors),
        f"train.batch_size {train.batch_size} cannot be divided into train.accumulate {train.accumulate} equal parts": (
            train.batch_size % train.accumulate != 0
        ),
        "train.compile and train.gradient_checkpointing cannot go together; take one of them": (
            train.compile and train.gradient_checkpointing
        ),
        f"train.batch_size {train.batch_size} cannot be divided into train.repeats {train.repeats} clips a video": (
            train.batch_size % train.repeats != 0
        ),
        f"test.num_crops must be 1 or 3, not {test.num_crops}": test.num_crops not in (1, 3),
    }
    for message, is_wrong in wrong.items():
        if is_wrong:
            raise RecipeError(f"recipe key {message}")
