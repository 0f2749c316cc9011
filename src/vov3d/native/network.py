"""A lowered network as a function of clips."""

from __future__ import annotations

import weakref
from ctypes import POINTER, c_float, cast
from typing import Literal

import torch
from torch import Tensor

from vov3d.errors import ArgumentError
from vov3d.layers import ClipHead
from vov3d.models import X3D, VoV3D
from vov3d.models.clip_classifier import check_clips
from vov3d.native.library import load_library
from vov3d.native.lowering import Lowering

Precision = Literal["fp32", "bf16", "int8"]
BITS = {"fp32": 32, "bf16": 16, "int8": 8}


class NativeNetwork:
    """A VoV3D or X3D in inference, from clips to logits in the kernel; only the head after its pool is torch's.

    The weights are copied: what happens to the model later does not matter. Any number of clips of any size.

    Shape: ``[N, 3, T, H, W] -> [N, K]``, float32

    Args:
        model: the network, in evaluation.
        precision: what products are computed in.
        num_threads: threads that work on a call; none waits between calls.
    """

    def __init__(self, model: VoV3D | X3D, precision: Precision, num_threads: int) -> None:
        self._library = load_library()
        self._network: int = self._library.vov3d_new(BITS[precision])
        weakref.finalize(self, self._library.vov3d_delete, self._network)
        Lowering(self._library, self._network).add_network(model)
        assert isinstance(model.head, ClipHead)
        self._channels = model.head.expand.conv.out_channels
        self._head = model.head
        self.num_threads = num_threads

    def __call__(self, clips: Tensor) -> Tensor:
        """Return the logits."""
        with torch.inference_mode():
            pooled = self.features(clips).mean(dim=(2, 3, 4), keepdim=True)
            logits: Tensor = self._head.classifier(self._head.after_pool(pooled).flatten(1))
        return logits

    def position_logits(self, clips: Tensor, window: tuple[int, int, int] = (16, 7, 7)) -> Tensor:
        """Return the logits at every position of the head's window, as `ClipClassifier.position_logits` does.

        Shape: ``[N, 3, T, H, W] -> [N, P, K]``

        Args:
            clips: the clips.
            window: frames, rows and columns in cells of the feature map.
        """
        with torch.inference_mode():
            return self._head.classify_positions(self.features(clips), window)

    def features(self, clips: Tensor) -> Tensor:
        """Return what the head pools. Shape: ``[N, 3, T, H, W] -> [N, C, T, ceil(H/32), ceil(W/32)]``.

        Raises:
            ArgumentError: these are no clips, or memory does not suffice.
        """
        check_clips(clips)
        clips = clips.detach().to("cpu", torch.float32).contiguous()
        num_clips, _, frames, rows, columns = clips.shape
        features = torch.empty(num_clips, frames, -(-rows // 32), -(-columns // 32), self._channels)
        failed = self._library.vov3d_run(
            *(self._network, _pointer(clips), num_clips, frames, rows, columns, _pointer(features), self.num_threads)
        )
        if failed:
            raise ArgumentError(f"no memory for a clip of {frames}x{rows}x{columns} on {self.num_threads} threads")
        return features.movedim(-1, 1)


def _pointer(values: Tensor) -> object:
    return cast(values.data_ptr(), POINTER(c_float))
