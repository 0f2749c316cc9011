"""The classifier on top of the last feature map, the same for VoV3D and X3D."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from vov3d.layers.convolution import SpatialConv3d
from vov3d.layers.norm import ConvNorm


class ClipHead(nn.Module):
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
        self.dropout = nn.Dropout(dropout)
        self.classifier: nn.Module = nn.Linear(hidden_features, num_classes) if num_classes else nn.Identity()

    def forward(self, features: Tensor, *, pre_logits: bool = False) -> Tensor:
        """Pool over all positions, then classify.

        Shape: ``[N, C, T, H, W] -> [N, K]``, or ``[N, hidden_features]`` with ``pre_logits``.
        """
        pooled = self.relu(self.expand(features)).mean(dim=(2, 3, 4), keepdim=True)
        hidden = self.relu(self.hidden(pooled)).flatten(1)
        logits: Tensor = hidden if pre_logits else self.classifier(self.dropout(hidden))
        return logits

    def position_logits(self, features: Tensor, window: tuple[int, int, int]) -> Tensor:
        """Classify at every position of an average-pool window of stride 1.

        Shape: ``[N, C, T, H, W] -> [N, P, K]``, positions in T', H', W' order.

        Args:
            features: the last feature map.
            window: frames, rows and columns of the window in feature-map cells; a shorter axis is pooled whole.
        """
        fitted = [min(size, cells) for size, cells in zip(window, features.shape[2:], strict=True)]
        pooled = F.avg_pool3d(self.relu(self.expand(features)), fitted, stride=1)
        hidden = self.relu(self.hidden(pooled)).flatten(2).transpose(1, 2)  # [N,P,hidden]
        logits: Tensor = self.classifier(self.dropout(hidden))
        return logits
