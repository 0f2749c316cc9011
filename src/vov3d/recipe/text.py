"""Recipes as YAML text: read without surprises, written so that they read back the same.

PyYAML follows YAML 1.1, where ``5e-5`` is a string, ``no`` is false, ``010`` is eight and ``12:30`` is 750, and a key
given twice silently counts once. The loader here knows the scalars of YAML 1.2's core schema instead and refuses
duplicate keys.
"""

from __future__ import annotations

import re
from collections.abc import Hashable

import yaml

from vov3d.errors import RecipeError

_FLOAT = re.compile(r"^[-+]?(?:(?:\d+\.\d*|\.\d+)(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+)$")


class _Loader(yaml.SafeLoader):
    """Safe, with the plain scalars of YAML 1.2, without duplicate keys."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - the name and the type are PyYAML's

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        """The mapping of a node; a key given twice is an error."""
        mapping = super().construct_mapping(node, deep=deep)
        if len(mapping) < len(node.value):
            names = [str(key.value) for key, _ in node.value]
            twice = next((name for position, name in enumerate(names) if name in names[:position]), names[-1])
            raise yaml.constructor.ConstructorError(None, None, f"the key {twice!r} is given twice", node.start_mark)
        return mapping


_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), [*"tTfF"]
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9]\d*)$"), [*"-+0123456789"])
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, [*"-+.0123456789"])


class _Dumper(yaml.SafeDumper):
    """Block style for sections, flow style for lists, strings quoted wherever any YAML reader could misread them."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the signature is PyYAML's
        """No anchors: equal lists are written out."""
        return True


def _represent_list(dumper: _Dumper, data: list[object]) -> yaml.Node:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=True)


_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, [*"-+.0123456789"])
_Dumper.add_representer(list, _represent_list)


def read_yaml(text: str) -> object:
    """The value of a YAML text.

    Raises:
        RecipeError: the text is not YAML, or gives a key twice; one line with the place.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        reason = getattr(error, "problem", None) or getattr(error, "context", None) or error
        raise RecipeError(f"not valid YAML: {place}{reason}") from error


def write_yaml(value: object) -> str:
    """The YAML text of plain dictionaries, lists and scalars."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, default_flow_style=False, allow_unicode=True, width=120)
