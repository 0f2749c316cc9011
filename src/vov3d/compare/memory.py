"""How much memory this process holds, held at most, and may hold."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import torch


def peak_bytes(device: torch.device) -> int | None:
    """The most memory that was in use: of the device, or of this process; ``None`` where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if device.type == "mps":
        return torch.mps.driver_allocated_memory()
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def limit_memory(gib: float | None, device: torch.device) -> None:
    """Let this process allocate so much more than it has: of a CUDA device, or of the memory of a Linux system."""
    if gib is None:
        return
    limit = _held_bytes(device) + int(gib * 2**30)
    if device.type == "cuda":
        share = limit / torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(share, 1.0), device)
    elif sys.platform.startswith("linux"):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _held_bytes(device: torch.device) -> int:
    """What this process holds of what `limit_memory` limits: of the device, or data and stack; 0 if there is none."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    if not sys.platform.startswith("linux"):
        return 0
    import resource

    return int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()


def die_first() -> None:
    """Ask Linux to take this process rather than another when memory runs out."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
