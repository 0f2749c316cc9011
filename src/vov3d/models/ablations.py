"""The paper's own variants: the rows of Tables 3 and 4 that are not VoV3D or X3D themselves.

T-OSA and X3D's block are one class, `Bottleneck`, with a 3D operator in the middle (`vov3d.layers.operators`), so each
row is a published network with another operator. What the tables print does not always come from these networks: the
GFLOPs of rows (a) and (b) of Table 4 are those of the VoV3D-M of December 2020 (docs/faithfulness.md #15). VoV3D-S with
each operator is ours: the same comparison on a CPU.
"""

from __future__ import annotations

from vov3d.layers import Conv3x3x3, D1Plus2D, D2Plus1D, DepthwiseConv3d, Operator, R2Plus1D
from vov3d.models.vov3d import VoV3D, vov3d_l, vov3d_m, vov3d_s
from vov3d.models.x3d import X3D, x3d_l, x3d_m


def vov3d_m_bottleneck(
    num_classes: int = 400, dropout: float = 0.5, stochastic_depth: float = 0.0, causal: bool = False
) -> VoV3D:
    """VoV3D-M of 3x3x3: 43,085,086 parameters at 174 classes; 119.20 GMACs at 16x256x256 (Table 4 a: 42.9M, 103.2)."""
    return vov3d_m(num_classes, dropout, Conv3x3x3, stochastic_depth, causal)


def vov3d_m_r2plus1d(
    num_classes: int = 400, dropout: float = 0.5, stochastic_depth: float = 0.0, causal: bool = False
) -> VoV3D:
    """VoV3D-M of R(2+1)D: 20,885,086 parameters at 174 classes; 56.28 GMACs at 16x256x256 (Table 4 b: 20.9M, 48.9)."""
    return vov3d_m(num_classes, dropout, R2Plus1D, stochastic_depth, causal)


def vov3d_m_dw_bottleneck(
    num_classes: int = 400, dropout: float = 0.5, stochastic_depth: float = 0.0, causal: bool = False
) -> VoV3D:
    """T-OSA alone, M: 3,303,286 parameters at 174 classes; 7.014 GMACs at 16x256x256 (Tables 3, 4 c: 3.3M, 7.0)."""
    return vov3d_m(num_classes, dropout, DepthwiseConv3d, stochastic_depth, causal)


def vov3d_m_d1plus2d(
    num_classes: int = 400, dropout: float = 0.5, stochastic_depth: float = 0.0, causal: bool = False
) -> VoV3D:
    """VoV3D-M of D(1+2)D: 3,204,286 parameters at 174 classes; 6.468 GMACs at 16x256x256 (Table 4 d: 3.2M, 6.5)."""
    return vov3d_m(num_classes, dropout, D1Plus2D, stochastic_depth, causal)


def vov3d_l_dw_bottleneck(
    num_classes: int = 400, dropout: float = 0.5, stochastic_depth: float = 0.0, causal: bool = False
) -> VoV3D:
    """T-OSA alone, L: 6,010,494 parameters at 174 classes; 13.014 GMACs at 16x256x256 (Table 3, no numbers)."""
    return vov3d_l(num_classes, dropout, DepthwiseConv3d, stochastic_depth, causal)


def x3d_m_d2plus1d(
    num_classes: int = 400, dropout: float = 0.5, stochastic_depth: float = 0.0, causal: bool = False
) -> X3D:
    """X3D-M of D(2+1)D: 3,239,718 parameters at 174 classes; 5.699 GMACs at 16x256x256 (Tables 3, 4: 3.2M, 5.8)."""
    return x3d_m(num_classes, dropout, D2Plus1D, stochastic_depth, causal)


def x3d_l_d2plus1d(
    num_classes: int = 400, dropout: float = 0.5, stochastic_depth: float = 0.0, causal: bool = False
) -> X3D:
    """X3D-L of D(2+1)D: 5,491,908 parameters at 174 classes; 11.008 GMACs at 16x256x256 (Table 3, no numbers)."""
    return x3d_l(num_classes, dropout, D2Plus1D, stochastic_depth, causal)


def vov3d_m_2020(
    num_classes: int = 400,
    dropout: float = 0.5,
    operator: Operator = D2Plus1D,
    stochastic_depth: float = 0.0,
    causal: bool = False,
) -> VoV3D:
    """VoV3D-M of December 2020: 3,337,374 parameters at 174 classes; 5.774 GMACs at 16x256x256 (README: 3.3M, 5.7)."""
    return VoV3D(
        *(48, (1, 1, 2, 2)),
        num_units=4,
        operator=operator,
        num_classes=num_classes,
        dropout=dropout,
        stochastic_depth=stochastic_depth,
        causal=causal,
    )


def vov3d_s_bottleneck(
    num_classes: int = 400, dropout: float = 0.5, stochastic_depth: float = 0.0, causal: bool = False
) -> VoV3D:
    """VoV3D-S of 3x3x3: 3,717,182 parameters at 174 classes; 9.618 GMACs at 16x256x256. Not in the paper."""
    return vov3d_s(num_classes, dropout, Conv3x3x3, stochastic_depth, causal)


def vov3d_s_r2plus1d(
    num_classes: int = 400, dropout: float = 0.5, stochastic_depth: float = 0.0, causal: bool = False
) -> VoV3D:
    """VoV3D-S of R(2+1)D: 2,085,182 parameters at 174 classes; 4.585 GMACs at 16x256x256. Not in the paper."""
    return vov3d_s(num_classes, dropout, R2Plus1D, stochastic_depth, causal)


def vov3d_s_dw_bottleneck(
    num_classes: int = 400, dropout: float = 0.5, stochastic_depth: float = 0.0, causal: bool = False
) -> VoV3D:
    """VoV3D-S of depthwise 3x3x3: 811,982 parameters at 174 classes; 0.824 GMACs at 16x256x256. Not in the paper."""
    return vov3d_s(num_classes, dropout, DepthwiseConv3d, stochastic_depth, causal)


def vov3d_s_d1plus2d(
    num_classes: int = 400, dropout: float = 0.5, stochastic_depth: float = 0.0, causal: bool = False
) -> VoV3D:
    """VoV3D-S of D(1+2)D: 793,982 parameters at 174 classes; 0.694 GMACs at 16x256x256. Not in the paper."""
    return vov3d_s(num_classes, dropout, D1Plus2D, stochastic_depth, causal)
