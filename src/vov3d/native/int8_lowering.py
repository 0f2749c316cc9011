"""A VoV3D or X3D network as the kernel's steps in bytes."""

from __future__ import annotations

import ctypes
from ctypes import c_int
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vov3d.layers import Bottleneck, ConvNorm, Residual, SqueezeExcitation, Stem
from vov3d.models import TOSA, X3D, VoV3D
from vov3d.native.lowering import NO_SHORTCUT, Lowering, floats, folded, pointer, taps
from vov3d.native.quantisation import BYTE, Levels, Seen, levels_of, step_of, steps_of, swish_table

BYTES, WORDS, FLOATS = range(3)
WORD = 32767  # the largest level of a shortcut
GATED = 4095  # of a value before its gate: of 16 bits, so that its product with a gate keeps some
PIXELS = (-2.0, 2.45)  # bounds of clips in the usual normalisation, (0 - 0.45) / 0.225 and (1 - 0.45) / 0.225


@dataclass(frozen=True)
class Map:
    """How values lie in a map: its step, and the mean of each channel."""

    step: float
    mean: Tensor

    @property
    def steps(self) -> Tensor:
        """The step, for each channel."""
        return torch.full_like(self.mean, self.step)


class Int8Lowering(Lowering):
    """Adds the steps of a network in bytes.

    Args:
        library: the kernel.
        network: the kernel's network that steps are added to.
        seen: what the network's parts gave on calibration clips.
        bounds: the least and the greatest value of those clips.
    """

    sums_on_the_way = False

    def __init__(
        self, library: ctypes.CDLL, network: int, seen: dict[nn.Module, Seen], bounds: tuple[float, float]
    ) -> None:
        super().__init__(library, network)
        self.seen = seen
        self.bounds = bounds
        self._maps: dict[int, Map] = {}
        self._sums: dict[nn.Module, Residual] = {}

    def add_network(self, model: VoV3D | X3D) -> None:
        """Add all of a network up to what its head pools."""
        for module in model.modules():
            if isinstance(module, Residual):
                made_by = module.branch.aggregate if isinstance(module.branch, TOSA) else module.branch
                self._sums[made_by] = module
        super().add_network(model)

    def _stem(self, stem: Stem) -> int:
        self._name(stem)
        made = self._map(stem)
        scale, bias = stem.norm.scale_and_shift()
        step, zero = pixel_levels(*self.bounds)
        spatial = levels_of(stem.spatial.weight.flatten(1).double(), torch.zeros(()))
        temporal = stem.temporal.weight.flatten(1) * (scale * spatial.steps * step / made.step)[:, None]
        keep = spatial.levels.contiguous(), floats(temporal), floats(bias / made.step)
        number = self.library.vov3d_int8_stem(self.network, len(bias), *map(pointer, keep), step, zero)
        return self._made(number, made)

    def _bottleneck(self, unit: Bottleneck, current: int, shortcut: int) -> int:
        self._name(unit)
        given, made = self._maps[current], self._map(self._sums[unit])
        wide = self.seen[unit.relu]
        wide_steps = steps_of(wide)
        weight, bias = (part.double() for part in folded(unit.expand))
        expand = levels_of(weight * given.step, given.mean / given.step)
        expanding = _affine(expand, bias, wide_steps)

        scale, bias = unit.norm.scale_and_shift()
        kernel, stride = _kernel(unit.operator, scale)
        depthwise = levels_of(kernel * wide_steps[:, None], (wide.mean / wide_steps)[:, None])
        table = swish_table(self.seen[unit.gate])
        hidden, gates = 0, list[Tensor | None]([None] * 5)
        mixing = _affine(depthwise, bias + table.zero * table.step, torch.tensor(table.step))
        if isinstance(unit.gate, SqueezeExcitation):
            words = steps_of(self.seen[unit.norm], GATED)
            mixing = _affine(depthwise, bias, words)
            gates = [*_gates(unit.gate, words, table.step)]
            hidden = unit.gate.fc1.out_channels

        weight, bias = (part.double() for part in folded(unit.project))
        active = self.seen[unit.swish].mean
        project = levels_of(weight * table.value_step, active / table.value_step)
        bias = bias - project.steps * project.levels.double().sum(1) * table.value_zero
        projecting = _affine(project, bias, torch.tensor(made.step))
        keep = [*expanding, *mixing, *gates, table.values, *projecting]
        at = [None if one is None else pointer(one) for one in keep]
        number = self.library.vov3d_int8_unit(
            *(self.network, current, len(scale), len(bias), stride),
            *(*at[:6], hidden, *at[6:12], table.zero, *at[12:]),
            *(shortcut, self._step_of(shortcut) / made.step),
        )
        return self._made(number, made)

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
        self._name(layer)
        given = [self._maps[number] for number in maps]
        steps = torch.cat([one.steps for one in given])
        means = torch.cat([one.mean for one in given])
        weight, bias = (part.double() for part in folded(layer))
        matrix = levels_of(weight * steps, means / steps)
        values, made = BYTES, Map(1.0, torch.zeros(()))
        if rectified and not last:
            made = self._map(self._sums[layer])
        elif last:
            values = FLOATS
        else:
            values = WORDS
            made = Map(step_of(self.seen[layer], WORD), torch.zeros(()))
        multiplying = _affine(matrix, bias, torch.tensor(made.step))
        number = self.library.vov3d_int8_pointwise(
            *(self.network, len(maps), (c_int * len(maps))(*maps), len(bias), stride),
            *(*map(pointer, multiplying), shortcut, self._step_of(shortcut) / made.step, values),
        )
        return self._made(number, made)

    def _map(self, module: nn.Module) -> Map:
        return Map(step_of(self.seen[module]), self.seen[module].mean)

    def _made(self, number: int, made: Map) -> int:
        self._maps[int(number)] = made
        return int(number)

    def _step_of(self, shortcut: int) -> float:
        return 0.0 if shortcut == NO_SHORTCUT else self._maps[shortcut].step


def pixel_levels(least: float, greatest: float) -> tuple[float, float]:
    """Return the step of a clip's values, and the byte of 0, not rounded.

    In the usual normalisation a byte is the very pixel that was decoded.
    """
    if least >= PIXELS[0] and greatest <= PIXELS[1]:
        return 1 / (BYTE * 0.225), BYTE * 0.45
    least, greatest = min(least, 0.0), max(greatest, 0.0)
    step = (greatest - least) / BYTE
    return step, -least / step


def _affine(matrix: Levels, bias: Tensor, steps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Levels, and the scale and bias that turn their sums into steps of the output."""
    return matrix.levels.contiguous(), floats(matrix.steps / steps), floats((bias + matrix.lost) / steps)


def _kernel(operator: nn.Module, scale: Tensor) -> tuple[Tensor, int]:
    """Taps ``[C, 27]`` in space and time; the product of the two of a factorised operator."""
    values, stride = taps(operator, scale)
    if values.shape[1] == 27:
        return values, stride
    spatial, temporal = values[:, None, :9], values[:, 9:, None]
    return (temporal * spatial).flatten(1), stride


def _gates(gate: SqueezeExcitation, words: Tensor, step: float) -> list[Tensor]:
    """Both layers, the first on means of words, and what turns a gate into a factor from words to steps."""
    assert gate.fc1.bias is not None
    assert gate.fc2.bias is not None
    squeeze = gate.fc1.weight.flatten(1).double() * words
    factor = words / step * 2**15
    return [floats(one) for one in (squeeze, gate.fc1.bias, gate.fc2.weight, gate.fc2.bias, factor)]
