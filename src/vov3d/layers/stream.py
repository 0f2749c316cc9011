"""Networks that are fed a few frames at a time, and what their layers keep of the frames before.

::

    clip      0 0 │ 1 2 3 4 5 6      zeros stand before the first frame
    stream    0 0 │ 1 2 3            a memory keeps 2 3, and stands before frame 4
                    2 3 │ 4 5 6

In a causal network the output at a frame depends on it and on those before it. What a layer needs of those before is in
its `Memory`, whose size does not grow. A network that is given clips keeps nothing. A `Stream` is a copy of the network
that shares its weights and keeps; its logits after each chunk of frames are those of the clip of all frames so far.

Axis legend: N clips or cameras, C channels, T frames, H rows, W columns, K classes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vov3d.errors import ArgumentError
from vov3d.layers.convolution import shifted_sum


class Memory(nn.Module):
    """What a causal layer keeps of the frames so far: buffers of N entries each, which are in no checkpoint.

    Entries of zeros are those of a camera that was not seen yet.

    Args:
        names: of the buffers; ``None`` until the first frame.

    Attributes:
        streaming: whether anything is kept.
    """

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.streaming = False
        for name in names:
            self.register_buffer(name, None, persistent=False)


class PastFrames(Memory):
    """Put the frames before a clip in front of it.

    Shape: ``[N, C, T, H, W] -> [N, C, num_frames + T, H, W]``

    Args:
        num_frames: how many.
    """

    frames: Tensor | None

    def __init__(self, num_frames: int) -> None:
        super().__init__("frames")
        self.num_frames = num_frames

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        if self.frames is None:
            joined = F.pad(clips, (0, 0, 0, 0, self.num_frames, 0))
        else:
            joined = torch.cat([self.frames, clips], dim=2)
        if self.streaming:
            self.frames = _own(joined[:, :, joined.shape[2] - self.num_frames :])
        return joined


class OverlapAdd(Memory):
    """Sum what the taps of a causal kernel give, each shifted to the frame that it counts for.

    What frames count for in later chunks is kept in place of the frames, so that no frame meets a tap twice.

    Shape: list of ``[N, C, T, H, W]``, the tap of the earliest frame first, ``-> [N, C, T, H, W]``
    """

    owed: Tensor | None

    def __init__(self) -> None:
        super().__init__("owed")

    def forward(self, taps: Sequence[Tensor]) -> Tensor:  # noqa: D102
        later = len(taps) - 1
        if not self.streaming:
            return shifted_sum(taps, later)
        num_frames = taps[later].shape[2]
        summed = shifted_sum([F.pad(tap, (0, 0, 0, 0, 0, later)) for tap in taps], later)
        if self.owed is not None:
            summed[:, :, :later] += self.owed
        self.owed = _own(summed[:, :, num_frames:])
        return _own(summed[:, :, :num_frames])


class MeanSoFar(Memory):
    """Average over the frames up to each one: the cumulative mean.

    Shape: ``[N, C, T, H, W] -> [N, C, T, H, W]``
    """

    mean: Tensor | None
    count: Tensor | None

    def __init__(self) -> None:
        super().__init__("mean", "count")

    def forward(self, frames: Tensor) -> Tensor:  # noqa: D102
        steps = torch.arange(1, frames.shape[2] + 1, device=frames.device).view(-1, 1, 1)
        if self.mean is None or self.count is None:
            means = frames.cumsum(2) / steps
            count = steps.new_zeros(frames.shape[0], 1, 1, 1, 1)
        else:
            count = self.count
            means = self.mean + (frames - self.mean).cumsum(2) / (count + steps)
        if self.streaming:
            self.mean, self.count = _own(means[:, :, -1:]), count + frames.shape[2]
        return means


class ClipMean(MeanSoFar):
    """Average over all positions of all frames so far.

    Shape: ``[N, C, T, H, W] -> [N, C, 1, 1, 1]``
    """

    def forward(self, features: Tensor) -> Tensor:  # noqa: D102
        if not self.streaming:
            return features.mean(dim=(2, 3, 4), keepdim=True)
        return super().forward(features.mean(dim=(3, 4), keepdim=True))[:, :, -1:]


class Stream:
    """A causal network in front of N cameras.

    ``stream(frames [N, 3, t, H, W]) -> logits [N, K]``, t frames of each camera at a time, with the network's weights.
    Memory and time for a frame do not depend on how many came before. Nothing is recorded for gradients.

    Args:
        network: a network of causal layers, in evaluation.

    Attributes:
        num_frames: ``[N]``, how many frames of each camera were seen; ``None`` before the first.

    Raises:
        ArgumentError: the network is in training mode.
    """

    def __init__(self, network: nn.Module) -> None:
        if network.training:
            raise ArgumentError("a network in training mode cannot stream: call eval() first")
        shared = {id(tensor): tensor for tensor in chain(network.parameters(), network.buffers())}
        self._network = copy.deepcopy(network, shared)
        for _, memory in self._memories():
            memory.streaming = True
        self.num_frames: Tensor | None = None
        self._pixels: tuple[int, int] = (0, 0)

    @torch.no_grad()
    def __call__(self, frames: Tensor) -> Tensor:
        """Return the logits of all frames so far.

        Shape: ``[N, 3, t, H, W] -> [N, K]`` for any t >= 1; N, H and W stay as they were in the first call.

        Raises:
            ArgumentError: the frames have another shape than those before.
        """
        if self.num_frames is not None and (len(frames), *frames.shape[3:]) != (len(self.num_frames), *self._pixels):
            rows, columns = self._pixels
            raise ArgumentError(
                f"frames have shape {list(frames.shape)}, but this stream began with {len(self.num_frames)} cameras of "
                f"{rows}x{columns} pixels; reset() begins anew"
            )
        before = self.state_dict()
        try:
            logits: Tensor = self._network(frames)
        except BaseException:
            self.load_state_dict(before)  # no frame counts in some layers only
            raise
        if self.num_frames is None:
            self.num_frames = torch.zeros(len(frames), dtype=torch.int64)
            self._pixels = (frames.shape[3], frames.shape[4])
        self.num_frames = self.num_frames + frames.shape[2]
        return logits

    def reset(self, cameras: Sequence[int] | None = None) -> None:
        """Forget all frames, or those of some cameras, which then begin anew beside the others.

        Raises:
            ArgumentError: there is no such camera.
        """
        if cameras is None:
            self.load_state_dict({})
            return
        known = 0 if self.num_frames is None else len(self.num_frames)
        if any(not 0 <= camera < known for camera in cameras):
            raise ArgumentError(f"cameras are {list(cameras)}; this stream has {known}, counted from 0")
        state, chosen = self.state_dict(), torch.tensor(list(cameras), dtype=torch.int64)
        for name in state.keys() - {"pixels"}:
            state[name] = state[name].index_fill(0, chosen.to(state[name].device), 0)
        self.load_state_dict(state)

    def state_dict(self) -> dict[str, Tensor]:
        """Return all that is remembered, by names that stay the same; nothing before the first frame."""
        if self.num_frames is None:
            return {}
        kept = {f"{name}.{key}": buffer for name, memory in self._memories() for key, buffer in memory.named_buffers()}
        return {"num_frames": self.num_frames, "pixels": torch.tensor(self._pixels), **kept}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Remember what a stream of the same network did.

        Raises:
            ArgumentError: the state is of another network.
        """
        places = {f"{name}.{key}": (memory, key) for name, memory in self._memories() for key in memory._buffers}
        wrong = sorted(set(state) ^ {"num_frames", "pixels", *places}) if state else []
        if wrong:
            raise ArgumentError(f"the state is of another network: {len(wrong)} entries differ, first {wrong[0]!r}")
        device = next(self._network.parameters()).device
        for name, (memory, key) in places.items():
            setattr(memory, key, state[name].to(device) if state else None)
        self.num_frames = state.get("num_frames")
        rows, columns = state["pixels"].tolist() if state else (0, 0)
        self._pixels = (rows, columns)

    def _memories(self) -> Iterator[tuple[str, Memory]]:
        for name, module in self._network.named_modules():
            if isinstance(module, Memory):
                yield name, module


def _own(frames: Tensor) -> Tensor:
    """Return a slice of frames in memory of its own, so that the rest can go."""
    return frames.clone(memory_format=torch.channels_last_3d)
