"""The operators against the same arithmetic in plain torch, in float64: on a GPU, else in Triton's interpreter."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

pytest.importorskip("triton")

from vov3d.fused.operators import Activation, Affine, Size, depthwise, joined, pointwise, residual, write

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
APPLY = {Activation.NONE: lambda u: u, Activation.RELU: F.relu, Activation.SWISH: F.silu}


def drawn(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype, device=DEVICE).requires_grad_()


def moments(out: Tensor) -> tuple[Tensor, Tensor]:
    return out.mean(1), out.var(1, unbiased=False)


def assert_same(found: tuple[Tensor, ...], expected: tuple[Tensor, ...], inputs: list[Tensor]) -> None:
    """Values, and the gradients of one sum with random weights."""
    weights = [torch.randn_like(one) for one in expected]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
    gradients = [
        torch.autograd.grad(sum((one * weight).sum() for one, weight in zip(outs, weights, strict=True)), inputs)
        for outs in (found, expected)
    ]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("activation", [None, *Activation])
@pytest.mark.parametrize("pitch", [0, 7])
def test_pointwise_is_the_product_of_what_stands_before(activation: Activation | None, pitch: int) -> None:
    torch.manual_seed(0)
    clips, positions, inner, channels = 2, 131, 20, 70
    values, weight = drawn(clips, positions, inner + pitch), drawn(channels, inner)
    y = values[:, :, :inner]
    affine = Affine(drawn(clips, inner), drawn(clips, inner), activation) if activation is not None else None
    seen = APPLY[activation](y * affine.scale[:, None] + affine.shift[:, None]) if affine else y
    out = seen @ weight.t()
    inputs = [values, weight, *((affine.scale, affine.shift) if affine else ())]
    assert_same(pointwise(y, weight, affine), (out, *moments(out), y), inputs)


@pytest.mark.parametrize(
    ("separable", "stride", "size"),
    [
        (True, 1, Size(2, 5, 7)),
        (True, 2, Size(3, 3, 5)),
        (True, 2, Size(1, 4, 4)),
        (False, 1, Size(3, 3, 5)),
        (False, 2, Size(2, 4, 5)),
        (False, 1, Size(1, 2, 3)),
    ],
)
def test_depthwise_is_the_convolution_of_what_stands_before(separable: bool, stride: int, size: Size) -> None:
    torch.manual_seed(0)
    clips, channels = 2, 20
    y, scale, shift = drawn(clips, size.positions, channels), drawn(clips, channels), drawn(clips, channels)
    shapes = [(1, 3, 3), (3, 1, 1)] if separable else [(3, 3, 3)]
    kernels = tuple(drawn(channels, 1, *shape) for shape in shapes)
    seen = F.relu(y * scale[:, None] + shift[:, None]).unflatten(1, (size.frames, size.rows, size.columns))
    volume = seen.permute(0, 4, 1, 2, 3)
    for kernel, step in zip(kernels, ((1, stride, stride), (1, 1, 1)), strict=False):
        padding = tuple(length // 2 for length in kernel.shape[2:])
        volume = F.conv3d(volume, kernel, None, step, padding, groups=channels)
    out = volume.permute(0, 2, 3, 4, 1).flatten(1, 3)
    found = depthwise(y, kernels, Affine(scale, shift, Activation.RELU), size, stride)
    assert_same(found, (out, *moments(out)), [y, scale, shift, *kernels])


@pytest.mark.parametrize("has_shortcut", [True, False])
def test_residual_writes_beside_others(has_shortcut: bool) -> None:
    torch.manual_seed(0)
    y, scale, shift, shortcut = drawn(2, 70, 20), drawn(2, 20), drawn(2, 20), drawn(2, 70, 20)
    buffer = torch.full((2, 70, 60), float("nan"), dtype=torch.float64, device=DEVICE)
    summed = y * scale[:, None] + shift[:, None] + (shortcut if has_shortcut else 0)
    out, passed = residual(y, Affine(scale, shift), shortcut if has_shortcut else None, buffer[:, :, 20:40])
    found, expected = (out,), (F.relu(summed),)
    if passed is not None:
        found, expected = (out, passed), (F.relu(summed), shortcut)
    assert_same(found, expected, [y, scale, shift, *([shortcut] if has_shortcut else [])])
    assert buffer[:, :, :20].isnan().all()
    assert buffer[:, :, 40:].isnan().all()
    assert torch.equal(buffer[:, :, 20:40], out)


@pytest.mark.parametrize("activation", [Activation.RELU, Activation.SWISH])
def test_what_is_no_number_stays_none(activation: Activation) -> None:
    y, one = drawn(1, 3, 2).detach(), torch.ones(1, 2, dtype=torch.float64, device=DEVICE)
    y[0, 1, 0] = torch.nan
    with torch.no_grad():
        product, *_ = pointwise(y, drawn(2, 2), Affine(one, one, activation))
        summed, _ = residual(y, Affine(one, one), None)
    assert product.isnan().any(dim=2).tolist() == [[False, True, False]]
    assert summed.isnan().tolist() == [[[False, False], [True, False], [False, False]]]


def test_parts_are_joined_without_a_copy() -> None:
    parts = [drawn(1, 5, 3), drawn(1, 5, 4)]
    buffer = torch.empty(1, 5, 7, dtype=torch.float64, device=DEVICE)
    written = [write(part, place) for part, place in zip(parts, buffer.split([3, 4], dim=2), strict=True)]
    out = joined(written, buffer)
    assert out.data_ptr() == buffer.data_ptr()
    assert_same((out,), (torch.cat(parts, dim=2),), parts)


def test_gradients_by_finite_differences() -> None:
    torch.manual_seed(0)
    size = Size(2, 2, 2)
    y, scale, shift, weight = drawn(1, size.positions, 1), drawn(1, 1), drawn(1, 1), drawn(3, 1)
    kernels = drawn(1, 1, 1, 3, 3), drawn(1, 1, 3, 1, 1)
    swish, relu = Activation.SWISH, Activation.RELU
    check = torch.autograd.gradcheck
    assert check(lambda *a: pointwise(a[0], a[1], Affine(a[2], a[3], swish)), (y, weight, scale, shift), fast_mode=True)
    assert check(
        lambda *a: depthwise(a[0], a[3:], Affine(a[1], a[2], relu), size, 1),
        (y, scale, shift, *kernels),
        fast_mode=True,
    )
    assert check(lambda *a: residual(a[0], Affine(a[1], a[2]), a[3]), (y, scale, shift, drawn(1, 8, 1)), fast_mode=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_types_round_their_results_and_nothing_else(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    y, weight = drawn(1, 40, 24, dtype=dtype), drawn(16, 24, dtype=torch.float32)
    affine = Affine(drawn(1, 24, dtype=torch.float32), drawn(1, 24, dtype=torch.float32), Activation.SWISH)
    out, mean, variance, _ = pointwise(y, weight, affine)
    exact = F.silu(y.double() * affine.scale[:, None] + affine.shift[:, None]) @ weight.to(dtype).double().t()
    assert out.dtype == dtype
    assert mean.dtype == variance.dtype == torch.float32
    rounding = {torch.float32: 1e-6, torch.bfloat16: 2**-7}[dtype]
    assert (out.double() - exact).abs().max() <= rounding * exact.abs().max()
    torch.testing.assert_close((mean, variance), moments(out.float()), rtol=1e-5, atol=1e-6)
    (of_weight,) = torch.autograd.grad(out.float().square().mean(), weight)
    assert of_weight.dtype == torch.float32


def test_every_element_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory that was never written holds NaN here."""
    torch.manual_seed(0)
    size = Size(2, 3, 3)
    monkeypatch.setattr(torch.Tensor, "new_empty", lambda t, *s, **k: torch.full_like(t.new_zeros(*s, **k), torch.nan))
    empty_like = lambda t, **k: torch.full_like(t, torch.nan, **k)  # noqa: E731
    monkeypatch.setattr(torch, "empty_like", empty_like)
    y, weight, kernel = drawn(2, size.positions, 20), drawn(24, 20), drawn(24, 1, 3, 3, 3)
    wide, *_ = pointwise(y, weight)
    one = torch.ones(2, 24, dtype=torch.float64, device=DEVICE)
    mixed, *_ = depthwise(wide, (kernel,), Affine(one, one, Activation.RELU), size, 2)
    out, _ = residual(mixed, Affine(one, one), None)
    gradients = torch.autograd.grad(out.sum(), [y, weight, kernel])
    assert all(bool(tensor.isfinite().all()) for tensor in (wide, mixed, out, *gradients))
