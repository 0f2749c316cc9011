"""TSN: every frame by itself, then the mean; the control without any operation in time.

Wang et al.: "Temporal Segment Networks: Towards Good Practices for Deep Action Recognition", arXiv 1608.00859.

::

    frame 1 ── ResNet ──┐
    frame 2 ── ResNet ──┼── mean ── dropout ── fc
    frame T ── ResNet ──┘

Axis legend: N clips, C channels, T frames, H rows, W columns, K classes.

Deviations from the paper: (1) ResNet in place of BN-Inception, as in every later comparison; (2) features are averaged
and then classified, which gives the mean of the frames' logits, with one draw of dropout for a clip. No order of the
frames can be told from its logits.
"""

from __future__ import annotations

from vov3d.models.resnet import R50, ResNet


class TSN(ResNet):
    """The temporal segment network: `ResNet` as it is."""


def tsn_r50(num_classes: int = 400, dropout: float = 0.5) -> TSN:
    """TSN ResNet-50: 23,864,558 parameters at 174 classes; 32.70 GMACs at 8x224x224. Not in the paper: the control."""
    return TSN(R50, num_classes=num_classes, dropout=dropout)
