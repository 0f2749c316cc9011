"""Layers that see one frame at a time, which is an image, and what they remember of those before.

Convolutions are prepared when they see their first image. Memory is channels-last.

Axis legend: N cameras, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vov3d.layers import (
    CausalDenseConv3d,
    CausalDepthwiseConv3d,
    CausalSqueezeExcitation,
    CausalTemporalConv3d,
    Memory,
)

SMALL_PRODUCT = 800_000
"""Multiply-adds up to which torch's matrix product takes less time than oneDNN needs to begin."""


class ImageConv(nn.Module):
    """A 2D convolution that pads evenly, and ReLU if so wanted.

    Shape: ``[N, C_in, H, W] -> [N, C_out, ceil(H/stride), ceil(W/stride)]``

    Args:
        weight: ``[C_out, C_in/groups, k, k]``
        bias: ``[C_out]``
        stride: in pixels.
        groups: of channels.

    Attributes:
        rectifies: whether ReLU follows.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, *, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.contiguous(), requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
        self.stride, self.padding, self.groups = stride, weight.shape[2] // 2, groups
        self.rectifies = False
        self.seen: torch.Size | None = None
        self.compute: Callable[[Tensor], Tensor] | None = None

    def forward(self, images: Tensor) -> Tensor:  # noqa: D102
        if self.compute is None or images.shape != self.seen:
            self.seen, self.compute = images.shape, self._prepared(images)
        return self.compute(images)

    def _prepared(self, images: Tensor) -> Callable[[Tensor], Tensor]:
        """Return the quickest way for images of this shape."""
        by_onednn = torch.backends.mkldnn.is_available() and images.device.type == "cpu"
        by_onednn &= images.dtype == torch.float32
        if self.weight.shape[2] == self.stride == self.groups == 1:
            num_positions, matrix = len(images) * images.shape[2:].numel(), self.weight.flatten(1)
            is_small = num_positions == 1 or num_positions * matrix.numel() <= SMALL_PRODUCT
            if by_onednn and not (is_small and len(matrix) > 8):  # torch's is slow at 8 channels
                return self._product_by_onednn(matrix, num_positions)
            return self._product(matrix)
        return self._convolution_by_onednn(images.shape) if by_onednn else self._convolution()

    def _product(self, matrix: Tensor) -> Callable[[Tensor], Tensor]:
        bias, rectifies = self.bias, self.rectifies

        def compute(images: Tensor) -> Tensor:
            product = F.linear(images.permute(0, 2, 3, 1), matrix, bias)
            return (product.relu_() if rectifies else product).permute(0, 3, 1, 2)

        return compute

    def _product_by_onednn(self, matrix: Tensor, num_positions: int) -> Callable[[Tensor], Tensor]:
        multiply = torch.ops.mkldnn._linear_pointwise.default
        laid_out = torch.ops.mkldnn._reorder_linear_weight(matrix, num_positions)
        arguments: tuple[object, ...] = laid_out, self.bias, "relu" if self.rectifies else "none", [], ""
        return lambda images: multiply(images.permute(0, 2, 3, 1), *arguments).permute(0, 3, 1, 2)

    def _convolution(self) -> Callable[[Tensor], Tensor]:
        arguments, rectifies = (self.weight, self.bias, self.stride, self.padding, 1, self.groups), self.rectifies

        def compute(images: Tensor) -> Tensor:
            convolved = F.conv2d(images, *arguments)
            return convolved.relu_() if rectifies else convolved

        return compute

    def _convolution_by_onednn(self, shape: torch.Size) -> Callable[[Tensor], Tensor]:
        convolve = torch.ops.mkldnn._convolution_pointwise.default
        place = [self.padding] * 2, [self.stride] * 2, [1, 1], self.groups
        laid_out = torch.ops.mkldnn._reorder_convolution_weight(self.weight, *place, list(shape))
        arguments: tuple[object, ...] = laid_out, self.bias, *place, "relu" if self.rectifies else "none", [], ""
        return lambda images: convolve(images, *arguments)


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
        kept = images
        for name, factor in zip(self.names, past, strict=True):
            before = self.recall(name)
            self.keep(name, kept)
            kept = torch.zeros_like(images) if before is None else before
            summed.addcmul_(kept, factor)
        return summed

    def _row(self, channels: Tensor) -> Tensor:
        """[C] -> [1,C,1,W] in channels-last memory, which is quicker to go through than one pixel again and again."""
        return channels.expand(1, 1, self.width, -1).contiguous().permute(0, 3, 1, 2)


class ConvolvedTaps(Memory):
    """Any other convolution over time: a convolution of the image for each tap, summed where they meet.

    Shape: ``[N, C_in, H, W] -> [N, C_out, ceil(H/stride), ceil(W/stride)]``

    Args:
        convolution: whose parameters it copies.
    """

    def __init__(self, convolution: CausalTemporalConv3d | CausalDepthwiseConv3d | CausalDenseConv3d) -> None:
        super().__init__(*(f"owed{frame}" for frame in range(convolution.kernel_size[0] - 1)))
        *past, present = convolution.weight.unbind(2)
        options = {"stride": convolution.stride[1], "groups": convolution.groups}
        self.present = ImageConv(present, convolution.bias, **options)
        self.later = nn.ModuleList(ImageConv(tap, None, **options) for tap in reversed(past))

    def forward(self, images: Tensor) -> Tensor:  # noqa: D102
        summed: list[Tensor] = []
        for tap, name in zip((self.present, *self.later), (*self.names, ""), strict=True):
            owed = self.recall(name) if name else None
            summed.append(tap(images) if owed is None else tap(images).add_(owed))
        for name, owed in zip(self.names, summed[1:], strict=True):
            self.keep(name, owed)
        return summed[0]


class MeanOfImages(Memory):
    """Average over all positions of all frames so far; the sum is in float64, and so does not drift.

    Shape: ``[N, C, H, W] -> [N, C]``
    """

    def __init__(self) -> None:
        super().__init__("sum")

    def forward(self, images: Tensor) -> Tensor:  # noqa: D102
        before = self.recall("sum")
        means = images.mean((2, 3))
        total = means.double() if before is None else before + means
        self.keep("sum", total)
        return (total / self.numbers(images).view(-1, 1)).to(images.dtype)


class PooledImages(MeanOfImages):
    """`MeanOfImages` as an image of one pixel.

    Shape: ``[N, C, H, W] -> [N, C, 1, 1]``
    """

    def forward(self, images: Tensor) -> Tensor:  # noqa: D102
        return super().forward(images)[:, :, None, None]


class ImageGate(nn.Module):
    """`CausalSqueezeExcitation` of means alone; it changes its input.

    Shape: ``[N, C, H, W] -> [N, C, H, W]``

    Args:
        gate: whose parameters it takes over.
    """

    def __init__(self, gate: CausalSqueezeExcitation) -> None:
        super().__init__()
        self.so_far = MeanOfImages()
        self.hidden = nn.Parameter(gate.fc1.weight.flatten(1), requires_grad=False)
        self.hidden_bias = gate.fc1.bias
        self.gates = nn.Parameter(gate.fc2.weight.flatten(1), requires_grad=False)
        self.gates_bias = gate.fc2.bias

    def forward(self, images: Tensor) -> Tensor:  # noqa: D102
        hidden = F.linear(self.so_far(images), self.hidden, self.hidden_bias).relu_()
        gates = F.linear(hidden, self.gates, self.gates_bias).sigmoid_()
        return images.mul_(gates.view(*gates.shape, 1, 1))


class Chain(nn.Module):
    """Modules one after the other, without those that do nothing.

    Args:
        modules: chains among them are taken apart, and ReLU becomes part of a convolution before it.
    """

    steps: nn.ModuleList

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        steps: list[nn.Module] = []
        for module in modules:
            for step in module.steps if isinstance(module, Chain) else [module]:
                if isinstance(step, nn.ReLU) and steps and isinstance(steps[-1], ImageConv):
                    steps[-1].rectifies = True
                elif not isinstance(step, nn.Identity):
                    steps.append(step)
        self.steps = nn.ModuleList(steps)

    def forward(self, images: Tensor) -> Tensor:  # noqa: D102
        for step in self.steps:
            images = step(images)
        return images


class ImageResidual(nn.Module):
    """``relu(branch(x) + shortcut(x))``, in the memory of the branch.

    Args:
        branch: whose output nobody else has.
        shortcut: any module.
    """

    def __init__(self, branch: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = None if isinstance(shortcut, nn.Identity) else shortcut

    def forward(self, images: Tensor) -> Tensor:  # noqa: D102
        shortcut = images if self.shortcut is None else self.shortcut(images)
        summed: Tensor = self.branch(images)
        return summed.add_(shortcut).relu_()
