"""Turn a run folder into one web page that holds everything: numbers, curves, mistakes, examples, origin.

The page makes no request and runs no script, so that it can be mailed, archived and printed.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["report"]


def report(run: str | Path) -> Path:
    """Write ``report.html`` into a run folder, from whatever the folder holds.

    Args:
        run: the folder that ``vov3d train --out`` wrote.

    Returns:
        The path of the page.

    Raises:
        DataError: the folder is no run, or a file in it is damaged.
        CheckpointError: the checkpoint in it is damaged.
    """
    from vov3d.report.page import write_page  # its packages would make `import vov3d` slow

    return write_page(Path(run))
