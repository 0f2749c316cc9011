"""What a verb of the command line is, and what it answers."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vov3d.cli.parser import Parser


@dataclass(frozen=True)
class Answer:
    """What a verb found, for programs and for people.

    Attributes:
        value: what ``--json`` prints.
        text: what is printed otherwise.
        code: the exit code; 1 where the work was done, but something is wrong with what was given.
    """

    value: object
    text: str
    code: int = 0


@dataclass(frozen=True)
class Verb:
    """One verb: its help and its two functions.

    Attributes:
        name: the word on the command line.
        help: one line for the overview.
        usage: the command with its most used flags.
        description: what the verb does, a few sentences.
        examples: (what it is for, the command).
        add_arguments: declares the flags.
        run: does the work; imports what is heavy.
    """

    name: str
    help: str
    usage: str
    description: str
    examples: tuple[tuple[str, str], ...]
    add_arguments: Callable[[Parser], None]
    run: Callable[[Namespace], Answer]
