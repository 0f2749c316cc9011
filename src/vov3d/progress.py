"""What a person sees of a training: one moving line, and one line for each epoch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vov3d.resume import EpochRow


class TrainingProgress:
    """A progress bar with loss, clips per second and time left, on standard error.

    Where standard error is not a terminal, only the line of each epoch is written.

    Args:
        num_epochs: epochs of the whole training.
        num_steps: steps of an epoch.
        quiet: show nothing.
    """

    def __init__(self, num_epochs: int, num_steps: int, *, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.num_epochs, self.num_steps = num_epochs, num_steps
        self.console = Console(file=sys.stderr, quiet=quiet, highlight=False)
        self.bar = Progress(
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.3f}"),
            TextColumn("{task.fields[rate]:.1f} clips/s"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=self.console,
            disable=quiet or not self.console.is_terminal,
            transient=True,
        )
        self.task = self.bar.add_task(
            "train", total=num_epochs * num_steps, epoch=1, epochs=num_epochs, loss=float("nan"), rate=0.0
        )

    def __enter__(self) -> TrainingProgress:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def advance(self, epoch: int, step: int, *, loss: float, clips_per_second: float) -> None:
        """Show that a step is done; ``epoch`` and ``step`` count from 0."""
        self.bar.update(
            self.task, completed=epoch * self.num_steps + step + 1, epoch=epoch + 1, loss=loss, rate=clips_per_second
        )

    def epoch(self, row: EpochRow) -> None:
        """Write the line of a finished epoch."""
        name, accuracy = ("top-1", row.val_top1) if row.val_map is None else ("mAP", row.val_map)
        validation = "" if accuracy is None else f"   val loss {row.val_loss:.3f}  {name} {100 * accuracy:5.1f}%"
        self.console.print(
            f"epoch {row.epoch:3d}/{self.num_epochs}   train loss {row.train_loss:.3f}  top-1 "
            f"{100 * row.train_top1:5.1f}%{validation}   {row.clips_per_second:.1f} clips/s  {row.seconds:.0f} s",
            soft_wrap=True,
        )


@contextmanager
def task_progress(what: str, *, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Show a bar for anything that counts, on a terminal; nothing elsewhere.

    Args:
        what: what is counted, such as ``"videos"``.
        quiet: show nothing.

    Yields:
        A function to be called with (done, all).
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(file=sys.stderr, quiet=quiet)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn(what), TimeRemainingColumn(), TextColumn("left"))
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal, transient=True) as bar:
        task = bar.add_task(what)
        yield lambda done, total: bar.update(task, completed=done, total=total)
