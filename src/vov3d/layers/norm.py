"""Batch norm, and a convolution followed by it."""

from __future__ import annotations

import math

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional as F

from vov3d.layers.convolution import conv3d

NUM_PARTS = 16


class BatchNorm(nn.BatchNorm3d):
    """Batch norm over clips, frames, rows and columns, of as many clips as the training was published with.

    How many clips share one mean and variance is part of an experiment. On eight GPUs it was what one of them held;
    here it is what ``train.norm_clips`` says (`vov3d.build.build_norms`), so that the number of processes does not
    change the result. Running statistics follow the mean over these groups.

    It is exact on feature maps of one pixel too. There the strides of a view do not tell channels-last memory from
    plain memory, and torch's backward pass on the CPU takes one for the other (torch 2.13: float32 gradients off by
    their own size; tested). Torch is given such maps without rows and columns.

    Shape: ``[N, C, T, H, W] -> [N, C, T, H, W]``; N may be 0.

    Attributes:
        clips_per_group: clips that share statistics within this process; ``None``: all.
        process_group: processes whose clips share statistics; ``None``: each process by itself.
    """

    clips_per_group: int | None = None
    process_group: dist.ProcessGroup | None = None

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        if self.training and self.process_group is not None:
            return self._over_processes(clips, self.process_group)
        if self.training and len(clips) == 0:
            return clips * self.weight.view(1, -1, 1, 1, 1) + self.bias.view(1, -1, 1, 1, 1)  # both get a gradient
        if self.training and self.clips_per_group is not None and len(clips) > self.clips_per_group:
            return self._over_groups(clips, self.clips_per_group)
        if self.training and _sums_are_long(clips):
            return self._with_exact_statistics(clips)
        given = _of_one_layout(clips)
        if self.training:
            normalised: Tensor = super().forward(given)
        else:  # the same without torch's checks, which take as long as the norm of one frame
            running, cudnn = (self.running_mean, self.running_var), torch.backends.cudnn.enabled
            normalised = torch.batch_norm(given, self.weight, self.bias, *running, False, 0.0, self.eps, cudnn)
        return normalised if normalised.dim() == 5 else normalised.view(clips.shape)

    def _check_input_dim(self, clips: Tensor) -> None:
        """Torch's own check wants rows and columns."""

    def scale_and_shift(self) -> tuple[Tensor, Tensor]:
        """Return scale and shift in evaluation, in float64. Shape: ``[C], [C]``."""
        assert self.running_mean is not None
        assert self.running_var is not None
        scale = self.weight.double() / (self.running_var.double() + self.eps).sqrt()
        return scale, self.bias.double() - self.running_mean.double() * scale

    def statistics(self, mean: Tensor, variance: Tensor, num_positions: int) -> tuple[Tensor, Tensor]:
        """Return the mean and variance that `forward` would normalise each clip by; running statistics follow as there.

        Shape: ``[N, C], [N, C] -> [N, C], [N, C]``, N at least 1.

        Args:
            mean: of each clip.
            variance: of each clip, about its own mean.
            num_positions: T * H * W, how many values they are of.
        """
        if not self.training:
            assert self.running_mean is not None
            assert self.running_var is not None
            return self.running_mean.to(mean.dtype).expand_as(mean), self.running_var.to(mean.dtype).expand_as(mean)
        alone = self.process_group is None and self.clips_per_group is not None
        size = self.clips_per_group if alone and self.clips_per_group else len(mean)
        groups = list(zip(mean.split(size), variance.split(size), strict=True))
        pooled = [self._pooled(*group, num_positions) for group in groups]
        self._follow(
            torch.stack([one.detach() for one, _, _ in pooled]).mean(0),
            torch.stack([unbiased for _, _, unbiased in pooled]).mean(0),
        )
        means = [one.expand_as(group[0]) for (one, _, _), group in zip(pooled, groups, strict=True)]
        variances = [one.expand_as(group[0]) for (_, one, _), group in zip(pooled, groups, strict=True)]
        return torch.cat(means), torch.cat(variances)

    def _pooled(self, mean: Tensor, variance: Tensor, num_positions: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean, variance and unbiased variance over clips, with those of the process group."""
        count = mean.new_full((1,), len(mean) * num_positions)
        total = self._summed(torch.cat([mean.sum(0) * num_positions, count]))
        values = total[-1].clamp_min(1)
        shared = total[:-1] / values
        spread = self._summed((variance + (mean - shared).square()).sum(0) * num_positions) / values
        return shared, spread, spread.detach() * values / (values - 1).clamp_min(1)

    def _summed(self, values: Tensor) -> Tensor:
        return values if self.process_group is None else _sum_over_processes(values, self.process_group)

    def _over_groups(self, clips: Tensor, clips_per_group: int) -> Tensor:
        """Give each run of clips its own statistics."""
        followed = [_Followed(self.running_mean, self.running_var) for _ in clips.split(clips_per_group)]
        factor = self._next_factor()
        normalised = [
            F.batch_norm(_of_one_layout(group), one.mean, one.variance, self.weight, self.bias, True, factor, self.eps)
            for group, one in zip(clips.split(clips_per_group), followed, strict=True)
        ]
        self._settle(
            torch.stack([one.mean for one in followed]).mean(0), torch.stack([one.variance for one in followed]).mean(0)
        )
        return torch.cat(normalised).view(clips.shape)

    def _with_exact_statistics(self, clips: Tensor) -> Tensor:
        """Take mean and variance out of short sums."""
        mean, variance = _statistics(clips)
        num_values = clips.numel() // self.num_features
        self._follow(mean, variance * (num_values / (num_values - 1)))
        normalised: Tensor = _Normalised.apply(clips, self.weight, self.bias, mean, variance, self.eps)  # type: ignore[no-untyped-call]
        return normalised

    def _over_processes(self, clips: Tensor, group: dist.ProcessGroup) -> Tensor:
        """Share statistics with other processes; each takes part, with no clips too."""
        axes, shape = (0, 2, 3, 4), (1, -1, 1, 1, 1)
        given, clips = clips.dtype, clips.to(self.weight.dtype)
        count = torch.full((1,), clips.numel() / self.num_features, dtype=clips.dtype, device=clips.device)
        total = _sum_over_processes(torch.cat([clips.sum(axes), count]), group)
        values = total[-1].clamp_min(1)
        mean = total[:-1] / values
        centred = clips - mean.view(shape)
        variance = _sum_over_processes(centred.square().sum(axes), group) / values
        if total[-1] > 0:  # some process has clips
            unbiased = variance.detach() * values / (values - 1).clamp_min(1)
            self._follow(mean.detach(), unbiased)
        scale = self.weight * (variance + self.eps).rsqrt()
        shared = centred * scale.view(shape) + self.bias.view(shape)
        return shared.to(given)

    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        factor = self._next_factor()
        assert self.running_mean is not None
        assert self.running_var is not None
        self._settle(self.running_mean.lerp(mean, factor), self.running_var.lerp(variance, factor))

    def _next_factor(self) -> float:
        """Count a batch; return the weight of its statistics in the running ones."""
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        return 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum

    @torch.no_grad()
    def _settle(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        self.running_mean.copy_(mean)
        self.running_var.copy_(variance)


class ConvNorm(nn.Module):
    """A convolution, pointwise unless told otherwise, then batch norm, no activation.

    Shape: ``[N, C_in, T, H, W] -> [N, C_out, ceil(T/temporal_stride), ceil(H/stride), ceil(W/stride)]``

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: t and k of a kernel t x k x k.
        stride: spatial stride in pixels.
        temporal_stride: temporal stride in frames.
        groups: ``in_channels`` for a depthwise convolution.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, int] = (1, 1),
        *,
        stride: int = 1,
        temporal_stride: int = 1,
        groups: int = 1,
    ) -> None:
        super().__init__()
        channels = (in_channels, out_channels)
        self.conv = conv3d(*channels, kernel_size, stride=stride, temporal_stride=temporal_stride, groups=groups)
        self.norm = BatchNorm(out_channels)

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        normalised: Tensor = self.norm(self.conv(clips))
        return normalised


def _sums_are_long(clips: Tensor) -> bool:
    """Whether torch would add up so many float32 numbers one by one that the result is not float32's any more.

    In channels-last memory on the CPU it does (torch 2.13: a relative error of 3e-5 for 200,000 values; tested), and a
    deep network in training makes a hundred times as much of it.
    """
    return (
        clips.device.type == "cpu"
        and clips.dtype == torch.float32
        and clips.shape[3] * clips.shape[4] > 1
        and clips.is_contiguous(memory_format=torch.channels_last_3d)
        and not torch.compiler.is_compiling()
    )


def _parts(clips: Tensor) -> int:
    """In how many parts sums over clips, frames, rows and columns are taken, so that none is long."""
    return math.gcd(clips.numel() // clips.shape[1], NUM_PARTS)


def _as_channels(clips: Tensor, parts: int) -> Tensor:
    """[N,C,T,H,W] -> [N*T*H*W/parts, parts*C]: the parts side by side, a view where memory is channels-last."""
    return clips.permute(0, 2, 3, 4, 1).reshape(-1, parts * clips.shape[1])


@torch.no_grad()
def _statistics(clips: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of each channel: those of the parts, put together."""
    parts = _parts(clips)
    found = torch.batch_norm_update_stats(_as_channels(clips, parts)[..., None, None], None, None, 0.0)
    means, variances = (one.double().view(parts, -1) for one in found)
    mean = means.mean(0)
    variance = variances.mean(0) + (means - mean).square().mean(0)
    return mean.float(), variance.float()


class _Normalised(torch.autograd.Function):
    """Batch norm with these statistics of its own input, and its gradient."""

    @staticmethod
    def forward(  # noqa: PLR0917  autograd knows positions alone
        ctx: FunctionCtx, clips: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, eps: float
    ) -> Tensor:
        ctx.save_for_backward(clips, weight, mean, (variance.double() + eps).rsqrt().float())
        return F.batch_norm(clips, mean, variance, weight, bias, False, 0.0, eps)

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """With y = w (x - m) / s + b: of b it is the sum of g, of w that of g (x - m) / s, of x linear in g and x.

        Where sums are short, torch's threads do not write to the same lines of memory: on two, this is three to five
        times as fast as its own backward pass (docs/notebook.md).
        """
        clips, weight, mean, inverse = ctx.saved_tensors  # type: ignore[attr-defined]
        num_values, parts = clips.numel() // clips.shape[1], _parts(clips)
        x, g = _as_channels(clips, parts), _as_channels(gradient, parts)
        _, of_weights, of_biases = torch.ops.aten.native_batch_norm_backward(
            *(g[..., None, None], x[..., None, None], None, None, None, mean.repeat(parts), inverse.repeat(parts)),
            *(True, 0.0, (False, True, True)),
        )
        of_weight, of_bias = (found.view(parts, -1).sum(0) for found in (of_weights, of_biases))
        by_g = weight * inverse
        by_x = by_g * inverse * of_weight / -num_values
        constant = by_g * of_bias / -num_values - by_x * mean
        by_g, by_x, constant = torch.stack([by_g, by_x, constant]).repeat(1, parts)
        of_clips = torch.addcmul(constant, x, by_x).addcmul_(g, by_g)
        shaped = of_clips.view(*(clips.shape[axis] for axis in (0, 2, 3, 4, 1))).permute(0, 4, 1, 2, 3)
        return shaped, of_weight, of_bias, None, None, None


def _of_one_layout(clips: Tensor) -> Tensor:
    """[N,C,T,1,1] -> [N,C,T]; larger maps stay as they are."""
    return clips.flatten(2) if clips.shape[3] * clips.shape[4] == 1 else clips


class _Followed:
    """Running statistics of one group of clips: a copy, so that groups do not follow one another."""

    def __init__(self, mean: Tensor | None, variance: Tensor | None) -> None:
        assert mean is not None
        assert variance is not None
        self.mean, self.variance = mean.clone(), variance.clone()


class _SumOverProcesses(torch.autograd.Function):
    """The sum of a tensor over processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: FunctionCtx, values: Tensor, group: dist.ProcessGroup) -> Tensor:
        ctx.group = group  # type: ignore[attr-defined]
        total = values.clone()
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, None]:
        total = gradient.clone()
        dist.all_reduce(total, group=ctx.group)  # type: ignore[attr-defined]
        return total, None


def _sum_over_processes(values: Tensor, group: dist.ProcessGroup) -> Tensor:
    total: Tensor = _SumOverProcesses.apply(values, group)  # type: ignore[no-untyped-call]
    return total
