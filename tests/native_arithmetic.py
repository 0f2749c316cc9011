"""What the native kernel's steps in bytes are to compute, in float64 and integers, one operator at a time."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

FLOAT, LEVEL, BYTE, INT = torch.float32, torch.int8, torch.uint8, torch.int32
RELU_BYTE, WORD, FEATURES = range(3)


def at(pointer: ctypes.c_void_p, dtype: torch.dtype, *shape: int) -> Tensor:
    """A copy of the values that a pointer shows."""
    count = torch.Size(shape).numel() * dtype.itemsize
    text = ctypes.string_at(pointer, count)
    values = torch.frombuffer(bytearray(text), dtype=dtype).view(shape)
    return values.double() if dtype != INT else values


def channelwise(values: Tensor) -> Tensor:
    return values.view(1, -1, 1, 1, 1)


def rectified(values: Tensor) -> Tensor:
    return values.round().clamp(0, 255)


class Arithmetic:
    """Stands in for the library: keeps the steps that it is given, and runs them one operator at a time."""

    def __init__(self) -> None:
        self.steps: list[Callable[[], Tensor]] = []
        self.channels: list[int] = []
        self.maps: list[Tensor] = []
        self.clips = torch.empty(0)

    def run(self, clips: Tensor) -> Tensor:
        """Return the features of clips."""
        self.clips, self.maps = clips.double(), []
        for step in self.steps:
            self.maps.append(step())
        return self.maps[-1]

    def _add(self, channels: int, step: Callable[[], Tensor]) -> int:
        self.steps.append(step)
        self.channels.append(channels)
        return len(self.steps) - 1

    def _shortcut(self, number: int, scale: float) -> Tensor:
        return self.maps[number] * scale if number >= 0 else torch.zeros(())

    def vov3d_int8_stem(self, _network, channels, spatial, temporal, bias, step, zero) -> int:
        spatial, temporal = at(spatial, LEVEL, channels, 3, 1, 3, 3), at(temporal, FLOAT, channels, 1, 5, 1, 1)
        bias = at(bias, FLOAT, channels)

        def run() -> Tensor:
            pixels = F.pad((self.clips / step + zero).round().clamp(0, 255), (1, 1, 1, 1), value=round(zero))
            sums = F.conv3d(pixels, spatial, stride=(1, 2, 2))
            sums = sums - channelwise((spatial.flatten(1).sum(1) * zero).round())
            mixed = F.conv3d(sums, temporal, padding=(2, 0, 0), groups=channels)
            return rectified(mixed + channelwise(bias))

        return self._add(channels, run)

    def vov3d_int8_unit(
        self, _network, given, channels, outputs, stride,
        expand, expand_scale, expand_bias, kernel, scale, bias,
        hidden, squeeze, squeeze_bias, excite, excite_bias, gate_scale, table,
        zero, project, project_scale, project_bias, shortcut, shortcut_scale,
    ) -> int:  # fmt: skip
        expand = at(expand, LEVEL, channels, self.channels[given])
        kernel, project = at(kernel, LEVEL, channels, 1, 3, 3, 3), at(project, LEVEL, outputs, channels)
        expand_scale, expand_bias, scale, bias = (
            at(one, FLOAT, channels) for one in (expand_scale, expand_bias, scale, bias)
        )
        project_scale, project_bias = at(project_scale, FLOAT, outputs), at(project_bias, FLOAT, outputs)
        table = at(table, BYTE, 256)
        if hidden:
            squeeze, excite = at(squeeze, FLOAT, hidden, channels), at(excite, FLOAT, channels, hidden)
            squeeze_bias, excite_bias = at(squeeze_bias, FLOAT, hidden), at(excite_bias, FLOAT, channels)
            gate_scale = at(gate_scale, FLOAT, channels)

        def run() -> Tensor:
            sums = torch.einsum("oc,ncthw->nothw", expand, self.maps[given])
            wide = rectified(sums * channelwise(expand_scale) + channelwise(expand_bias))
            mixed = F.conv3d(wide, kernel, stride=(1, stride, stride), padding=1, groups=channels)
            steps = (mixed * channelwise(scale) + channelwise(bias)).round()
            if hidden:
                means = steps.mean((2, 3, 4))
                gates = (F.relu(means @ squeeze.T + squeeze_bias) @ excite.T + excite_bias).sigmoid()
                factors = (gates * gate_scale).round().clamp(max=32767)
                steps = ((steps * factors[:, :, None, None, None]) / 2**15 + 0.5).floor() + zero
            active = table[steps.clamp(-128, 127).long() % 256]
            sums = torch.einsum("oc,ncthw->nothw", project, active)
            value = sums * channelwise(project_scale) + channelwise(project_bias)
            return rectified(value + self._shortcut(shortcut, shortcut_scale))

        return self._add(outputs, run)

    def vov3d_int8_pointwise(
        self, _network, count, given, outputs, stride, matrix, scale, bias, shortcut, shortcut_scale, values
    ) -> int:
        given = list(given[:count])
        matrix = at(matrix, LEVEL, outputs, sum(self.channels[one] for one in given))
        scale, bias = at(scale, FLOAT, outputs), at(bias, FLOAT, outputs)

        def run() -> Tensor:
            seen = torch.cat([self.maps[one] for one in given], 1)[..., ::stride, ::stride]
            value = torch.einsum("oc,ncthw->nothw", matrix, seen) * channelwise(scale) + channelwise(bias)
            value = value + self._shortcut(shortcut, shortcut_scale)
            if values == FEATURES:
                return F.relu(value)
            return rectified(value) if values == RELU_BYTE else value.round().clamp(-32768, 32767)

        return self._add(outputs, run)
