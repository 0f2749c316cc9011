"""What a user can put right, told in one line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from vov3d.errors import Vov3dError


@contextmanager
def told_in_one_line() -> Iterator[None]:
    """End the process with one line where an argument, a file or a folder is not as it must be.

    Raises:
        SystemExit: for these.
    """
    try:
        yield
    except (Vov3dError, ValueError, OSError) as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        raise SystemExit(2) from error
