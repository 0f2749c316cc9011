"""A network in front of a faster engine, with the contract of every network."""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NoReturn, SupportsIndex

import torch
from torch import Tensor, nn

from vov3d.errors import ArgumentError
from vov3d.models.clip_classifier import check_clips
from vov3d.optimize.backend import Backend, Compiled, Job, Precision


class Optimized(nn.Module):
    """A network for inference: ``optimized(clips) -> logits``, without gradients.

    The back end computes the map that the head pools; pooling and classification stay in torch and in float32, on one
    thread: others that torch wakes would spin for milliseconds, beside the back end's own of the next call.

    Shape: ``[N, 3, T, H, W] -> [N, K]`` for any N, and the T, H, W and device that it was optimised for.

    Attributes:
        backend: the engine that computes.
        precision: of its weights and activations.
        num_threads: threads of an operator; those of torch are restored after each call.
        max_error: largest difference of a logit from the plain network's on the example, over its largest logit.
        cosine: least cosine of a clip's logits to the plain network's, on the example.
        passed_over: why each back end that comes before this one was passed over, by name.
    """

    backend: str
    precision: Precision
    num_threads: int
    max_error: float
    cosine: float
    passed_over: Mapping[str, str]

    def __init__(self, backend: Backend, compiled: Compiled, job: Job) -> None:
        super().__init__()
        self.backend = backend.name
        self.precision = job.precision
        self.num_threads = job.num_threads
        self.head = copy.deepcopy(job.folded.head)
        self.num_classes = job.folded.num_classes
        self._compiled = compiled
        self._size, self._device = tuple(job.example.shape[2:]), job.example.device
        self._lock = threading.Lock()
        self._process, self._needs_process = os.getpid(), backend.threads_of_torch and job.num_threads > 1
        super().train(False)

    @property
    def dtype(self) -> torch.dtype:
        """The type of clips and logits."""
        return torch.float32

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        with self._computing():
            return self.head.classify(self._map(clips))

    def position_logits(self, clips: Tensor, window: tuple[int, int, int] = (16, 7, 7)) -> Tensor:
        """Return the logits at every position of the head's window; see `vov3d.models.ClipClassifier`.

        Shape: ``[N, 3, T, H, W] -> [N, P, K]``
        """
        with self._computing():
            return self.head.classify_positions(self._map(clips), window)

    def train(self, mode: bool = True) -> Optimized:
        """Stay in evaluation.

        Raises:
            ArgumentError: it was to train.
        """
        if mode:
            raise ArgumentError("an optimised network cannot be trained; train the network and optimise it again")
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Optimized:  # noqa: ARG002  torch's
        moved = fn(torch.empty(0, device=self._device))
        if (moved.dtype, moved.device) != (self.dtype, self._device):
            raise ArgumentError(
                f"an optimised network stays float32 on {self._device}, and was to be {moved.dtype} on {moved.device}; "
                "move the network and optimise it again"
            )
        return self

    def __reduce_ex__(self, _protocol: SupportsIndex) -> NoReturn:
        raise ArgumentError("an optimised network lives in its process alone; save the network and optimise it again")

    def __str__(self) -> str:
        where = f"{self.num_threads} thread{'s' if self.num_threads > 1 else ''}"
        if self._device.type == "cuda":
            where = torch.cuda.get_device_name(self._device)
        return (
            f"{self.backend}, {self.precision}, {where}: logits differ from plain float32 by at most "
            f"{self.max_error:.1e} of the largest, cosine {self.cosine:.5f}"
        )

    def _map(self, clips: Tensor) -> Tensor:
        if torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
            raise ArgumentError(
                "what an optimised network computes cannot be traced; trace or export the network itself"
            )
        check_clips(clips)
        if tuple(clips.shape[2:]) != self._size:
            frames, rows, columns = self._size
            raise ArgumentError(
                f"clips have {clips.shape[2]} frames of {clips.shape[3]}x{clips.shape[4]}; this network was optimised "
                f"for {frames} of {rows}x{columns}: optimise it for an example of the other size"
            )
        if clips.device != self._device:
            raise ArgumentError(f"clips are on {clips.device}; this network was optimised on {self._device}")
        if not len(clips):
            raise ArgumentError("clips hold no clip; give 1 or more")
        in_child = os.getpid() != self._process
        if in_child and self._needs_process:
            raise ArgumentError(
                f"back end {self.backend} computes on {self.num_threads} threads, which stayed in the process that was "
                "forked; optimise the network in each process, or with num_threads=1, or start processes by spawn"
            )
        with _threads(1 if in_child else self.num_threads):
            return self._compiled(clips.float())

    @contextmanager
    def _computing(self) -> Iterator[None]:
        """One call at a time, without gradients, with one thread for what is not the back end's."""
        with self._lock, torch.no_grad(), exact_float32(self._device), _threads(1):
            yield


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """So many threads of an operator of torch."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def exact_float32(device: torch.device) -> Iterator[None]:
    """Let float32 be float32: without autocast, and on a GPU without the 10 bits that cuDNN rounds to by default."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
