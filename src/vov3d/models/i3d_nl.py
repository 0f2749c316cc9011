"""Non-local I3D: an inflated ResNet in which five blocks let every position see every other.

Wang, Girshick, Gupta, He: "Non-local Neural Networks", arXiv 1711.07971.

::

    non-local    x ──┬── theta ───────── q ──┐
                     ├── phi ─── pool ── k ──┼── softmax(q k) v ── 1x1x1 ── norm ──(+)──>
                     ├── g ───── pool ── v ──┘                                      │
                     └──────────────────────────────────────────────────────────────┘

    frames of a clip of 32    conv1 16, pool1 8, stage 1 8, pool2 4, stages 2 to 4 4

Axis legend: N clips, C channels, T frames, H rows, W columns, P positions (T x H x W), K classes.

Deviations from the paper. Strides and shapes are those of its Table 1; the rest is MMAction2's, whose weights are
published:

1. phi and g are pooled; the paper pools what they see, which costs less.
2. pool1 is 1x3x3 and pool2 2x1x1; the paper has 3x3x3 and 3x1x1.
3. 3x1x1 kernels stand in all blocks of the first stage; the paper's text has them in every second block of all stages.
4. A block strides in its middle convolution, not in its first.

GMACs are those of convolutions and linear layers, as everywhere here; the two products of attention would be 2.99 more
at 32x224x224. Table 7 of the VoV3D paper prints 282 next to 32 frames. 128 frames of 256x256, with phi and g behind the
pool and the products of attention counted, are 281.5 (tested).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from vov3d.layers import ConvNorm, PoolHead, Residual, SpatialConv3d
from vov3d.models.clip_classifier import ClipClassifier
from vov3d.models.resnet import R50, BottleneckBranch, Place, ResNetStem, resnet_stages


class NonLocal(nn.Module):
    """Add to every position a mean over all positions of the clip, weighted by how alike they are.

    ::

        y_i = x_i + norm(W sum_j softmax_j(theta(x_i) phi(x_j)) g(x_j))        j: maxima of 2x2 pixels

    Shape: ``[N, C, T, H, W] -> [N, C, T, H, W]``

    Args:
        channels: C; half of them inside.

    Source: Section 3, embedded Gaussian, without a scale in the softmax. In `NonLocalI3D` the last norm starts at zero,
    and so the block as the identity.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        mid_channels = channels // 2
        self.theta = SpatialConv3d(channels, mid_channels, bias=True)
        self.phi = SpatialConv3d(channels, mid_channels, bias=True)
        self.g = SpatialConv3d(channels, mid_channels, bias=True)
        self.pool = nn.MaxPool3d((1, 2, 2))
        self.project = ConvNorm(mid_channels, channels)

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        maps = self.theta(clips), self.pool(self.phi(clips)), self.pool(self.g(clips))
        queries, keys, values = (one.flatten(2).transpose(1, 2).unsqueeze(1) for one in maps)  # [N,1,P,C/2]
        seen = F.scaled_dot_product_attention(queries, keys, values, scale=1.0)
        sums: Tensor = clips + self.project(seen.squeeze(1).transpose(1, 2).unflatten(2, clips.shape[2:]))
        return sums


class NonLocalResidual(Residual):
    """A residual block, then a non-local one.

    Args:
        block: the residual block.
        channels: channels of its output.
    """

    def __init__(self, block: Residual, channels: int) -> None:
        super().__init__(block.branch, block.shortcut)
        self.non_local = NonLocal(channels)

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        mixed: Tensor = self.non_local(super().forward(clips))
        return mixed


class NonLocalI3D(ClipClassifier):
    """The inflated ResNet with non-local blocks.

    Shape: ``[N, 3, T, H, W] -> [N, K]`` for any T >= 1 and any H, W >= 32; the published T is 32.

    Args:
        depths: residual blocks in each stage; every second one of the middle stages is followed by a non-local block.
        num_classes: K; 0 for features in place of logits.
        dropout: probability of dropping a feature before the classifier.

    Source: Table 1, I3D 3x1x1; Section 4, five non-local blocks.
    """

    def __init__(self, depths: Sequence[int] = R50, *, num_classes: int = 400, dropout: float = 0.5) -> None:
        pool1 = nn.MaxPool3d((1, 3, 3), stride=2, padding=(0, 1, 1))
        pool2 = nn.MaxPool3d((2, 1, 1), ceil_mode=True)
        first, second, third, last = resnet_stages(depths, inflated_branch)
        stages = nn.Sequential(
            nn.Sequential(*first.children(), pool2),
            with_non_local(second, 512),
            with_non_local(third, 1024),
            last,
        )
        stem = ResNetStem(frames=5, temporal_stride=2, pool=pool1)
        super().__init__(stem, stages, PoolHead(2048, num_classes, dropout=dropout))
        for module in self.modules():
            if isinstance(module, NonLocal):
                nn.init.zeros_(module.project.norm.weight)


def with_non_local(stage: nn.Module, channels: int) -> nn.Sequential:
    """Return the residual blocks of a stage of so many channels, every second one with a non-local one after it."""
    blocks = nn.Sequential()
    for index, block in enumerate(stage.children()):
        assert isinstance(block, Residual)
        blocks.append(NonLocalResidual(block, channels) if index % 2 else block)
    return blocks


def inflated_branch(place: Place) -> BottleneckBranch:
    """Return a branch that begins with 3x1x1 in all of the first stage and every second block of the others."""
    inflated = place.stage == 0 or place.block % 2 == (place.stage == 3)
    return BottleneckBranch(place, frames=3 if inflated else 1)


def i3d_nl_r50(num_classes: int = 400, dropout: float = 0.5) -> NonLocalI3D:
    """Non-local I3D ResNet-50: 35,397,840 parameters at 400 classes; 41.349 GMACs at 32x224x224 (Table 7: 35.3M)."""
    return NonLocalI3D(num_classes=num_classes, dropout=dropout)
