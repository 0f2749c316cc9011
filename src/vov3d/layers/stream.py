"""Networks that are fed a few frames at a time, and what their layers keep of the frames before.

::

    clip      0 0 │ 1 2 3 4 5 6      zeros stand before the first frame
    stream    0 0 │ 1 2 3            what 2 3 count for in 4 and 5 is kept
                          │ 4 5 6    and added there

In a causal network the output at a frame depends on it and on those before it. What a layer needs of those before is
what its `Memory` keeps, whose size does not grow. A network that is given clips keeps nothing. A `Stream` is a copy of
the network that shares its weights and keeps; its logits after each chunk of frames are those of the clip of all frames
so far.

Axis legend: N clips or cameras, C channels, T frames, H rows, W columns, K classes.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from itertools import chain

import torch
from torch import Tensor, nn

from vov3d.errors import ArgumentError
from vov3d.layers.shifted_sum import shifted_sum

NUM_FRAMES, PIXELS = "num_frames", "pixels"


class Past:
    """What the layers of one stream keep of the frames so far.

    Attributes:
        kept: tensors of N entries each, by name, and how many frames of each camera were seen; empty before the first.
            Nothing in it is ever changed: it is replaced as a whole, so that no frame counts in some layers only.
        coming: what takes its place once the whole network has seen the frames that it is given now.
        numbers: those of these frames, counted from 1, ``[N, 1, T, 1, 1]``.
    """

    def __init__(self) -> None:
        self.kept: dict[str, Tensor] = {}
        self.coming: dict[str, Tensor] = {}
        self.numbers = torch.zeros(0)

    def begin(self, frames: Tensor) -> None:
        """Expect frames ``[N, 3, T, H, W]``."""
        seen = self.kept.get(NUM_FRAMES)
        if seen is None:
            seen = torch.zeros(len(frames), dtype=torch.int64, device=frames.device)
        self.numbers = seen.view(-1, 1, 1, 1, 1) + numbered(frames)
        self.coming = {NUM_FRAMES: self.numbers[:, 0, -1, 0, 0].clone(), PIXELS: torch.tensor(frames.shape[3:])}

    def settle(self) -> None:
        """Remember what was kept of these frames."""
        self.kept = self.coming


def numbered(frames: Tensor) -> Tensor:
    """Return 1, 2, ... for the frames of a clip. Shape: ``[1, 1, T, 1, 1]``."""
    return torch.arange(1, frames.shape[2] + 1, device=frames.device).view(1, 1, -1, 1, 1)


class Memory(nn.Module):
    """A layer that keeps something of the frames so far, if it is part of a stream.

    Zeros are what is kept of a camera that was not seen yet.

    Args:
        names: of what is kept.

    Attributes:
        past: that of its stream; ``None`` in a network that is given clips.
    """

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.names = names
        self.prefix = ""
        self.past: Past | None = None

    def recall(self, name: str) -> Tensor | None:
        """Return what was kept under this name; ``None`` before the first frame and outside of a stream."""
        return None if self.past is None else self.past.kept.get(self.prefix + name)

    def keep(self, name: str, kept: Tensor) -> None:
        """Keep a tensor in memory of its own, which nobody changes any more."""
        if self.past is not None:
            self.past.coming[self.prefix + name] = kept

    def numbers(self, frames: Tensor) -> Tensor:
        """Return the numbers of these frames, from 1. Shape: ``[N, 1, T, 1, 1]``; N is 1 outside of a stream."""
        return numbered(frames) if self.past is None else self.past.numbers


class OverlapAdd(Memory):
    """Sum what the taps of a causal kernel give, each shifted to the frame that it counts for.

    What frames count for in later chunks is kept in place of the frames, so that no frame meets a tap twice.

    Shape: list of ``[N, C, T, H, W]``, the tap of the earliest frame first, ``-> [N, C, T, H, W]``; the taps are summed
    in place.

    Args:
        num_later: how many later frames a frame counts for: one less than there are taps.
    """

    def __init__(self, num_later: int) -> None:
        super().__init__(*(f"owed{frame}" for frame in range(num_later)))

    def forward(self, taps: Sequence[Tensor]) -> Tensor:  # noqa: D102
        later = len(self.names)
        num_frames = taps[later].shape[2]
        if self.past is None:
            return shifted_sum(taps, later)
        sums = list(reversed(taps)) if num_frames == 1 else _all_sums(taps)
        for name, summed in zip(self.names, sums, strict=False):
            owed = self.recall(name)
            if owed is not None:
                summed.add_(owed)
        if num_frames == 1:
            present, *coming = sums
        else:
            present = torch.cat(sums[:num_frames], dim=2)
            coming = [summed.clone(memory_format=torch.channels_last_3d) for summed in sums[num_frames:]]
        for name, owed in zip(self.names, coming, strict=True):
            self.keep(name, owed)
        return present


def _all_sums(taps: Sequence[Tensor]) -> list[Tensor]:
    """Return the sums at each frame of the taps, and at the later ones that they count for."""
    later, now = len(taps) - 1, taps[-1]
    batch, channels, num_frames, *pixels = now.shape
    summed = now.new_zeros(batch, channels, num_frames + later, *pixels)
    summed = summed.contiguous(memory_format=torch.channels_last_3d)
    for index, tap in enumerate(taps):
        summed[:, :, later - index : later - index + num_frames] += tap
    return list(summed.split(1, dim=2))


class MeanSoFar(Memory):
    """Average over the frames up to each one: the cumulative mean.

    A stream may be long, so what rounding adds to its mean is kept beside it and taken off the next time (Kahan).

    Shape: ``[N, C, T, H, W] -> [N, C, T, H, W]``
    """

    def __init__(self) -> None:
        super().__init__("mean", "rounding")

    def forward(self, frames: Tensor) -> Tensor:  # noqa: D102
        if self.past is None:
            return frames.cumsum(2) / self.numbers(frames)
        mean, rounding = self.recall("mean"), self.recall("rounding")
        if mean is None or rounding is None:
            mean = rounding = torch.zeros_like(frames[:, :, :1])
        apart = frames - mean
        if frames.shape[2] > 1:
            apart = apart.cumsum(2)
        change = apart / self.numbers(frames) - rounding
        means = mean + change
        latest, last_change = (means, change) if frames.shape[2] == 1 else (means[:, :, -1:].clone(), change[:, :, -1:])
        self.keep("mean", latest)
        self.keep("rounding", (latest - mean) - last_change)
        return means


class ClipMean(MeanSoFar):
    """Average over all positions of all frames so far.

    Shape: ``[N, C, T, H, W] -> [N, C, 1, 1, 1]``
    """

    def forward(self, features: Tensor) -> Tensor:  # noqa: D102
        if self.past is None:
            return features.mean(dim=(2, 3, 4), keepdim=True)
        return super().forward(features.mean(dim=(3, 4), keepdim=True))[:, :, -1:]


class Stream:
    """A causal network in front of N cameras.

    ``stream(frames [N, 3, t, H, W]) -> logits [N, K]``, t frames of each camera at a time, with the network's weights.
    Memory and time for a frame do not depend on how many came before. Nothing is recorded for gradients. It is for one
    thread at a time.

    Args:
        network: a network of causal layers, in evaluation.

    Raises:
        ArgumentError: the network, or a part of it, is in training mode.
    """

    def __init__(self, network: nn.Module) -> None:
        if any(module.training for module in network.modules()):
            raise ArgumentError("a network in training mode cannot stream: call eval() first")
        shared = {id(tensor): tensor for tensor in chain(network.parameters(), network.buffers())}
        self._network = copy.deepcopy(network, shared)
        self._past = Past()
        self._names = {NUM_FRAMES, PIXELS}
        for prefix, memory in self._network.named_modules():
            if isinstance(memory, Memory):
                memory.past, memory.prefix = self._past, f"{prefix}."
                self._names |= {memory.prefix + name for name in memory.names}

    @property
    def num_frames(self) -> Tensor | None:
        """``[N]``, how many frames of each camera were seen; ``None`` before the first."""
        return self._past.kept.get(NUM_FRAMES)

    def __call__(self, frames: Tensor) -> Tensor:
        """Return the logits of all frames so far.

        Shape: ``[N, 3, t, H, W] -> [N, K]`` for any t >= 1; N, H and W stay as they were in the first call.

        A call that fails leaves everything as it was.

        Raises:
            ArgumentError: these are no frames, or they have another shape than those before.
        """
        if not isinstance(frames, Tensor) or frames.dim() != 5 or 0 in frames.shape:
            given = f"shape {list(frames.shape)}" if isinstance(frames, Tensor) else f"type {type(frames).__name__}"
            raise ArgumentError(f"frames have {given}; a stream takes tensors [N, 3, t, H, W], t frames of N cameras")
        seen, kept = self.num_frames, self._past.kept
        if seen is not None and (len(frames), *frames.shape[3:]) != (len(seen), *kept[PIXELS].tolist()):
            rows, columns = kept[PIXELS].tolist()
            raise ArgumentError(
                f"frames have shape {list(frames.shape)}, but this stream began with {len(seen)} cameras of "
                f"{rows}x{columns} pixels; reset() begins anew"
            )
        with torch.inference_mode():
            self._past.begin(frames)
            logits: Tensor = self._network(frames)
            self._past.settle()
        return logits.clone()  # of inference mode it is no more

    def reset(self, cameras: Sequence[int] | None = None) -> None:
        """Forget all frames, or those of some cameras, which then begin anew beside the others.

        Raises:
            ArgumentError: there is no such camera.
        """
        if cameras is None:
            self._past.kept = {}
            return
        known = 0 if self.num_frames is None else len(self.num_frames)
        if not isinstance(cameras, Sequence) or any(type(one) is not int or not 0 <= one < known for one in cameras):
            raise ArgumentError(
                f"cameras are {cameras!r}; this stream has {known}, counted from 0: give a list of numbers"
            )
        chosen = torch.tensor(list(cameras), dtype=torch.int64)
        self._past.kept = {
            name: tensor if name == PIXELS else tensor.index_fill(0, chosen.to(tensor.device), 0)
            for name, tensor in self._past.kept.items()
        }

    def state_dict(self) -> dict[str, Tensor]:
        """Return a copy of all that is remembered, by names that stay the same; nothing before the first frame."""
        return {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in self._past.kept.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Remember what a stream of the same network did.

        Raises:
            ArgumentError: the state is of another network.
        """
        given = dict(state) if isinstance(state, Mapping) else {"": state}
        wrong = sorted(set(given) ^ self._names) if given else []
        if wrong:
            raise ArgumentError(f"the state is of another network: {len(wrong)} entries differ, first {wrong[0]!r}")
        cameras = len(given[NUM_FRAMES]) if given else 0
        torn = [name for name, tensor in given.items() if name != PIXELS and len(tensor) != cameras]
        if torn:
            raise ArgumentError(f"the state is torn: it is of {cameras} cameras, but {torn[0]!r} is not")
        device = next(self._network.parameters()).device
        self._past.kept = {
            name: _own(tensor, tensor.device if name == PIXELS else device) for name, tensor in given.items()
        }


def _own(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a copy in the memory format that frames have."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    return tensor.to(device, copy=True, memory_format=formats.get(tensor.dim(), torch.contiguous_format))
