"""Precise batch norm: statistics measured with the weights as they are, not trailed during training."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def recompute_norm_statistics(
    model: nn.Module, batches: Iterable[Tensor], share: Callable[[nn.Module, float], None] | None = None
) -> int:
    """Replace the running mean and variance of every batch norm by their averages over batches.

    Weights stay as they are, and so does the mode of the network. Norms that stay in evaluation when the network is put
    into training are frozen, and keep their statistics.

    Args:
        model: the network.
        batches: clips [N,3,T,H,W] on the network's device, cropped and coloured as in training, without stills.
        share: makes the statistics the mean over all processes of a run, each weighted by a number: the batches with
            clips that this one has seen. Batches may be empty, and there must be equally many in all processes.

    Returns:
        The number of batches with clips; without batches, nothing changes.

    Source: Section 4.1; the published recipe takes 200 training batches before each evaluation.
    """
    was_training = model.training
    seen = 0
    model.train()
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm) and module.training]
    momenta = [norm.momentum for norm in norms]
    try:
        for number, clips in enumerate(batches):
            if number == 0:
                for norm in norms:
                    norm.reset_running_stats()
                    norm.momentum = None  # a plain average over batches
            model(clips)
            seen += len(clips) > 0
        if share is not None:
            share(model, float(seen))
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        model.train(was_training)
    return seen
