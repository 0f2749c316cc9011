"""A VoV3D or X3D network as the kernel's steps: norms folded, sums and concatenations joined to what comes before."""

from __future__ import annotations

import ctypes
from ctypes import c_int, c_void_p
from typing import cast

import torch
from torch import Tensor, nn

from vov3d.layers import (
    Bottleneck,
    ClipHead,
    ConvNorm,
    D1Plus2D,
    D2Plus1D,
    DepthwiseConv3d,
    Residual,
    SqueezeExcitation,
    Stem,
)
from vov3d.models import TOSA, X3D, VoV3D

NO_SHORTCUT = -1
SUMMED_AT_ONCE = 2


def unsupported(model: nn.Module) -> str | None:
    """Return why a network cannot be lowered, one line, or ``None`` if it can."""
    if type(model) not in (VoV3D, X3D):
        return f"the native kernel knows VoV3D and X3D, not {type(model).__name__}"
    if model.causal:
        return "the native kernel sees the frames around each frame; it has no causal form"
    if model.training:
        return "the native kernel is for inference: call eval() first"
    units = [module for module in model.modules() if isinstance(module, Bottleneck)]
    if any(not isinstance(module.shrink, nn.Identity) for module in model.modules() if isinstance(module, TOSA)):
        return "the native kernel concatenates no input of blocks that stride"
    reasons = [reason for unit in units if (reason := _unknown_part(unit)) is not None]
    if reasons:
        return reasons[0]
    halvings = 1 + sum(stride_of(unit.operator) == 2 for unit in units)
    return (
        None
        if halvings == 5
        else f"the native kernel knows networks that halve rows and columns 5 times, not {halvings}"
    )


def _unknown_part(unit: Bottleneck) -> str | None:
    """Return what a unit has that the kernel does not, one line, or ``None``."""
    operator = unit.operator
    if isinstance(unit.norm, nn.Identity):
        return "the native kernel folds norms by itself; give it the network that still has them"
    if not isinstance(operator, D2Plus1D | D1Plus2D | DepthwiseConv3d):
        return f"the native kernel has no {type(operator).__name__}; depthwise operators only"
    if isinstance(operator, D2Plus1D) and not operator.is_linear:
        return f"the native kernel has no {type(operator.between).__name__} between the factors of an operator"
    if not isinstance(unit.gate, nn.Identity | SqueezeExcitation):
        return f"the native kernel has no gate {type(unit.gate).__name__}"
    return None


class Lowering:
    """Adds the steps of a network, one after the other; each gives the number of the map that it makes.

    Args:
        library: the kernel.
        network: the kernel's network that steps are added to.

    Attributes:
        steps: the names of the steps, those of the modules that they compute.
        sums_on_the_way: whether an aggregation may be split.
    """

    sums_on_the_way = True

    def __init__(self, library: ctypes.CDLL, network: int) -> None:
        self.library = library
        self.network = network
        self.steps: list[str] = []
        self._names: dict[nn.Module, str] = {}
        self._first: nn.Module | None = None

    def add_network(self, model: VoV3D | X3D) -> None:
        """Add all of a network up to what its head pools."""
        self._names = {module: name for name, module in model.named_modules()}
        current = self._stem(cast(Stem, model.stem))
        for block in model.blocks():
            assert isinstance(block, Residual)
            self._first = self._first or block.branch
            current = self._block(block, current)
        assert isinstance(model.head, ClipHead)
        self._conv_norm(model.head.expand, [current], rectified=True, last=True)

    def _block(self, block: Residual, current: int) -> int:
        shortcut = current
        if isinstance(block.shortcut, ConvNorm):
            shortcut = self._conv_norm(block.shortcut, [current], stride=block.shortcut.conv.stride[1])
        branch = block.branch
        if isinstance(branch, TOSA):
            return self._tosa(branch, current, shortcut)
        assert isinstance(branch, Bottleneck)
        return self._bottleneck(branch, current, NO_SHORTCUT if block.shortcut is None else shortcut)

    def _tosa(self, tosa: TOSA, current: int, shortcut: int) -> int:
        """Add the units and their aggregation.

        Where maps are largest, in the first block, it is summed up on the way, so that few of them are held.
        """
        maps, summed, first = [current] if tosa.keeps_input else [], shortcut, 0
        for unit in tosa.units:
            assert isinstance(unit, Residual)
            if self.sums_on_the_way and tosa is self._first and len(maps) == SUMMED_AT_ONCE:
                summed, first = self._share(tosa.aggregate, maps, summed, first)
                maps = []
            current = self._block(unit, current)
            maps.append(current)
        if first:
            return self._share(tosa.aggregate, maps, summed, first, rectified=True)[0]
        return self._conv_norm(tosa.aggregate, maps, shortcut=shortcut, rectified=True)

    def _share(
        self, layer: ConvNorm, maps: list[int], summed: int, first: int, *, rectified: bool = False
    ) -> tuple[int, int]:
        """Add to a sum what some maps, input channels from ``first`` on, give; return the sum and the next channel."""
        weight, bias = folded(layer)
        end = first + len(maps) * len(bias)
        bias = torch.zeros_like(bias) if first else bias
        summed = self._pointwise(layer, weight[:, first:end], bias, maps, shortcut=summed, rectified=rectified)
        return summed, end

    def _name(self, module: nn.Module) -> None:
        self.steps.append(self._names[module])

    def _stem(self, stem: Stem) -> int:
        self._name(stem)
        scale, bias = stem.norm.scale_and_shift()
        temporal = stem.temporal.weight.flatten(1) * scale[:, None]
        spatial = stem.spatial.weight.flatten(1)
        keep = floats(spatial), floats(temporal), floats(bias)
        return int(self.library.vov3d_stem(self.network, len(bias), *map(pointer, keep)))

    def _bottleneck(self, unit: Bottleneck, current: int, shortcut: int) -> int:
        self._name(unit)
        scale, bias = unit.norm.scale_and_shift()
        kernel, stride = taps(unit.operator, scale)
        separable = not isinstance(unit.operator, DepthwiseConv3d)
        gate = unit.gate
        gates: list[Tensor] = []
        if isinstance(gate, SqueezeExcitation):
            for layer in (gate.fc1, gate.fc2):
                assert layer.bias is not None
                gates += [floats(layer.weight), floats(layer.bias)]
        wide = [*folded(unit.expand), floats(kernel), floats(bias)]
        narrow = folded(unit.project)
        hidden = len(gates[1]) if gates else 0
        return int(
            self.library.vov3d_unit(
                *(self.network, current, len(bias), len(narrow[1]), stride, int(separable)),
                *map(pointer, wide),
                hidden,
                *(map(pointer, gates) if gates else (None,) * 4),
                *map(pointer, narrow),
                shortcut,
            )
        )

    def _conv_norm(
        self,
        layer: ConvNorm,
        maps: list[int],
        *,
        stride: int = 1,
        shortcut: int = NO_SHORTCUT,
        rectified: bool = False,
        last: bool = False,
    ) -> int:
        return self._pointwise(
            layer, *folded(layer), maps, stride=stride, shortcut=shortcut, rectified=rectified, last=last
        )

    def _pointwise(
        self,
        layer: nn.Module,
        weight: Tensor,
        bias: Tensor,
        maps: list[int],
        *,
        stride: int = 1,
        shortcut: int = NO_SHORTCUT,
        rectified: bool = False,
        last: bool = False,
    ) -> int:
        self._name(layer)
        weight, bias = floats(weight), floats(bias)
        numbers = (c_int * len(maps))(*maps)
        return int(
            self.library.vov3d_pointwise(
                *(self.network, len(maps), numbers, len(bias), stride, pointer(weight), pointer(bias)),
                *(shortcut, int(rectified), int(last)),
            )
        )


def folded(layer: ConvNorm) -> tuple[Tensor, Tensor]:
    """Matrix ``[C_out, C_in]`` and bias of a pointwise convolution and its norm."""
    scale, bias = layer.norm.scale_and_shift()
    return floats(layer.conv.weight.flatten(1).double() * scale[:, None]), floats(bias)


def taps(operator: nn.Module, scale: Tensor) -> tuple[Tensor, int]:
    """Taps ``[C, 9 + 3]`` of a factorised operator or ``[C, 27]`` of a full one, scaled by the norm; its stride.

    The factors commute: nothing stands between them.
    """
    if isinstance(operator, D2Plus1D | D1Plus2D):
        spatial = operator.spatial.weight.flatten(1).double()
        temporal = operator.temporal.weight.flatten(1).double() * scale[:, None]
        return torch.cat([spatial, temporal], dim=1), stride_of(operator)
    assert isinstance(operator, DepthwiseConv3d)
    return operator.weight.flatten(1).double() * scale[:, None], stride_of(operator)


def stride_of(operator: nn.Module) -> int:
    """Return the spatial stride of a depthwise operator."""
    convolution = operator.spatial if isinstance(operator, D2Plus1D | D1Plus2D) else operator
    assert isinstance(convolution, nn.Conv3d)
    return convolution.stride[1]


def floats(values: Tensor) -> Tensor:
    """Values as the kernel reads them."""
    return values.detach().to("cpu", torch.float32).contiguous()


def pointer(values: Tensor) -> c_void_p:
    """Where a tensor's values lie; it must be kept as long as they are read."""
    return c_void_p(values.data_ptr())
