"""Int8 in the native kernel: its arithmetic, its calibration, and what a trained network loses by it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.native_arithmetic import Arithmetic
from tests.test_native import clips_of, logits_of, network, plain
from vov3d import native
from vov3d.errors import ArgumentError
from vov3d.models import VoV3D
from vov3d.native.int8_lowering import Int8Lowering, pixel_levels
from vov3d.native.quantisation import Seen, levels_of, observe, swish_table

needs_kernel = pytest.mark.skipif(native.unavailable("int8") is not None, reason=str(native.unavailable("int8")))


def simulated(model: nn.Module, calibration: list[Tensor]) -> Callable[[Tensor], Tensor]:
    arithmetic = Arithmetic()
    bounds = min(float(clips.min()) for clips in calibration), max(float(clips.max()) for clips in calibration)
    Int8Lowering(arithmetic, 0, observe(model, calibration), bounds).add_network(model)
    return arithmetic.run


@needs_kernel
@pytest.mark.parametrize("name", ["small", "small_x3d", "d1plus2d", "full", "vov3d_s"])
@pytest.mark.parametrize("shape", [(4, 1, 33, 40), (4, 5, 70, 33), (2, 4, 80, 130)], ids=str)
def test_the_kernel_does_the_arithmetic(name: str, shape: tuple[int, ...]) -> None:
    """To the last bit, unless float32 rounds a tie the other way; such a level becomes several in the layers above."""
    model, clips = network(name), clips_of(*shape)
    wanted = simulated(model, [clips])(clips)
    features = native.compile_network(model, clips, "int8", num_threads=1)(clips)
    errors = relative_errors(features, wanted)
    assert errors.min() < 1e-6
    assert errors.max() < 0.05
    with torch.inference_mode():
        exact = model.head.before_pool(model.forward_features(clips))
    assert relative_errors(features, exact).max() < 0.1  # random weights


def relative_errors(values: Tensor, wanted: Tensor) -> Tensor:
    """Of each clip."""
    return (values - wanted).flatten(1).norm(dim=1) / wanted.flatten(1).norm(dim=1)


@needs_kernel
def test_calibration_is_deterministic_and_by_default_the_example() -> None:
    model, clips = network("small"), clips_of(4, 4, 40, 40)
    first = native.compile_network(model, clips, "int8")(clips)
    for calibration in (None, [clips], clips.split(4)):
        assert torch.equal(native.compile_network(model, clips, "int8", calibration=calibration)(clips), first)
    other = native.compile_network(model, clips, "int8", calibration=[clips[:1] / 4])(clips)
    assert not torch.equal(other, first)


@needs_kernel
def test_clips_of_any_normalisation() -> None:
    model, clips = network("small"), clips_of(2, 4, 40, 40) * 40 + 100
    fast = native.compile_network(model, clips, "int8")
    assert F.cosine_similarity(logits_of(model, fast(clips)), plain(model, clips)).min() > 0.99


@needs_kernel
def test_without_clips_to_calibrate_on_there_is_an_error() -> None:
    model, clips = network("small"), clips_of(1, 2, 32, 32)
    with pytest.raises(ArgumentError, match="no calibration clips"):
        native.compile_network(model, clips, "int8", calibration=[])
    with pytest.raises(ArgumentError, match="infinite or undefined"):
        native.compile_network(model, clips, "int8", calibration=[clips * torch.nan])


def test_a_byte_is_a_pixel() -> None:
    pixels = torch.arange(256)
    step, zero = pixel_levels(-1.5, 2.0)
    assert torch.equal(((pixels / 255 - 0.45) / 0.225 / step + zero).round(), pixels.float())
    step, zero = pixel_levels(-2.5, 7.5)
    assert (round(-2.5 / step + zero), round(7.5 / step + zero)) == (0, 255)


def test_rounding_weights_keeps_the_mean() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(5, 40, generator=generator, dtype=torch.float64)
    mean = torch.rand(40, generator=generator, dtype=torch.float64) + 1
    rounded = levels_of(weight, mean)
    assert rounded.levels.abs().amax(1).tolist() == [127] * 5
    back = rounded.levels * rounded.steps[:, None]
    assert (back - weight).abs().amax() <= rounded.steps.max() / 2
    assert torch.allclose(back @ mean + rounded.lost, weight @ mean)


def test_the_table_is_swish() -> None:
    seen = Seen()
    seen.add(torch.randn(1, 8, 4, 16, 16, generator=torch.Generator().manual_seed(0)) * 2)
    table = swish_table(seen)
    arguments = torch.linspace(-12, 5, 400)
    levels = (arguments / table.step + table.zero).round().clamp(-128, 127).long()
    values = (table.values[levels].float() - table.value_zero) * table.value_step
    assert (values - F.silu(arguments)).abs().max() < 0.15
    assert (values - F.silu(arguments)).square().mean().sqrt() < 0.05


def gratings(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Clips [N,3,8,32,32] of a wave that goes in one of four directions, faint under noise."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 4, (count,), generator=generator)
    angles = labels * torch.pi / 4 + torch.randn(count, generator=generator) * 0.2
    phases = torch.rand(count, generator=generator) * 6
    frames, rows, columns = torch.meshgrid(torch.arange(8), torch.arange(32), torch.arange(32), indexing="ij")
    across = [rows * angle.sin() + columns * angle.cos() for angle in angles]
    waves = torch.stack([(0.8 * one + frames + phase).sin() for one, phase in zip(across, phases, strict=True)])
    clips = waves[:, None] * 0.5 + torch.randn(count, 3, 8, 32, 32, generator=generator) * 0.7
    return clips.clamp(-2, 2.4), labels


@needs_kernel
@pytest.mark.slow
def test_a_trained_network_keeps_its_top1() -> None:
    torch.manual_seed(0)
    model = VoV3D(8, (1, 1, 1, 1), num_units=1, num_classes=4, dropout=0.0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for step in range(200):
        clips, labels = gratings(16, seed=step)
        optimizer.zero_grad()
        F.cross_entropy(model(clips), labels).backward()
        optimizer.step()
    model.eval()
    clips, labels = gratings(2000, seed=1000)
    calibration = gratings(32, seed=2000)[0]
    logits = {"plain": torch.cat([plain(model, part) for part in clips.split(50)])}
    for precision in ("bf16", "int8"):
        fast = native.compile_network(model, clips[:1], precision, calibration=calibration.split(8))
        logits[precision] = torch.cat([logits_of(model, fast(part)) for part in clips.split(50)])
    top1 = {name: float((one.argmax(1) == labels).float().mean()) for name, one in logits.items()}
    assert top1["plain"] > 0.7
    assert abs(top1["bf16"] - top1["plain"]) <= 0.005
    assert abs(top1["int8"] - top1["plain"]) <= 0.005
