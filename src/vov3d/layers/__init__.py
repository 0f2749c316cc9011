"""Building blocks that the networks share."""

from vov3d.layers.bottleneck import Bottleneck, Gate, Residual, projection_shortcut
from vov3d.layers.causal import (
    CausalDenseConv3d,
    CausalDepthwiseConv3d,
    CausalSqueezeExcitation,
    CausalTemporalConv3d,
    PositionalEncoding,
)
from vov3d.layers.convolution import (
    DenseConv3d,
    DepthwiseConv3d,
    SpatialConv3d,
    TemporalConv3d,
    conv3d,
    pad_as_tensorflow,
    same_padding,
)
from vov3d.layers.frame_motion import FrameMotion
from vov3d.layers.head import ClipHead
from vov3d.layers.initialisation import initialise, start_as_shift
from vov3d.layers.norm import BatchNorm, ConvNorm
from vov3d.layers.operators import OPERATORS, CausalConv3x3x3, Conv3x3x3, D1Plus2D, D2Plus1D, Operator, R2Plus1D
from vov3d.layers.over_time import OverTime, over_time
from vov3d.layers.pool_head import Head, PoolHead, window_means
from vov3d.layers.pooling import SpatialAveragePool, SpatialMaxPool
from vov3d.layers.roi_align import roi_align
from vov3d.layers.squeeze_excitation import SqueezeExcitation, squeezed_channels
from vov3d.layers.stem import Stem
from vov3d.layers.stochastic_depth import StochasticDepth, depth_probabilities
from vov3d.layers.stream import ClipMean, MeanSoFar, Memory, OverlapAdd, Past, Stream
from vov3d.layers.temporal_shift import TemporalShift

__all__ = [
    "OPERATORS",
    "BatchNorm",
    "Bottleneck",
    "CausalConv3x3x3",
    "CausalDenseConv3d",
    "CausalDepthwiseConv3d",
    "CausalSqueezeExcitation",
    "CausalTemporalConv3d",
    "ClipHead",
    "ClipMean",
    "Conv3x3x3",
    "ConvNorm",
    "D1Plus2D",
    "D2Plus1D",
    "DenseConv3d",
    "DepthwiseConv3d",
    "FrameMotion",
    "Gate",
    "Head",
    "MeanSoFar",
    "Memory",
    "Operator",
    "OverTime",
    "OverlapAdd",
    "Past",
    "PoolHead",
    "PositionalEncoding",
    "R2Plus1D",
    "Residual",
    "SpatialAveragePool",
    "SpatialConv3d",
    "SpatialMaxPool",
    "SqueezeExcitation",
    "Stem",
    "StochasticDepth",
    "Stream",
    "TemporalConv3d",
    "TemporalShift",
    "conv3d",
    "depth_probabilities",
    "initialise",
    "over_time",
    "pad_as_tensorflow",
    "projection_shortcut",
    "roi_align",
    "same_padding",
    "squeezed_channels",
    "start_as_shift",
    "window_means",
]
