"""``vov3d``: finds the verb, runs it, and says in one line what went wrong."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence

from vov3d.cli import (
    bench,
    check,
    compare,
    convert,
    demo,
    evaluate,
    info,
    models,
    motion,
    pack,
    predict,
    receptive_field,
    recipes,
    report,
    stream,
    tempo,
    train,
)
from vov3d.cli.output import to_json
from vov3d.cli.parser import Parser, UsageError
from vov3d.cli.verb import Verb
from vov3d.errors import TerminatedError, Vov3dError, unknown_name
from vov3d.interrupts import ENDINGS, Terminated, ignore_interrupts, is_first_process, termination_raised
from vov3d.memory import keep_freed_memory
from vov3d.version import __version__

VERBS = {
    module.VERB.name: module.VERB
    for module in (
        demo,
        train,
        evaluate,
        tempo,
        predict,
        stream,
        report,
        check,
        motion,
        pack,
        info,
        receptive_field,
        compare,
        bench,
        convert,
        recipes,
        models,
    )
}
"""Every verb by name, in the order of the overview."""

_OVERVIEW = """\
vov3d {version}: video classification with VoV3D and X3D, from a folder of videos to a tested network

first steps:
  $ vov3d demo                                        the whole way, on videos that it draws itself
  $ vov3d train --data VIDEOS --out runs/first        VIDEOS holds one folder of videos for each class
  $ vov3d predict runs/first/last.safetensors my.mp4  what is to be seen in a video

verbs:
{verbs}

`vov3d VERB --help` explains a verb, `vov3d --version` prints the version.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the words after ``vov3d``; those of this process by default.

    Returns:
        The exit code: 0; 1 where ``check`` found something wrong; 2 for an error that is told in one line, such as a
        video that cannot be decoded; 130 where the user interrupted; 143 where the process was asked to end (SIGTERM).
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    for output in (sys.stdout, sys.stderr):
        if isinstance(output, io.TextIOWrapper):
            output.reconfigure(errors="backslashreplace")  # file names need not be Unicode
    try:
        with termination_raised():
            code = _run(words)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough, as in `vov3d recipes | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (KeyboardInterrupt, TerminatedError) as error:
        asked = isinstance(error, (Terminated, TerminatedError))
        told, code = ENDINGS[signal.SIGTERM if asked else signal.SIGINT]
        return _fail(told, words, code)
    except (Vov3dError, OSError) as error:
        return _fail(_reason(error), words)
    except (ValueError, MemoryError, RecursionError) as error:  # an argument that a function refused, or too much
        return _fail(f"{_reason(error)} (--traceback shows where)", words)
    except RuntimeError as error:
        if "allocate" not in str(error) and "out of memory" not in str(error):
            raise
        return _fail(f"not enough memory: {_reason(error)[:200]} (--traceback shows where)", words)
    return code


def _run(words: list[str]) -> int:
    name, *rest = words or ["--help"]
    if name == "help":
        name, rest = (rest or ["--help"])[0], ["--help"]
    if name in ("-h", "--help"):
        verbs = "\n".join(f"  {verb.name:<15} {verb.help}" for verb in VERBS.values())
        sys.stdout.write(_OVERVIEW.format(version=__version__, verbs=verbs))
    elif name in ("-V", "--version"):
        sys.stdout.write(f"vov3d {__version__}\n")
    elif name not in VERBS:
        raise UsageError(unknown_name("verb", name, VERBS))
    else:
        return _run_verb(VERBS[name], rest)
    return 0


def _run_verb(verb: Verb, words: list[str]) -> int:
    parser = Parser(verb, words)
    if parser.wants_help:
        sys.stdout.write(parser.format_help())
        return 0
    args = parser.parse()
    keep_freed_memory()
    is_first = is_first_process()
    level = logging.INFO if is_first and not getattr(args, "quiet", False) else logging.WARNING
    # with --json, whatever is printed on the way, stdout holds one document and nothing else
    away = contextlib.redirect_stdout(sys.stderr) if args.json else contextlib.nullcontext()
    with _log_on_stderr(level), away:
        answer = verb.run(args)
    if is_first:
        sys.stdout.write((to_json(answer.value) if args.json else answer.text) + "\n")
    return answer.code


@contextlib.contextmanager
def _log_on_stderr(level: int) -> Iterator[None]:
    """What the package logs, while a verb runs."""
    log, handler = logging.getLogger("vov3d"), logging.StreamHandler()
    before = log.level
    log.addHandler(handler)
    log.setLevel(level)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before)


def _reason(error: Exception) -> str:
    """The error in one line."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.strerror}: {str(error.filename)!r}" if error.filename is not None else error.strerror
    return " ".join(text.split()) or type(error).__name__


def _fail(reason: str, words: list[str], code: int = 2) -> int:
    if not _is_told_by_first(reason, code):
        if "--traceback" in words:
            traceback.print_exc()
        sys.stderr.write(f"vov3d: {reason}\n")
    return code


def _is_told_by_first(reason: str, code: int) -> bool:
    """Whether the first of several processes says the same: what all meet is one line, what one meets is its own."""
    if "RANK" not in os.environ:
        return False
    if code != 2:  # signals are sent to all
        return not is_first_process()
    from vov3d.meeting import first_ends_with

    ignore_interrupts()  # torchrun sends one to all when any of them ends, and this one is about to
    return first_ends_with(reason)
