"""The classifier on top of the last feature map: what every head shares, and the plainest of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vov3d.layers.stream import ClipMean


class Head(nn.Module):
    """Average pool, dropout, linear classifier; what a network has before and after the pool is in its subclass.

    A subclass makes its own layers first and calls `add_classifier` last, so that the attributes are in data order.

    Attributes:
        num_features: width of what the classifier sees.
        pool: the mean over all positions.
        classifier: linear, or the identity for features in place of logits.
    """

    num_features: int
    pool: ClipMean
    dropout: nn.Dropout
    classifier: nn.Module

    def add_classifier(self, num_features: int, num_classes: int, dropout: float) -> None:
        """Make the pool and the last two layers; 0 classes give features in place of logits."""
        self.num_features = num_features
        self.pool = ClipMean()
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(num_features, num_classes) if num_classes else nn.Identity()

    def before_pool(self, features: Tensor) -> Tensor:
        """Return what is pooled. Shape: ``[N, C, T, H, W] -> [N, C', T, H, W]``."""
        return features

    def after_pool(self, pooled: Tensor) -> Tensor:
        """Return what is classified. Shape: ``[N, C', T, H, W] -> [N, num_features, T, H, W]``."""
        return pooled

    def forward(self, features: Tensor, *, pre_logits: bool = False) -> Tensor:
        """Pool over all positions, then classify.

        Shape: ``[N, C, T, H, W] -> [N, K]``, or ``[N, num_features]`` with ``pre_logits``.
        """
        return self.classify(self.before_pool(features), pre_logits=pre_logits)

    def classify(self, pooled: Tensor, *, pre_logits: bool = False) -> Tensor:
        """Return what `forward` does, of what `before_pool` gave."""
        hidden = self.after_pool(self.pool(pooled)).flatten(1)
        logits: Tensor = hidden if pre_logits else self.classifier(self.dropout(hidden))
        return logits

    def position_logits(self, features: Tensor, window: tuple[int, int, int]) -> Tensor:
        """Classify at every position of an average-pool window of stride 1.

        Shape: ``[N, C, T, H, W] -> [N, P, K]``, positions in T', H', W' order.

        Args:
            features: the last feature map.
            window: frames, rows and columns of the window in feature-map cells; a shorter axis is pooled whole.
        """
        return self.classify_positions(self.before_pool(features), window)

    def classify_positions(self, features: Tensor, window: tuple[int, int, int]) -> Tensor:
        """Do what `position_logits` does from `before_pool`'s output on."""
        fitted = [min(size, cells) for size, cells in zip(window, features.shape[2:], strict=True)]
        pooled = window_means(features, fitted)
        hidden = self.after_pool(pooled).flatten(2).transpose(1, 2)  # [N,P,num_features]
        logits: Tensor = self.classifier(self.dropout(hidden))
        return logits


def window_means(maps: Tensor, window: Sequence[int]) -> Tensor:
    """Return the mean of every window of so many frames, rows and columns, stride 1.

    Shape: ``[N, C, T, H, W] -> [N, C, T - t + 1, H - h + 1, W - w + 1]``
    """
    wide = maps.float() if maps.dtype in (torch.bfloat16, torch.float16) else maps  # CPUs have no such pool
    return F.avg_pool3d(wide, tuple(window), stride=1).to(maps.dtype)


class PoolHead(Head):
    """Average pool, dropout, linear classifier, and nothing else.

    Args:
        in_channels: channels of the last stage.
        num_classes: K; 0 gives the pooled features in place of logits.
        dropout: probability of dropping a feature in training.
    """

    def __init__(self, in_channels: int, num_classes: int, *, dropout: float) -> None:
        super().__init__()
        self.add_classifier(in_channels, num_classes, dropout)
