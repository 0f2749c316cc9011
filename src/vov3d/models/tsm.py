"""TSM: a 2D ResNet whose blocks see a quarter of their channels one frame later or earlier.

Lin, Gan, Han: "TSM: Temporal Shift Module for Efficient Video Understanding", arXiv 1811.08383.

::

    x ──┬── shift ── reduce 1x1 ── middle 3x3 ── project 1x1 ──(+)── ReLU
        └────────────────── shortcut ───────────────────────────┘

Axis legend: N clips, C channels, T frames, H rows, W columns, K classes.

Deviations from the paper: (1) features are averaged and then classified, which gives the mean of the frames' logits,
with one draw of dropout for a clip; (2) in ResNet-101 every second block of a stage shifts, as in the authors' code.
"""

from __future__ import annotations

from collections.abc import Sequence

from vov3d.layers import TemporalShift
from vov3d.models.resnet import R50, R101, BottleneckBranch, Place, ResNet


class TSM(ResNet):
    """A ResNet with the residual shift.

    Shape: ``[N, 3, T, H, W] -> [N, K]`` for any T >= 1 and any H, W >= 32; the published T are 8 and 16.

    Args:
        depths: blocks in each stage.
        shift_divisor: one part in so many of the channels comes from the next frame, another from the one before.
        shift_every: blocks from one that shifts to the next, within a stage.
        num_classes: K; 0 for features in place of logits.
        dropout: probability of dropping a feature before the classifier.

    Source: Sections 3 and 4.1.
    """

    def __init__(
        self,
        depths: Sequence[int] = R50,
        *,
        shift_divisor: int = 8,
        shift_every: int = 1,
        num_classes: int = 400,
        dropout: float = 0.5,
    ) -> None:
        def branch(place: Place) -> BottleneckBranch:
            shifts = place.block % shift_every == 0
            return BottleneckBranch(place, before=TemporalShift(shift_divisor) if shifts else None)

        super().__init__(depths, branch, num_classes=num_classes, dropout=dropout)


def tsm_r50(num_classes: int = 400, dropout: float = 0.5) -> TSM:
    """TSM ResNet-50: 23,864,558 parameters at 174 classes; 32.70 GMACs at 8x224x224, 65.39 at 16 (Table 7: 65)."""
    return TSM(R50, num_classes=num_classes, dropout=dropout)


def tsm_r101(num_classes: int = 400, dropout: float = 0.5) -> TSM:
    """TSM ResNet-101: 42,856,686 parameters at 174 classes; 62.39 GMACs at 8x224x224 (Table 6: 65)."""
    return TSM(R101, shift_every=2, num_classes=num_classes, dropout=dropout)
