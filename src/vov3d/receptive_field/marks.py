"""What each feature map can see of the frames, found by marking frames and looking where the marks come out.

A mark is NaN: whatever is computed from it is NaN too, be it multiplied by zero, cut off by a ReLU or weighed against
others, so that what is found depends on the network alone and not on its weights. A mean over all frames, as in
squeeze-and-excitation, would carry every mark everywhere; here such means are numbers that do not depend on the frames,
and what is found is the local field, of kernels, shifts and pooling.

One marked frame shows all positions that see it. The network is the same everywhere in time, in steps of its temporal
stride, so that this turned round is what one position sees.

Marks are all that is computed: a convolution over all channels gives each of its channels the same marks, so that they
are found once and these channels are one in memory, with a stride of 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from vov3d.models import ClipClassifier
from vov3d.receptive_field.hooks import hooked

CROP = 32  # pixels; time does not depend on them
CLIP_FRAMES = (128, 256, 512)  # the next where a field is longer; longer than all is the whole clip
LARGEST_STRIDE = 16  # of feature maps over time; what has fewer positions is a summary of the clip

_Maps = tuple[list[Tensor], list[Tensor]]  # which positions see each marked frame, [S, T'], of inputs and outputs


@dataclass(frozen=True)
class Span:
    """What a position of a feature map sees of the frames.

    Attributes:
        stride: frames from one position to the next.
        first: the first frame seen, counted from the one that the position stands for; ``None`` for any frame.
        last: the last frame seen, likewise.
    """

    stride: int
    first: int | None
    last: int | None

    @property
    def extent(self) -> int | None:
        """Frames from the first to the last, both counted; ``None`` for the whole clip."""
        return None if self.first is None or self.last is None else self.last - self.first + 1


@dataclass(frozen=True)
class Seen:
    """What a module is given, and what it makes of it; ``None`` where that is no feature map over time."""

    given: Span | None
    made: Span | None


def find_spans(model: ClipClassifier) -> dict[str, Seen]:
    """Return what each module of stem and stages sees, by name, in the order in which they are done.

    Args:
        model: the network; its mode is restored.
    """
    shortest = CLIP_FRAMES[0]
    strides = {
        shortest // mask.shape[1] for maps in _run(model, shortest, [0]).values() for mask in (*maps[0], *maps[1])
    }
    period = math.lcm(*strides)
    spans: dict[str, Seen] = {}
    for num_frames in CLIP_FRAMES:
        middle = num_frames // 2 // period * period
        maps = _run(model, num_frames, range(middle, middle + period))
        spans = {name: Seen(*(_span(masks, num_frames, middle) for masks in both)) for name, both in maps.items()}
        if all(span is None or span.extent is not None for seen in spans.values() for span in (seen.given, seen.made)):
            break
    return spans


def _span(masks: Sequence[Tensor], num_frames: int, middle: int) -> Span | None:
    """Return what a position of these feature maps sees; they are several where a network has several pathways."""
    strides = [num_frames // mask.shape[1] for mask in masks]
    if any(mask[:, 0].any() or mask[:, -1].any() for mask in masks):
        return Span(max(strides), None, None)
    offsets = []
    for mask, stride in zip(masks, strides, strict=True):
        frames, positions = mask.nonzero(as_tuple=True)
        offsets += (middle + frames - stride * positions).tolist()
    return Span(max(strides), min(offsets), max(offsets)) if offsets else None


@torch.no_grad()
def _run(model: ClipClassifier, num_frames: int, marked: Sequence[int]) -> dict[str, _Maps]:
    """Let the network see one clip for each marked frame, and return where the marks come out."""
    clips = torch.zeros(len(marked), 3, num_frames, CROP, CROP)
    for clip, frame in zip(clips, marked, strict=True):
        clip[:, frame] = math.nan
    found: dict[str, _Maps] = {}

    def hook(name: str, inputs: object, output: object) -> None:
        found[name] = (_masks(inputs, num_frames), _masks(output, num_frames))

    was_training = model.training
    with hooked(model, hook), _MarksAlone():
        model.eval().forward_features(clips.to(model.dtype))
    model.train(was_training)
    return found


def _masks(value: object, num_frames: int) -> list[Tensor]:
    """Return where marks are in each feature map over time among the inputs or outputs of a module, [S, T']."""
    if isinstance(value, (tuple, list)):
        return [mask for part in value for mask in _masks(part, num_frames)]
    if not isinstance(value, Tensor) or value.dim() != 5:
        return []
    positions = value.shape[2]
    if num_frames % positions or num_frames // positions > LARGEST_STRIDE:
        return []
    return [_once(value).sum((1, 3, 4)).isnan()]


class _MarksAlone(TorchFunctionMode):
    """Convolutions pass marks on; means over all frames, or over those so far, are numbers that no mark gets into."""

    def __torch_function__(
        self, func: object, types: object, args: tuple[object, ...] = (), kwargs: dict[str, object] | None = None
    ) -> object:
        if func in _CONVOLUTIONS:
            return _convolved(func, *args, **(kwargs or {}))  # type: ignore[arg-type]
        clips = args[0] if args else None
        if func in _ELEMENTWISE:
            return clips
        if func in _SUMS and all(isinstance(one, Tensor) and _is_once(one) for one in args):
            one, other = args
            return (_once(one) + _once(other)).expand_as(one)  # type: ignore[arg-type]
        result = func(*args, **(kwargs or {}))  # type: ignore[operator]
        if isinstance(clips, Tensor) and clips.dim() == 5 and isinstance(result, Tensor):
            is_mean = func in (Tensor.mean, torch.mean, F.adaptive_avg_pool3d) and (
                result.dim() < 5 or result.shape[2] < clips.shape[2]
            )
            if is_mean or func in (Tensor.cumsum, torch.cumsum):
                return result.nan_to_num()
        return result


_CONVOLUTIONS = (torch.conv1d, torch.conv2d, torch.conv3d)
_ELEMENTWISE = (F.batch_norm, F.relu, F.silu, F.hardswish)  # a mark stays one, and nothing becomes one
_SUMS = (torch.add, Tensor.add, Tensor.__add__)


def _is_once(maps: Tensor) -> bool:
    """Whether all channels are one in memory."""
    return maps.dim() > 2 and maps.stride(1) == 0


def _once(maps: Tensor) -> Tensor:
    """Return one of the channels where all are one in memory, else all."""
    return maps[:, :1] if _is_once(maps) else maps


def _convolved(  # noqa: PLR0917  # in the order in which torch has them
    convolve: Callable[..., Tensor],
    maps: Tensor,
    weight: Tensor,
    _bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """Return zeros with a mark wherever a window has one, whatever the weights."""
    marks, parts = _once(maps).isnan(), 1 if _is_once(maps) else groups
    marks = marks.unflatten(1, (parts, -1)).any(2).to(maps.dtype)
    kernel = torch.ones(parts, 1, *weight.shape[2:], dtype=maps.dtype)
    marked = convolve(marks, kernel, None, stride, padding, dilation, parts) > 0
    found = torch.zeros_like(marked, dtype=maps.dtype).masked_fill_(marked, math.nan)
    if groups == 1:
        return found.expand(-1, len(weight), *found.shape[2:])
    return found.repeat_interleave(len(weight) // parts, 1)  # each in its place: what the taps give is added up there
