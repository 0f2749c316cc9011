"""Leaving out whole branches in training (Huang et al., arXiv 1603.09382)."""

from __future__ import annotations

from torch import Tensor, nn

from vov3d.errors import ArgumentError


class StochasticDepth(nn.Module):
    """Leave out a residual branch, for each clip by itself; in evaluation, and at 0, nothing happens.

    What stays is divided by the probability of staying, so that the mean is that of the branch. Draws come from torch's
    generator of the clips' device.

    Shape: ``[N, C, T, H, W] -> [N, C, T, H, W]``

    Args:
        probability: of leaving out the branch of a clip.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, branch: Tensor) -> Tensor:  # noqa: D102
        if not self.training or self.probability == 0:
            return branch
        stays = 1 - self.probability
        return branch * branch.new_empty(len(branch), 1, 1, 1, 1).bernoulli_(stays).div_(stays)

    def extra_repr(self) -> str:  # noqa: D102
        return f"probability={self.probability}"


def depth_probabilities(highest: float, num_blocks: int) -> list[float]:
    """Return the probability of each block: 0 in the first, the highest in the last, evenly between.

    Raises:
        ArgumentError: the highest is not at least 0 and below 1.

    Source: Huang et al., Section 3, the linear rule; the first of their blocks already has a share of it.
    """
    if not 0 <= highest < 1:
        raise ArgumentError(f"stochastic_depth is {highest}; it must be at least 0 and below 1")
    return [highest * block / max(num_blocks - 1, 1) for block in range(num_blocks)]
