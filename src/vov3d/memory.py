"""Memory that is freed stays with the process, where the C library would give it back and ask for it anew."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
PAD_BYTES = 1 << 28


def keep_freed_memory() -> bool:
    """Let glibc keep what is freed, for the rest of the process.

    It maps each large block anew, and the system clears it page by page at its first use: on a CPU that was half of
    the time of a network that computes eight views at once. The process stays as large as it once was. Elsewhere
    nothing happens.

    Returns:
        Whether the C library has taken it.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # not glibc
        return False
    settings = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: -1, M_TOP_PAD: PAD_BYTES}
    return all(mallopt(name, value) == 1 for name, value in settings.items())
