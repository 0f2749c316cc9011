"""What one step launches on a GPU, and what takes its time there."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable

import torch
from gpu_device import DEVICE, ON_GPU
from harness import Row
from torch.profiler import DeviceType, ProfilerActivity, profile

MOST_NAMED = 6
LAUNCH = re.compile(r"cu(da)?(GraphLaunch|Launch\w*Kernel)\w*")  # Triton's is cuLaunchKernelEx


def profiled(run: Callable[[], object]) -> Row:
    """Return how many kernels a run has, how often it launches any, how long they compute, and the slowest.

    Without a GPU these are torch's operators, and nothing is launched.
    """
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if ON_GPU else [])]
    with profile(activities=activities) as profiler:
        run()
        if ON_GPU:
            torch.cuda.synchronize(DEVICE)
    where = DeviceType.CUDA if ON_GPU else DeviceType.CPU
    times: defaultdict[str, float] = defaultdict(float)
    kernels = launches = 0
    for event in profiler.key_averages():
        if event.device_type == where and not event.is_user_annotation:
            times[_short(event.key)] += (event.self_device_time_total if ON_GPU else event.self_cpu_time_total) / 1e3
            kernels += event.count
        launches += event.count if LAUNCH.fullmatch(event.key) else 0
    busy = sum(times.values())
    slowest = sorted(times, key=times.__getitem__, reverse=True)[:MOST_NAMED]
    named = ", ".join(f"{name} {times[name] / busy:.0%}" for name in slowest)
    return {"kernels": kernels, "launches": launches, "busy_ms": busy, "slowest": named}


def _short(name: str) -> str:
    """Return a kernel's name without its types: ``void at::native::elementwise_kernel<...>(int)``."""
    plain = re.sub(r"<.*|\(.*", "", name.removeprefix("void ").replace("(anonymous namespace)::", ""))
    return re.sub(r"_\d+$", "", plain.rpartition("::")[2])[:40]
