"""Work that is recorded once and replayed: some thousand kernel launches become one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

log = logging.getLogger(__name__)

Gradient = Callable[[Tensor, Tensor, float], tuple[Tensor, Tensor]]
"""``(clips, targets, share) -> (loss, logits)``, which leaves the gradients of ``loss * share`` in the parameters."""

TOLERANCE = 0.1  # of a gradient's norm: rounding in bfloat16, and sums in another order
SHAPES_KEPT = 4

Work = Callable[[], tuple[Tensor, ...]]
Recorder = Callable[[Work], tuple[tuple[Tensor, ...], Callable[[], None]]]
"""Returns what some work gives, and what does it again on the same memory."""


def record_cuda_graph(work: Work) -> tuple[tuple[Tensor, ...], Callable[[], None]]:
    """Record some work's kernels as a CUDA graph, which gives nothing before it is replayed.

    The work may not wait for the GPU. Torch's own stream for recording belongs to whichever GPU recorded first, so the
    graph of another would be empty; and where recording fails, torch stays on it.
    """
    stream, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
    stream.wait_stream(torch.cuda.current_stream())
    try:
        with torch.cuda.stream(stream):
            work()
            with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):  # others may pin memory
                answers = work()
    finally:
        torch.cuda.current_stream().wait_stream(stream)
    return answers, graph.replay


class ReplayedForShape:
    """Some work on a tensor, recorded for each shape that comes; what cannot be recorded is computed as ever.

    Args:
        work: gives one tensor, and reads no other that changes. It may not wait for the GPU.
        record: how.
        most: recordings that are kept: those used last.
    """

    def __init__(
        self, work: Callable[[Tensor], Tensor], record: Recorder = record_cuda_graph, most: int = SHAPES_KEPT
    ) -> None:
        self._work, self._record, self._most = work, record, most
        self._recordings: dict[torch.Size, tuple[Tensor, Tensor, Callable[[], None]]] = {}
        self._refused = False

    def __call__(self, given: Tensor) -> Tensor:
        """Return what the work does."""
        with torch.cuda.device_of(given):
            if not self._refused and given.shape not in self._recordings:
                self._make(given)
            if self._refused:
                return self._work(given)
            memory, answer, replay = self._recordings[given.shape] = self._recordings.pop(given.shape)
            memory.copy_(given)
            replay()
            return answer.clone()

    def _make(self, given: Tensor) -> None:
        with torch.inference_mode(False):  # later calls may be outside of it
            memory = given.clone()
        while len(self._recordings) >= self._most:
            del self._recordings[next(iter(self._recordings))]
        try:
            (answer,), replay = self._record(lambda: (self._work(memory),))
        except RuntimeError as error:
            self._refused = True
            self._recordings.clear()
            log.info("the network is not replayed as a graph: %s", str(error).partition("\n")[0])
        else:
            self._recordings[given.shape] = memory, answer, replay


@dataclass
class _Recording:
    """What a recording reads and writes."""

    clips: Tensor
    targets: Tensor
    share: float
    loss: Tensor
    logits: Tensor
    gradients: Mapping[str, Tensor]
    replay: Callable[[], None]

    def fits(self, clips: Tensor, targets: Tensor, share: float) -> bool:
        return (clips.shape, targets.shape, share) == (self.clips.shape, self.targets.shape, self.share)


class Replayed:
    """A gradient, recorded at its second call and checked there against itself; other shapes are computed as ever.

    Args:
        gradient: what is recorded. It draws from torch's own generator and changes nothing but gradients and buffers.
        model: whose gradients and buffers.
        record: how.

    Attributes:
        refused: why it is not recorded, in words; empty as long as it may be.
    """

    def __init__(self, gradient: Gradient, model: nn.Module, record: Recorder = record_cuda_graph) -> None:
        self._gradient, self._model, self._record = gradient, model, record
        self._recording: _Recording | None = None
        self._calls, self.refused = 0, ""

    @property
    def is_recorded(self) -> bool:
        """Whether a recording is there and agrees with the gradient."""
        return self._recording is not None

    def __call__(self, clips: Tensor, targets: Tensor, share: float) -> tuple[Tensor, Tensor]:
        """Return what the gradient does."""
        with torch.cuda.device_of(clips):
            return self._computed(clips, targets, share)

    def _computed(self, clips: Tensor, targets: Tensor, share: float) -> tuple[Tensor, Tensor]:
        self._calls += 1
        if self._recording is not None and self._recording.fits(clips, targets, share):
            return self._replayed(self._recording, clips, targets)
        if self._recording is None and self._calls > 1 and not self.refused:
            return self._recorded(clips, targets, share)
        return self._gradient(clips, targets, share)

    def _replayed(self, recording: _Recording, clips: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        recording.clips.copy_(clips)
        recording.targets.copy_(targets)
        recording.replay()
        for name, parameter in self._model.named_parameters():
            parameter.grad = recording.gradients.get(name)
        return recording.loss, recording.logits

    def _recorded(self, clips: Tensor, targets: Tensor, share: float) -> tuple[Tensor, Tensor]:
        """Compute the gradient as ever; record it, replay it, and keep the recording if both agree."""
        buffers, draws = self._buffers(), _draws(clips.device)
        answer = self._gradient(clips, targets, share)
        expected, after = self._gradients(), self._buffers()
        try:
            self._restore(buffers)
            recording = self._make(clips, targets, share)
            self._restore(buffers)
            _restore_draws(clips.device, draws)
            for gradient in recording.gradients.values():
                gradient.detach().fill_(torch.nan)  # what a replay does not write is seen
            self._replayed(recording, clips, targets)
            apart = distance(recording.gradients, expected)
            if not apart <= TOLERANCE:
                raise RuntimeError(f"a gradient is {apart:.1%} of its norm off")
        except RuntimeError as error:
            self.refused = str(error).partition("\n")[0] or type(error).__name__
            log.info("the training step is not replayed as a graph: %s", self.refused)
        else:
            self._recording = recording
        self._restore(after)
        for name, parameter in self._model.named_parameters():
            parameter.grad = expected.get(name)
        return answer

    def _make(self, clips: Tensor, targets: Tensor, share: float) -> _Recording:
        clips, targets = clips.clone(), targets.clone()

        def work() -> tuple[Tensor, ...]:
            self._model.zero_grad(set_to_none=True)
            answer = self._gradient(clips, targets, share)
            return *answer, *self._gradients().values()

        (loss, logits, *gradients), replay = self._record(work)
        named = dict(zip(self._gradients(), gradients, strict=True))
        return _Recording(clips, targets, share, loss, logits, named, replay)

    def _gradients(self) -> dict[str, Tensor]:
        named = self._model.named_parameters()
        return {name: parameter.grad for name, parameter in named if parameter.grad is not None}

    def _buffers(self) -> dict[str, Tensor]:
        return {name: buffer.clone() for name, buffer in self._model.named_buffers()}

    @torch.no_grad()
    def _restore(self, buffers: Mapping[str, Tensor]) -> None:
        for name, buffer in self._model.named_buffers():
            buffer.copy_(buffers[name])


def _draws(device: torch.device) -> Tensor:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def _restore_draws(device: torch.device, state: Tensor) -> None:
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)


def distance(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> float:
    """Return how far apart two sets of tensors are: the largest difference in parts of the second's norm."""
    if found.keys() != expected.keys():
        return float("inf")
    norms = torch.stack([one.double().norm() for one in expected.values()])
    apart = torch.stack([(found[name].double() - one.double()).norm() for name, one in expected.items()])
    return float((apart / norms.clamp_min(1e-3 * float(norms.max()))).max())
