"""Back end ``torch``: the folded network as it stands, on channels-last memory; oneDNN does the work.

Torch hands weights to oneDNN as they lie and has them laid out anew at each call, which takes as long as a small
convolution does. Here that happens once.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from vov3d.models import ClipClassifier
from vov3d.optimize.backend import Backend, Compiled, Job, Precision, Trunk

Pair = int | Sequence[int]


class LaidOut(TorchFunctionMode):
    """Lets 2D convolutions use weights that were laid out when their input was seen for the first time."""

    def __init__(self) -> None:
        super().__init__()
        self.weights: dict[tuple[object, ...], Tensor] = {}

    def __torch_function__(
        self,
        function: Callable[..., Any],
        _types: object,
        arguments: tuple[Any, ...] = (),
        options: Mapping[str, Any] | None = None,
    ) -> Any:
        """Take the place of ``conv2d``."""
        call = self.conv2d if function is torch.conv2d else function
        return call(*arguments, **(options or {}))

    def conv2d(  # noqa: PLR0917  these are torch's
        self,
        images: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Pair = 1,
        padding: Pair = 0,
        dilation: Pair = 1,
        groups: int = 1,
    ) -> Tensor:
        """Return what ``torch.conv2d`` does."""
        place = (_pair(padding), _pair(stride), _pair(dilation), groups)
        known = (weight.data_ptr(), images.shape, *map(str, place))
        if known not in self.weights:
            laid_out = torch.ops.mkldnn._reorder_convolution_weight(weight.contiguous(), *place, list(images.shape))
            self.weights[known] = laid_out
        convolve = torch.ops.mkldnn._convolution_pointwise
        convolved: Tensor = convolve(images, self.weights[known], bias, *place, "none", [], "")
        return convolved


def refuses(_model: ClipClassifier, precision: Precision) -> str | None:
    """Say what it cannot do."""
    return "it has no int8 convolutions of videos" if precision == "int8" else None


def compile_trunk(job: Job) -> Compiled:
    """Return the folded trunk, in bf16 if so wanted."""
    dtype = torch.bfloat16 if job.precision == "bf16" else torch.float32
    trunk = Trunk(copy.deepcopy(job.folded)).to(dtype)
    if not torch.backends.mkldnn.is_available():
        return lambda clips: trunk(clips.to(dtype)).float()
    laid_out, num_clips = LaidOut(), 0

    def run(clips: Tensor) -> Tensor:
        nonlocal num_clips
        if len(clips) != num_clips:
            laid_out.weights.clear()
            num_clips = len(clips)
        with laid_out:
            maps: Tensor = trunk(clips.to(dtype))
        return maps.float()

    return run


def _pair(size: Pair) -> list[int]:
    return [size, size] if isinstance(size, int) else list(size)


BACKEND = Backend("torch", refuses, compile_trunk, threads_of_torch=True)
