"""A causal network that is shown one frame at a time: a frame is an image, and each layer sees one of two dimensions.

A frame has a sixteenth of the arithmetic of a clip and as many layers, so that most of its time is in calling operators
and in what they do before they compute. Here norms are folded, no tensor has an axis of frames but what is remembered,
and convolutions are prepared when their first image is seen.

Axis legend: N cameras, C channels, H rows, W columns, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vov3d.layers import (
    Bottleneck,
    CausalDenseConv3d,
    CausalDepthwiseConv3d,
    CausalSqueezeExcitation,
    CausalTemporalConv3d,
    ClipMean,
    ConvNorm,
    MeanSoFar,
    Memory,
    SpatialConv3d,
    Stream,
)
from vov3d.models import X3D, ClipClassifier, VoV3D
from vov3d.models.clip_classifier import check_clips, check_dtype
from vov3d.optimize.folding import folded

Activation = Literal["none", "relu"]

SMALL_PRODUCT = 1_000_000
"""Multiply-adds up to which a matrix product takes less time than oneDNN needs to begin."""


def fast_stream(model: ClipClassifier) -> Stream:
    """Return a stream in which a frame costs less than in ``model.stream()``; with weights of its own.

    Its logits are the same up to rounding, and so is what it remembers: either goes on from the other's state. Frames
    that come together are computed one by one. Networks other than VoV3D and X3D are folded, and stay as they are else.

    Args:
        model: a causal network, in evaluation mode; it is not changed.

    Raises:
        ArgumentError: the network is not causal, or in training mode.
    """
    model.stream()  # raises what it raises
    network = folded(model)
    return FrameStream(FrameNetwork(network)) if isinstance(network, VoV3D | X3D) else network.stream()


class FrameStream(Stream):
    """A stream that shows its network one frame after the other."""

    def __call__(self, frames: Tensor) -> Tensor:  # noqa: D102
        if frames.dim() != 5 or frames.shape[2] <= 1:
            return super().__call__(frames)
        before = self._past.kept
        try:
            for frame in frames.split(1, dim=2):
                logits = super().__call__(frame)
        except BaseException:
            self._past.kept = before
            raise
        return logits


class FrameNetwork(nn.Module):
    """The layers of a folded causal VoV3D or X3D, which are taken over, for one frame.

    Shape: ``[N, 3, 1, H, W] -> [N, K]``

    Args:
        network: of layers that `on_images` knows.
    """

    def __init__(self, network: ClipClassifier) -> None:
        super().__init__()
        self.dtype = network.dtype
        self.stem = on_images(network.stem)
        self.stages = on_images(network.stages)
        self.head = on_images(network.head)
        self.eval()

    def forward(self, frames: Tensor) -> Tensor:  # noqa: D102
        check_clips(frames)
        check_dtype(frames, self.dtype)
        images = frames.squeeze(2).contiguous(memory_format=torch.channels_last)
        logits: Tensor = self.head(self.stages(self.stem(images)))
        return logits


def on_images(module: nn.Module) -> nn.Module:
    """Return what computes of an image what a module computes of a clip of one frame; the module is used up."""
    match module:
        case SpatialConv3d():
            return ImageConv(module.weight.squeeze(2), module.bias, stride=module.stride[1], groups=module.groups)
        case CausalTemporalConv3d() if module.groups == module.in_channels == module.out_channels:
            return ScaledTaps(module)
        case CausalTemporalConv3d() | CausalDepthwiseConv3d() | CausalDenseConv3d():
            return ConvolvedTaps(module)
        case CausalSqueezeExcitation():
            return ImageGate(module)
        case ClipMean():
            return MeanOfImages()
        case nn.AvgPool3d():
            return nn.AvgPool2d(module.kernel_size[1:], ceil_mode=module.ceil_mode)  # type: ignore[index]
    for name, child in list(module.named_children()):
        setattr(module, name, on_images(child))
    if isinstance(module, ConvNorm) and isinstance(module.norm, nn.Identity):
        return module.conv
    if isinstance(module, Bottleneck) and isinstance(module.expand, ImageConv):
        module.expand.activation, module.relu = "relu", nn.Identity()
    return module


class ImageConv(nn.Module):
    """A 2D convolution that pads evenly, and an activation: a matrix product, or oneDNN's with weights laid out once.

    Shape: ``[N, C_in, H, W] -> [N, C_out, ceil(H/stride), ceil(W/stride)]``

    Args:
        weight: ``[C_out, C_in/groups, k, k]``
        bias: ``[C_out]``
        stride: in pixels.
        groups: of channels.
        activation: what follows.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor | None, *, stride: int = 1, groups: int = 1, activation: Activation = "none"
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.contiguous(), requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
        self.stride, self.padding, self.groups = stride, weight.shape[2] // 2, groups
        self.activation = activation
        self.seen: torch.Size | None = None
        self.convolve: Callable[[Tensor], Tensor] | None = None

    def forward(self, images: Tensor) -> Tensor:  # noqa: D102
        if self.convolve is None or images.shape != self.seen:
            self.seen, self.convolve = images.shape, self._prepared(images)
        return self.convolve(images)

    def _prepared(self, images: Tensor) -> Callable[[Tensor], Tensor]:
        """Choose the way that suits images of this shape; attributes of a module take time to look up."""
        weight, bias, rectifies = self.weight, self.bias, self.activation == "relu"
        if self._is_small(images):
            matrix = weight.flatten(1)

            def multiply(images: Tensor) -> Tensor:
                product = F.linear(images.permute(0, 2, 3, 1), matrix, bias)
                return (product.relu_() if rectifies else product).permute(0, 3, 1, 2)

            return multiply
        padding, stride, groups = [self.padding] * 2, [self.stride] * 2, self.groups
        if images.device.type != "cpu" or images.dtype != torch.float32 or not torch.backends.mkldnn.is_available():

            def convolve(images: Tensor) -> Tensor:
                convolved = F.conv2d(images, weight, bias, stride, padding, groups=groups)
                return convolved.relu_() if rectifies else convolved

            return convolve
        place, by_onednn = (padding, stride, [1, 1], groups), torch.ops.mkldnn._convolution_pointwise.default
        laid_out = torch.ops.mkldnn._reorder_convolution_weight(weight, *place, list(images.shape))
        arguments = (laid_out, bias, *place, self.activation, [], "")
        return lambda images: by_onednn(images, *arguments)

    def _is_small(self, images: Tensor) -> bool:
        out_channels, in_channels, size, _ = self.weight.shape
        positions = len(images) * images.shape[2:].numel()
        if size > 1 or self.stride > 1 or self.groups > 1:
            return False
        return positions == 1 or (out_channels > 8 and positions * in_channels * out_channels <= SMALL_PRODUCT)


class ScaledTaps(Memory):
    """A depthwise convolution over time: each of the last frames times a factor for each channel.

    The frames are kept as they are, which moves less memory than to write what they count for later.

    Shape: ``[N, C, H, W] -> [N, C, H, W]``; nobody may change the input.

    Args:
        convolution: whose parameters it takes over.
    """

    def __init__(self, convolution: CausalTemporalConv3d) -> None:
        super().__init__(*(f"frame{ago}" for ago in range(1, convolution.kernel_size[0])))
        self.weight = convolution.weight
        self.bias = convolution.bias
        self.width = 0
        self.factors: list[Tensor] = []
        self.shift: Tensor | None = None

    def forward(self, images: Tensor) -> Tensor:  # noqa: D102
        if images.shape[3] != self.width:
            self.width = images.shape[3]
            self.factors = [self._row(tap) for tap in reversed(self.weight[:, 0, :, 0, 0].unbind(1))]
            self.shift = None if self.bias is None else self._row(self.bias)
        present, *past = self.factors
        summed = images * present if self.shift is None else torch.addcmul(self.shift, images, present)
        latest = images
        for name, factor in zip(self.names, past, strict=True):
            before = self.recall(name)
            self.keep(name, latest)
            if before is None:
                before = torch.zeros_like(images)
            summed.addcmul_(before, factor)
            latest = before
        return summed

    def _row(self, channels: Tensor) -> Tensor:
        """[C] -> [1,C,1,W] in channels-last memory, which is quicker to go through than one pixel again and again."""
        return channels.expand(1, 1, self.width, -1).contiguous().permute(0, 3, 1, 2)


class ConvolvedTaps(nn.Module):
    """Any other convolution over time: a convolution of the image for each tap.

    Shape: ``[N, C_in, H, W] -> [N, C_out, ceil(H/stride), ceil(W/stride)]``

    Args:
        convolution: whose memory it takes over, and a copy of the parameters.
    """

    def __init__(self, convolution: CausalTemporalConv3d | CausalDepthwiseConv3d | CausalDenseConv3d) -> None:
        super().__init__()
        *past, present = convolution.weight.unbind(2)
        options = {"stride": convolution.stride[1], "groups": convolution.groups}
        self.taps = nn.ModuleList(ImageConv(tap, None, **options) for tap in past)
        self.taps.append(ImageConv(present, convolution.bias, **options))
        self.overlap_add = convolution.overlap_add

    def forward(self, images: Tensor) -> Tensor:  # noqa: D102
        summed: Tensor = self.overlap_add([tap(images).unsqueeze(2) for tap in self.taps])
        return summed.squeeze(2)


class ImageGate(nn.Module):
    """`CausalSqueezeExcitation`; it changes its input in place.

    Shape: ``[N, C, H, W] -> [N, C, H, W]``

    Args:
        gate: whose parameters and memory it takes over.
    """

    def __init__(self, gate: CausalSqueezeExcitation) -> None:
        super().__init__()
        self.so_far = MeanOfImages()
        self.fc1, self.activation, self.fc2, self.gate = gate.fc1, gate.activation, gate.fc2, gate.gate

    def forward(self, images: Tensor) -> Tensor:  # noqa: D102
        hidden = self.activation(F.linear(self.so_far(images).flatten(1), self.fc1.weight.flatten(1), self.fc1.bias))
        gates: Tensor = self.gate(F.linear(hidden, self.fc2.weight.flatten(1), self.fc2.bias))
        return images.mul_(gates.unsqueeze(2).unsqueeze(3))


class MeanOfImages(MeanSoFar):
    """Average over all positions of all frames so far.

    Shape: ``[N, C, H, W] -> [N, C, 1, 1]``
    """

    def forward(self, images: Tensor) -> Tensor:  # noqa: D102
        return super().forward(images.mean((2, 3), keepdim=True).unsqueeze(2)).squeeze(2)
