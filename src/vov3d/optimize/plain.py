"""A network in the words that other runtimes know: plain 3D convolutions."""

from __future__ import annotations

import copy
import warnings

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vov3d.layers import Memory, SpatialMaxPool, pad_as_tensorflow
from vov3d.models import ClipClassifier
from vov3d.optimize.backend import Trunk


class PlainConv3d(nn.Module):
    """What one of our convolutions computes, as one 3D convolution.

    Shape: ``[N, C_in, T, H, W] -> [N, C_out, T', H', W']``

    Args:
        convolution: the convolution; causal ones have a `Memory`, and see zeros before the first frame.
    """

    def __init__(self, convolution: nn.Conv3d) -> None:
        super().__init__()
        self.convolution = convolution
        self.is_causal = any(isinstance(child, Memory) for child in convolution.children())
        self.pads_as_tensorflow = getattr(convolution, "pad", None) is pad_as_tensorflow

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        of = self.convolution
        frames, rows, columns = (int(size) for size in of.padding)
        if self.pads_as_tensorflow:
            images, (rows, columns) = pad_as_tensorflow(clips.flatten(1, 2), of.kernel_size[1], of.stride[1])
            clips = images.unflatten(1, clips.shape[1:3])
        if self.is_causal:
            clips, frames = F.pad(clips, (0, 0, 0, 0, of.kernel_size[0] - 1, 0)), 0
        return F.conv3d(clips, of.weight, of.bias, of.stride, (frames, rows, columns), groups=of.groups)


def plain_trunk(network: ClipClassifier) -> Trunk:
    """Return a copy of a network, up to the map that is pooled, with plain 3D convolutions and pools.

    It shares the parameters of the network and gives the same values.
    """
    shared: dict[int, object] = {id(one): one for one in (*network.parameters(), *network.buffers())}
    trunk = Trunk(copy.deepcopy(network, shared))
    for name, module in list(trunk.named_modules()):
        parent, _, leaf = name.rpartition(".")
        if isinstance(module, nn.Conv3d):
            setattr(trunk.get_submodule(parent), leaf, PlainConv3d(module))
        elif isinstance(module, SpatialMaxPool):
            setattr(trunk.get_submodule(parent), leaf, nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)))
    return trunk.eval()


def exported(network: ClipClassifier, example: Tensor) -> torch.export.ExportedProgram:
    """Return the graph of a plain trunk for any number of clips of the example's frames and pixels."""
    clips = example[:1].expand(2, *example.shape[1:])
    any_number = {"clips": {0: torch.export.Dim("clips", min=1, max=4096)}}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        return torch.export.export(plain_trunk(network), (clips,), dynamic_shapes=any_number)
