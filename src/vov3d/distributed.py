"""One process or many: the same code, told apart by the environment that ``torchrun`` sets."""

from __future__ import annotations

import atexit
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from vov3d.errors import ArgumentError, Vov3dError, unknown_name
from vov3d.meeting import meet

Item = TypeVar("Item")


@dataclass(frozen=True)
class ProcessGroup:
    """This process among all that work on one run.

    Attributes:
        rank: 0 to ``world_size - 1``; rank 0 alone writes files and talks.
        world_size: number of processes.
        device: where this process computes.
    """

    rank: int
    world_size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and talks."""
        return self.rank == 0

    def wrap(self, model: nn.Module) -> nn.Module:
        """Return the network as it is trained: as it is, or with gradients averaged over the processes."""
        if self.world_size == 1:
            return model
        devices = [self.device.index] if self.device.type == "cuda" else None
        warnings.filterwarnings("ignore", message="Grad strides do not match")  # of 1x1x1 kernels: they mean nothing
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # the newer name of this option is not in older torch
            # running statistics are settled by `average_statistics`, so no process sends its own to the others
            return nn.parallel.DistributedDataParallel(model, device_ids=devices, broadcast_buffers=False)

    def neighbours(self, size: int) -> dist.ProcessGroup | None:
        """Return this process's group of ``size`` consecutive processes; ``None`` for a group of one.

        Raises:
            ArgumentError: if the processes cannot be divided so.
        """
        if size == 1:
            return None
        if self.world_size % size:
            raise ArgumentError(
                f"batch norm over {size} processes is asked for, and there are {self.world_size}; start a multiple of "
                f"{size} processes, or set --train.norm_clips to what one of them computes at once"
            )
        groups = [dist.new_group(list(range(first, first + size))) for first in range(0, self.world_size, size)]
        own: dist.ProcessGroup = groups[self.rank // size]
        return own

    def gather(self, items: list[Item]) -> list[Item]:
        """Return the items of all processes, in the order of rank; every process gets them all."""
        if self.world_size == 1:
            return items
        parts: list[list[Item] | None] = [None] * self.world_size
        dist.all_gather_object(parts, items)
        return [item for part in parts if part is not None for item in part]

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum over all processes."""
        if self.world_size == 1:
            return values
        total = values.to(self.device, copy=True)  # where the processes talk to each other
        dist.all_reduce(total)
        return total.to(values.device)

    def largest(self, value: int) -> int:
        """Return the largest of the processes' values."""
        if self.world_size == 1:
            return value
        values = torch.tensor(value, device=self.device)
        dist.all_reduce(values, dist.ReduceOp.MAX)
        return int(values)

    def from_main(self, call: Callable[[], Item]) -> Item:
        """Return what the first process finds, in all of them; what it raises, all raise."""
        if self.world_size == 1:
            return call()
        found: list[Item | Vov3dError | OSError | None] = [None]
        if self.is_main:
            try:
                found[0] = call()
            except (Vov3dError, OSError) as error:
                found[0] = error
        dist.broadcast_object_list(found, device=self.device if self.device.type == "cuda" else None)
        answer = found[0]
        if isinstance(answer, (Vov3dError, OSError)):
            raise answer
        return answer  # type: ignore[return-value]  # the first process has put it there

    def average_statistics(self, model: nn.Module, weight: float = 1.0) -> None:
        """Make running statistics, which each process takes of its own clips, the same in all of them: their mean.

        Those of norms that are frozen, or in evaluation, stay as they are.

        Args:
            model: the network.
            weight: how much this process's statistics count; 0 if it had no clips. With 0 everywhere, all count.
        """
        if self.world_size == 1:
            return
        norms = [module for module in model.modules() if isinstance(module, _BatchNorm) and module.training]
        statistics = [
            buffer for norm in norms for buffer in (norm.running_mean, norm.running_var) if buffer is not None
        ]
        if not statistics:
            return
        weight = weight if float(self.sum(torch.tensor(weight))) else 1.0
        own = torch.cat([buffer.flatten() for buffer in statistics]) * weight
        total = self.sum(torch.cat([own, own.new_tensor([weight])]))
        means = total[:-1] / total[-1]
        for buffer, mean in zip(statistics, means.split([buffer.numel() for buffer in statistics]), strict=True):
            buffer.copy_(mean.view_as(buffer))

    def wait(self) -> None:
        """Return once every process has come here."""
        if self.world_size > 1:
            dist.barrier()


def resolve_device(name: str) -> torch.device:
    """Return the device of a name: ``"auto"`` is the accelerator if there is one, else the CPU.

    Under ``torchrun``, ``"auto"`` and ``"cuda"`` are the process's own GPU.

    Raises:
        ArgumentError: if the device is unknown or absent.
    """
    if name == "auto" and not torch.cuda.is_available():
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    if name.partition(":")[0] not in ("auto", "cpu", "cuda", "mps"):
        raise ArgumentError(unknown_name("device", name, ("auto", "cpu", "cuda", "mps")))
    own_gpu = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    try:
        device = torch.device(own_gpu if name in ("auto", "cuda") else name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0].split(". ")[0][:200]  # that of MPS is followed by a page
        raise ArgumentError(f"device {name!r} is not to be had here ({reason}); use auto, cpu, cuda or mps") from error
    return device


@contextmanager
def process_group(device: str) -> Iterator[ProcessGroup]:
    """Join the processes that ``torchrun`` started, if it did.

    They stay joined until the program ends: who met again at the same port could meet the end of the first meeting.

    Args:
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``.

    Raises:
        TrainingError: if they do not meet.
    """
    resolved = resolve_device(device)
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if resolved.type == "cuda":
        torch.cuda.set_device(resolved)
    if world_size == 1:
        yield ProcessGroup(0, 1, resolved)
        return
    _check_own_device(device, resolved)
    if not dist.is_initialized():
        meet("nccl" if resolved.type == "cuda" else "gloo")
        atexit.register(_leave)
    try:
        yield ProcessGroup(dist.get_rank(), world_size, resolved)
    except BaseException:
        atexit.unregister(_leave)  # leaving in good order would wait for processes that may be gone
        raise


def _check_own_device(name: str, device: torch.device) -> None:
    """Each of several processes needs a device of its own that can talk to the others.

    Raises:
        ArgumentError: for one that is shared, or that cannot.
    """
    if device.type == "mps":
        raise ArgumentError("processes on 'mps' cannot talk to each other; give --device cpu, or start one process")
    if device.type == "cuda" and name not in ("auto", "cuda"):
        raise ArgumentError(f"several processes cannot share {name!r}; give --device cuda, and each takes its own")


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
