"""Argparse with help that teaches and errors of one line."""

from __future__ import annotations

import argparse
import itertools
import re
from collections.abc import Sequence
from typing import NoReturn

from vov3d.cli.verb import Verb
from vov3d.errors import Vov3dError, unknown_name

_FLAG = re.compile(r"--?[A-Za-z]")


class UsageError(Vov3dError):
    """The command line cannot be understood."""


class Parser(argparse.ArgumentParser):
    """The parser of one verb.

    Args:
        verb: what to parse for.
        words: what to parse; known from the start, since the help of ``train`` depends on the recipe.
    """

    def __init__(self, verb: Verb, words: Sequence[str]) -> None:
        examples = "\n".join(f"  # {purpose}\n  {command}" for purpose, command in verb.examples)
        super().__init__(
            prog=f"vov3d {verb.name}",
            usage=verb.usage,
            description=verb.description,
            epilog=f"examples:\n{examples}",
            formatter_class=_Formatter,
            allow_abbrev=False,
            add_help=False,
        )
        self.words = words
        self.wants_help = "-h" in words or "--help" in words
        verb.add_arguments(self)
        every = self.add_argument_group("for every verb")
        every.add_argument("--json", action="store_true", help="print the result as one JSON document")
        every.add_argument("--traceback", action="store_true", help="on an error, print where in the code it arose")
        every.add_argument("-h", "--help", action="store_true", help="print this page")

    def parse(self) -> argparse.Namespace:
        """The parsed words.

        Raises:
            UsageError: one line, with the nearest flag for one that does not exist.
        """
        for text in itertools.takewhile(lambda text: text != "--", self.words):
            flag = text.partition("=")[0]
            if _FLAG.match(flag) and flag not in self._option_string_actions:
                self.error(unknown_name("flag", flag, self._flags_near(flag)))
        return self.parse_args(self.words)

    def error(self, message: str) -> NoReturn:
        """Raise what argparse found."""
        raise UsageError(f"{message} (see {self.prog} --help)")

    def _flags_near(self, flag: str) -> list[str]:
        """The flags to choose from: for a dotted one those of its section or its key, else all without a dot."""
        section, dot, key = flag.partition(".")
        flags = list(self._option_string_actions)
        dotted = [name for name in flags if dot and (name.startswith(section + dot) or name.endswith(dot + key))]
        return dotted or [name for name in flags if "." not in name]


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Wide enough for ``--train.checkpoint_every_epochs INT``; examples keep their lines, descriptions are wrapped."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=36)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith("examples:"):
            return super()._fill_text(text, width, indent)
        paragraphs = text.split("\n\n")
        return "\n\n".join(argparse.HelpFormatter._fill_text(self, part, width, indent) for part in paragraphs)
