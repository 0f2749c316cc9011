"""R(2+1)D: a ResNet whose 3D convolutions are split into one in space and one in time.

Tran, Wang, Torresani, Ray, LeCun, Paluri: "A Closer Look at Spatiotemporal Convolutions for Action Recognition", arXiv
1711.11248.

::

    (2+1)D    x ── 1xkxk to M channels ── norm ── ReLU ── 3x1x1 ── norm ──>
    block     x ──┬─ (2+1)D ── ReLU ── (2+1)D ──(+)── ReLU ──>
                  └─────── 1x1x1 ── norm ────────┘

    M is chosen so that both factors together have the parameters of the one 3D convolution.

Axis legend: N clips, C channels, T frames, H rows, W columns, K classes. This is the network R(2+1)D; the operator
`vov3d.layers.R2Plus1D` of the T-OSA ablation has M = C and nothing between the factors.

Deviations:

1. Depth 18 is torchvision's: M of a block's first convolution serves its second one too. The rule of the paper would
   give 33.37M parameters in place of 31.51M. Depth 34 follows the rule, and has the authors' eps of 1e-3 in its norms.
2. Table 7 of the VoV3D paper says 16 frames next to 152 GFLOPs; 152 are those of 32 frames of 112x112.
"""

from __future__ import annotations

from torch import Tensor, nn

from vov3d.layers import BatchNorm, PoolHead, SpatialConv3d, TemporalConv3d
from vov3d.models.clip_classifier import ClipClassifier
from vov3d.models.resnet import BasicBranch, Branch, Place, resnet_stages

STEM_MID_CHANNELS = 45  # as published; the rule would give 83


def ruled_mid_channels(in_channels: int, out_channels: int) -> int:
    """Return M, with which 1x3x3 and 3x1x1 have at most the parameters of 3x3x3.

    Source: Section 3.5, floor(t d^2 C_in C_out / (d^2 C_in + t C_out)) with t = d = 3.
    """
    return 27 * in_channels * out_channels // (9 * in_channels + 3 * out_channels)


class Conv2Plus1D(nn.Module):
    """1 x k x k, norm, ReLU, 3 x 1 x 1, norm, no final activation.

    Shape: ``[N, C_in, T, H, W] -> [N, C_out, ceil(T/temporal_stride), ceil(H/stride), ceil(W/stride)]``

    Args:
        in_channels: channels of the input.
        mid_channels: channels between the factors, M.
        out_channels: channels of the output.
        kernel_size: k, in pixels.
        stride: spatial stride in pixels.
        temporal_stride: temporal stride in frames.

    Source: Section 3.5, Figure 2 (b).
    """

    def __init__(
        self,
        in_channels: int,
        mid_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        *,
        stride: int = 1,
        temporal_stride: int = 1,
    ) -> None:
        super().__init__()
        self.spatial = SpatialConv3d(in_channels, mid_channels, kernel_size, stride=stride)
        self.mid_norm = BatchNorm(mid_channels)
        self.relu = nn.ReLU(inplace=True)
        self.temporal = TemporalConv3d(mid_channels, out_channels, 3, stride=temporal_stride)
        self.norm = BatchNorm(out_channels)

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        mixed: Tensor = self.norm(self.temporal(self.relu(self.mid_norm(self.spatial(clips)))))
        return mixed


def factorised_branch(*, one_mid_width: bool) -> Branch:
    """Return what makes the branch of a block: two (2+1)D convolutions, the first one with the block's strides.

    Args:
        one_mid_width: whether M of the first convolution serves the second one too.
    """

    def branch(place: Place) -> BasicBranch:
        channels, strides = place.out_channels, {"stride": place.stride, "temporal_stride": place.temporal_stride}
        first_mid = ruled_mid_channels(place.in_channels, channels)
        second_mid = first_mid if one_mid_width else ruled_mid_channels(channels, channels)
        return BasicBranch(
            Conv2Plus1D(place.in_channels, first_mid, channels, **strides),
            Conv2Plus1D(channels, second_mid, channels),
        )

    return branch


class R2Plus1DNet(ClipClassifier):
    """The R(2+1)D network.

    Shape: ``[N, 3, T, H, W] -> [N, K]`` for any T >= 1 and any H, W >= 32.

    Args:
        depths: blocks in each of the four stages.
        one_mid_width: whether M of a block's first convolution serves its second one too.
        norm_eps: what each norm adds to the variance.
        num_classes: K; 0 for features in place of logits.
        dropout: probability of dropping a feature before the classifier.

    Source: Table 1 and Section 3.5; no pool after the stem.
    """

    def __init__(
        self,
        depths: tuple[int, int, int, int],
        *,
        one_mid_width: bool = False,
        norm_eps: float = 1e-3,
        num_classes: int = 400,
        dropout: float = 0.5,
    ) -> None:
        stem = nn.Sequential(Conv2Plus1D(3, STEM_MID_CHANNELS, 64, 7, stride=2), nn.ReLU(inplace=True))
        branch = factorised_branch(one_mid_width=one_mid_width)
        stages = resnet_stages(depths, branch, expansion=1, temporal_strides=(1, 2, 2, 2))
        super().__init__(stem, stages, PoolHead(512, num_classes, dropout=dropout))
        for module in self.modules():
            if isinstance(module, BatchNorm):
                module.eps = norm_eps


def r2plus1d_18(num_classes: int = 400, dropout: float = 0.5) -> R2Plus1DNet:
    """R(2+1)D-18 of torchvision: 31,505,325 parameters at 400 classes; 40.519 GMACs at 16x112x112."""
    return R2Plus1DNet((2, 2, 2, 2), one_mid_width=True, norm_eps=1e-5, num_classes=num_classes, dropout=dropout)


def r2plus1d_34(num_classes: int = 400, dropout: float = 0.5) -> R2Plus1DNet:
    """R(2+1)D-34: 63,697,175 parameters at 400 classes; 152.356 GMACs at 32x112x112 (Table 7: 63.6M, 152)."""
    return R2Plus1DNet((3, 4, 6, 3), num_classes=num_classes, dropout=dropout)
