"""Precise batch norm: statistics measured with the weights as they are, not trailed during training."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def recompute_norm_statistics(
    model: nn.Module, batches: Iterable[Tensor], average: Callable[[Tensor], Tensor] = lambda values: values
) -> int:
    """Replace the running mean and variance of every batch norm by their averages over batches.

    Weights stay as they are, and so does the mode of the network.

    Args:
        model: the network.
        batches: clips [N,3,T,H,W] on the network's device, cropped and coloured as in training, without stills.
        average: takes the mean of a tensor over all processes of a run.

    Returns:
        The number of batches seen; with none, nothing changes.

    Source: Section 4.1; the published recipe takes 200 training batches before each evaluation.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    was_training = model.training
    seen = 0
    model.train()
    try:
        for clips in batches:
            if seen == 0:
                for norm in norms:
                    norm.reset_running_stats()
                    norm.momentum = None  # a plain average over batches
            model(clips)
            seen += 1
        if seen:
            for statistics in (statistics for norm in norms for statistics in (norm.running_mean, norm.running_var)):
                if statistics is not None:
                    statistics.copy_(average(statistics))
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        model.train(was_training)
    return seen
