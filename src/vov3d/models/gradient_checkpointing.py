"""Computing a block anew in the backward pass in place of keeping what it computed (Chen et al., arXiv 1604.06174)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def recomputed(block: nn.Module, clips: Tensor | tuple[Tensor, ...]) -> Tensor:
    """Return ``block(clips)``, of which only the input is kept for the backward pass.

    Logits, gradients, running statistics and random draws are those of the block itself, bit for bit (tested).
    """

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), statistics_kept(block)

    computed: Tensor = checkpoint(block, clips, use_reentrant=False, context_fn=contexts)
    return computed


@contextmanager
def statistics_kept(module: nn.Module) -> Iterator[None]:
    """Let batch norms count a batch on copies of their statistics, which are thrown away.

    They have counted it already. Copies stand in for the statistics because it does not matter to them how a norm
    counts.
    """
    norms = [norm for norm in module.modules() if isinstance(norm, _BatchNorm) and norm.training]
    kept = [(norm, name, buffer) for norm in norms for name, buffer in norm.named_buffers(recurse=False)]
    for norm, name, buffer in kept:
        setattr(norm, name, buffer.clone())
    try:
        yield
    finally:
        for norm, name, buffer in kept:
            setattr(norm, name, buffer)
