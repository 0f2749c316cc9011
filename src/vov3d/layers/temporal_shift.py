"""Moving some channels one frame ahead and others one frame back (Lin et al., arXiv 1811.08383)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class TemporalShift(nn.Module):
    """Give each frame some channels of the next frame and some of the one before; no parameters, no multiply-adds.

    ::

        channels   0 .. C/8 | C/8 .. C/4 | C/4 .. C
        frame t        t + 1        t - 1         t       zeros beyond the first and the last frame

    Shape: ``[N, C, T, H, W] -> [N, C, T, H, W]``

    Args:
        divisor: one part in so many of the channels comes from the future, another from the past.

    Source: Section 4.1 and Figure 5; a quarter of the channels moves in all.
    """

    def __init__(self, divisor: int = 8) -> None:
        super().__init__()
        self.divisor = divisor

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        part = clips.shape[1] // self.divisor
        later = F.pad(clips[:, :part, 1:], (0, 0, 0, 0, 0, 1))
        earlier = F.pad(clips[:, part : 2 * part, :-1], (0, 0, 0, 0, 1, 0))
        shifted = torch.cat([later, earlier, clips[:, 2 * part :]], dim=1)
        return shifted.contiguous(memory_format=torch.channels_last_3d)  # which one frame alone does not keep

    def extra_repr(self) -> str:  # noqa: D102
        return f"divisor={self.divisor}"
