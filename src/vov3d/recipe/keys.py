"""The keys of a recipe as the command line needs them: name, type, default and meaning."""

from __future__ import annotations

import functools
import inspect
from dataclasses import MISSING, dataclass, fields
from types import NoneType
from typing import Literal, get_args, get_origin, get_type_hints

from vov3d.recipe.schema import ClipSettings, ModelSettings, OptimSettings, TestSettings, TrainSettings

SETTINGS: dict[str, type] = {
    "model": ModelSettings,
    "clip": ClipSettings,
    "optim": OptimSettings,
    "train": TrainSettings,
    "test": TestSettings,
}
"""The sections that can be set, in order; ``reported`` and ``ours`` are records."""


@dataclass(frozen=True)
class KeyHelp:
    """One key of a recipe, explained.

    Attributes:
        name: the dotted name, such as ``"optim.lr"``.
        type_text: the kind of value, such as ``"FLOAT"`` or ``"segment|dense"``.
        default: the default as it is written on the command line; ``"required"`` where there is none.
        help: what the key means.
        source: what the paper or the released configuration has, and which of them; empty for a key of our own.
    """

    name: str
    type_text: str
    default: str
    help: str
    source: str


@functools.cache
def key_types() -> dict[str, object]:
    """The type of each key that can be set, by dotted name, with its annotations."""
    return {
        f"{section}.{name}": hint
        for section, settings in SETTINGS.items()
        for name, hint in get_type_hints(settings, include_extras=True).items()
    }


@functools.cache
def recipe_keys() -> tuple[KeyHelp, ...]:
    """Every key that can be set, in the order of a recipe."""
    keys = []
    for section, settings in SETTINGS.items():
        for field in fields(settings):
            name = f"{section}.{field.name}"
            default = "required" if field.default is MISSING else value_text(field.default)
            meaning, source = [*(note for note in get_args(key_types()[name]) if isinstance(note, str)), ""][:2]
            keys.append(KeyHelp(name, _type_text(name), default, meaning, source))
    return tuple(keys)


def value_text(value: object) -> str:
    """A value as it is written on the command line."""
    if isinstance(value, (list, tuple)):
        return ",".join(value_text(item) for item in value) or "[]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def recipe_sections() -> dict[str, str]:
    """What each section that can be set is about, one line each."""
    return {section: (inspect.getdoc(settings) or "").split("\n")[0] for section, settings in SETTINGS.items()}


def choices(name: str) -> tuple[str, ...]:
    """The values that a key chooses from, ``null`` aside; empty where it takes any."""
    plain = _plain_type(name)
    return next((get_args(part) for part in (plain, *get_args(plain)) if get_origin(part) is Literal), ())


def takes_list(name: str) -> bool:
    """Whether a key takes a list."""
    return get_origin(_plain_type(name)) is tuple


def takes_text(name: str) -> bool:
    """Whether a key takes any text, so that ``2024`` is text too."""
    plain = _plain_type(name)
    return plain is str or (get_origin(plain) is not tuple and str in get_args(plain))


def _plain_type(name: str) -> object:
    """The type itself, without its bounds and meaning."""
    return get_args(key_types()[name])[0]


def _type_text(name: str) -> str:
    names: dict[object, str] = {
        int: "INT",
        float: "FLOAT",
        str: "TEXT",
        bool: "true|false",
        NoneType: "null",
        ...: "...",
    }
    plain, chosen = _plain_type(name), choices(name)
    parts = () if get_origin(plain) is Literal else get_args(plain) or (plain,)
    return ("," if takes_list(name) else "|").join([*chosen, *(names[part] for part in parts if part in names)])
