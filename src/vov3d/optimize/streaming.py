"""A causal network that is shown one frame at a time: a frame is an image, and each layer sees one of two dimensions.

A frame has a sixteenth of the arithmetic of a clip of 16 and as many layers, so that most of its time is in calling
operators and in what they do before they compute. Here norms are folded, no tensor has an axis of frames, what
stands in a row is called in a row, and convolutions are prepared once.

Axis legend: N cameras, H rows, W columns, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vov3d.errors import ArgumentError
from vov3d.layers import (
    Bottleneck,
    CausalDenseConv3d,
    CausalDepthwiseConv3d,
    CausalSqueezeExcitation,
    CausalTemporalConv3d,
    ClipMean,
    ConvNorm,
    D1Plus2D,
    D2Plus1D,
    R2Plus1D,
    Residual,
    SpatialConv3d,
    Stem,
    Stream,
)
from vov3d.models import X3D, ClipClassifier, VoV3D
from vov3d.models.clip_classifier import check_clips
from vov3d.optimize.folding import folded
from vov3d.optimize.image_layers import (
    Chain,
    ConvolvedTaps,
    ImageConv,
    ImageGate,
    ImageResidual,
    PooledImages,
    ScaledTaps,
)


def fast_stream(model: ClipClassifier) -> Stream:
    """Return a stream in which a frame costs less than in ``model.stream()``, with weights of its own.

    Its logits are the same up to rounding. What it remembers is its own: a state goes on in a stream that was made here
    too. Frames that come together are computed one by one. Other networks than VoV3D and X3D are folded, and no more.

    Args:
        model: a causal network, in evaluation mode; it is not changed.

    Raises:
        ArgumentError: the network is not causal, or in training mode.
    """
    model.stream()  # raises what it raises
    network = folded(model)
    if type(network) in (VoV3D, X3D) and next(network.parameters()).device.type != "mps":  # that has no float64
        return FrameStream(FrameNetwork(network))
    return network.stream()


class FrameStream(Stream):
    """A stream that shows its network one frame after the other."""

    def __call__(self, frames: Tensor) -> Tensor:  # noqa: D102
        if frames.dim() != 5 or frames.shape[2] == 1:
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
    """A folded causal VoV3D or X3D for one frame.

    Shape: ``[N, 3, 1, H, W] -> [N, K]``

    Args:
        network: whose layers it takes over.
    """

    def __init__(self, network: ClipClassifier) -> None:
        super().__init__()
        self.dtype = network.dtype
        self.trunk = Chain([on_images(network.stem), on_images(network.stages)])
        self.head = on_images(network.head)
        self.eval()

    def forward(self, frames: Tensor) -> Tensor:  # noqa: D102
        check_clips(frames)
        if frames.dtype != self.dtype or torch.is_autocast_enabled(frames.device.type):
            raise ArgumentError(
                f"frames are {frames.dtype}, the network {self.dtype}; give frames.to(model.dtype), without autocast"
            )
        images = frames.squeeze(2).contiguous(memory_format=torch.channels_last)
        logits: Tensor = self.head(self.trunk(images))
        return logits


def on_images(module: nn.Module) -> nn.Module:
    """Return what computes of an image what a folded module computes of a clip of one frame; the module is used up."""
    images: nn.Module = module
    match module:
        case SpatialConv3d():
            images = ImageConv(module.weight.squeeze(2), module.bias, stride=module.stride[1], groups=module.groups)
        case CausalTemporalConv3d() if module.groups == module.in_channels == module.out_channels:
            images = ScaledTaps(module)
        case CausalTemporalConv3d() | CausalDepthwiseConv3d() | CausalDenseConv3d():
            images = ConvolvedTaps(module)
        case CausalSqueezeExcitation():
            images = ImageGate(module)
        case ClipMean():
            images = PooledImages()
        case nn.AvgPool3d():
            images = nn.AvgPool2d(module.kernel_size[1], ceil_mode=module.ceil_mode)  # type: ignore[index]
        case Residual(shortcut=nn.Module() as shortcut):
            images = ImageResidual(on_images(module.branch), on_images(shortcut))
        case Residual():
            images = _in_a_row(on_images(module.branch), module.relu)
        case Stem() | ConvNorm() | Bottleneck() | D2Plus1D() | D1Plus2D() | R2Plus1D() | nn.Sequential():
            images = _in_a_row(*map(on_images, module.children()))  # children are in data order
        case _:
            for name, child in list(module.named_children()):
                setattr(module, name, on_images(child))
    return images


def _in_a_row(*modules: nn.Module) -> nn.Module:
    chain = Chain(modules)
    return chain.steps[0] if len(chain.steps) == 1 else chain
