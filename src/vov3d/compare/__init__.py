"""Every system of the paper, side by side: what each costs, counted and measured, and its accuracy, as printed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vov3d.compare.comparison import Comparison

__all__ = ["compare"]

log = logging.getLogger("vov3d")


def compare(
    models: Sequence[str] | None = None,
    *,
    frames: int | None = None,
    crop: int | None = None,
    device: str = "cpu",
    threads: int | None = None,
    rounds: int = 3,
    memory_gib: float | None = None,
    results: Sequence[str | Path] = (),
    measured: str | Path | None = None,
    out: str | Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Count, measure and look up the systems that the paper compares.

    Each system is shown the clip of its own row, as published; with ``frames`` and ``crop`` all are shown the same.
    Networks run in processes of their own, so a script that calls this does so under ``if __name__ == "__main__":``.

    Args:
        models: names of `vov3d.list_models()` or patterns such as ``"x3d*"``; by default all of the field.
        frames: frames of every system's clip.
        crop: side of every system's clip, in pixels.
        device: of torch.
        threads: threads of an operator on the CPU; by default those of torch.
        rounds: timed runs of each network; 0 counts only.
        memory_gib: what one network may use; one that needs more is reported as such. Of a CUDA device, or on Linux.
        results: ``metrics.json`` files of `vov3d.evaluate`, or their folders or runs: accuracy measured here, each at
            the clip of its test.
        measured: the ``compare.json`` of an earlier comparison, or its folder, to take times and memory from.
        out: folder for ``compare.md``, ``compare.json`` and plots.
        on_progress: called with (runs done, all runs).

    Raises:
        ArgumentError: for an unknown name, or an argument out of range.
        DataError: if a file of ``results`` or ``measured`` cannot be used.
        ComparisonInterrupted: a KeyboardInterrupt that holds what was measured until then.
    """
    from vov3d.compare.comparison import (  # their packages would make `import vov3d` slow
        check_clip,
        make_comparison,
        measure_comparison,
        read_comparison,
        with_measurements,
    )
    from vov3d.compare.measuring import machine
    from vov3d.compare.page import write_pages

    check_clip(frames, crop)
    earlier = read_comparison(Path(measured)) if measured is not None else None
    runner = machine(device, threads, memory_gib)
    comparison = make_comparison(models, frames, crop, results=[Path(one) for one in results])
    if earlier is not None:
        found = {cost.clip: cost.measured for cost in earlier.costs}
        comparison = with_measurements(comparison, found, earlier.made_on)
        if not any(cost.measured for cost in comparison.costs):
            log.warning("%r holds no measurement of any of these networks at these clips", str(measured))
    elif rounds:
        comparison = measure_comparison(comparison, runner, rounds, on_progress)
    if out is not None:
        write_pages(comparison, Path(out))
    return comparison
