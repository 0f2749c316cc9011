"""A lowered network as a function of clips."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from ctypes import Array, c_double
from typing import Literal, NoReturn

import torch
from torch import Tensor

from vov3d.errors import ArgumentError
from vov3d.layers import ClipHead
from vov3d.models import X3D, VoV3D
from vov3d.models.clip_classifier import check_clips
from vov3d.native.int8_lowering import Int8Lowering
from vov3d.native.library import load_library
from vov3d.native.lowering import Lowering, pointer
from vov3d.native.quantisation import observe

Precision = Literal["fp32", "bf16", "int8"]
BITS = {"fp32": 32, "bf16": 16}


class NativeNetwork:
    """A VoV3D or X3D in inference, from clips to the map that its head pools.

    The weights are copied: what happens to the model later does not matter. Any number of clips of any size.

    Shape: ``[N, 3, T, H, W] -> [N, C, T, ceil(H/32), ceil(W/32)]``, float32

    Args:
        model: the network, in evaluation.
        precision: what products are computed in.
        num_threads: threads that work on a call; none waits between calls.
        calibration: clips that show what values to expect, for "int8".

    Raises:
        ArgumentError: "int8" without calibration clips, or they give values that are not finite.
    """

    def __init__(
        self, model: VoV3D | X3D, precision: Precision, num_threads: int, calibration: Sequence[Tensor] = ()
    ) -> None:
        self._library = load_library()
        new = getattr(self._library, "vov3d_int8_new", None) if precision == "int8" else self._library.vov3d_new
        made = None if new is None else new(*([] if precision == "int8" else [BITS[precision]]))
        if made is None:
            raise ArgumentError(
                f"the compiler does not know this processor's instructions for {precision}; use a newer one"
            )
        self._network: int = made
        weakref.finalize(self, self._library.vov3d_delete, self._network)
        lowering = self._lowering(model, calibration) if precision == "int8" else Lowering(self._library, self._network)
        lowering.add_network(model)
        assert isinstance(model.head, ClipHead)
        self._channels = model.head.expand.conv.out_channels
        self.num_threads = num_threads
        self.steps = tuple(lowering.steps)

    def __reduce__(self) -> NoReturn:
        raise ArgumentError("a compiled network lives in its process alone; save the network and compile it anew")

    def _lowering(self, model: VoV3D | X3D, calibration: Sequence[Tensor]) -> Int8Lowering:
        seen = observe(model, calibration)
        bounds = min(float(clips.min()) for clips in calibration), max(float(clips.max()) for clips in calibration)
        return Int8Lowering(self._library, self._network, seen, bounds)

    def __call__(self, clips: Tensor) -> Tensor:
        """Return what the head pools.

        Raises:
            ArgumentError: these are no clips, or memory does not suffice.
        """
        return self._run(clips, None)

    def profile(self, clips: Tensor) -> dict[str, float]:
        """Return the CPU milliseconds of each step on one thread, by the name of the module that it computes."""
        seconds = (c_double * len(self.steps))()
        self._run(clips, seconds)
        milliseconds = dict.fromkeys(self.steps, 0.0)
        for name, value in zip(self.steps, seconds, strict=True):
            milliseconds[name] += 1000 * value
        return milliseconds

    def _run(self, clips: Tensor, seconds: Array[c_double] | None) -> Tensor:
        check_clips(clips)
        clips = clips.detach().to("cpu", torch.float32).contiguous()
        num_clips, _, frames, rows, columns = clips.shape
        shape = num_clips, frames, -(-rows // 32), -(-columns // 32), self._channels
        features = torch.empty(shape, dtype=torch.float32, device="cpu")
        failed = self._library.vov3d_run(
            *(self._network, pointer(clips), num_clips, frames, rows, columns, pointer(features), self.num_threads),
            seconds,
        )
        if failed:
            raise ArgumentError(f"no memory for a clip of {frames}x{rows}x{columns} on {self.num_threads} threads")
        return features.movedim(-1, 1)
