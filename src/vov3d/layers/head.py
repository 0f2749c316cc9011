"""The head that VoV3D and X3D share."""

from __future__ import annotations

from torch import Tensor, nn

from vov3d.layers.convolution import SpatialConv3d
from vov3d.layers.norm import ConvNorm
from vov3d.layers.pool_head import Head


class ClipHead(Head):
    """conv5, average pool, fc1, ReLU, dropout, fc2.

    Args:
        in_channels: channels of the last stage.
        mid_channels: channels of conv5.
        hidden_features: width of fc1.
        num_classes: K; 0 gives the hidden features in place of logits.
        dropout: probability of dropping a hidden feature in training.

    Source: Table 2, conv5 to fc2; no norm after fc1, as in X3D.
    """

    def __init__(
        self, in_channels: int, mid_channels: int, hidden_features: int, num_classes: int, *, dropout: float
    ) -> None:
        super().__init__()
        self.expand = ConvNorm(in_channels, mid_channels)
        self.relu = nn.ReLU(inplace=True)
        self.hidden = SpatialConv3d(mid_channels, hidden_features)
        self.add_classifier(hidden_features, num_classes, dropout)

    def before_pool(self, features: Tensor) -> Tensor:  # noqa: D102
        expanded: Tensor = self.relu(self.expand(features))
        return expanded

    def after_pool(self, pooled: Tensor) -> Tensor:  # noqa: D102
        hidden: Tensor = self.relu(self.hidden(pooled))
        return hidden
