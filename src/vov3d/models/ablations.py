"""The paper's own variants: VoV3D and X3D of every size with every 3D operator.

T-OSA and X3D's block are one class, `Bottleneck`, with a 3D operator in the middle (`vov3d.layers.operators`), so a
variant is a network with another operator and is named ``<network>_<operator>``. Those that Tables 3 and 4 print are in
`ABOUT` with their row. What the tables print does not always come from these networks: the GFLOPs of rows (a) and (b)
of Table 4 are those of the VoV3D-M of December 2020 (docs/faithfulness.md #15). VoV3D-S with each operator is ours: the
same comparison on a CPU.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping

from vov3d.layers import OPERATORS, D2Plus1D, Operator
from vov3d.models.clip_classifier import ClipClassifier
from vov3d.models.vov3d import VoV3D, vov3d_l, vov3d_m, vov3d_s
from vov3d.models.x3d import x3d_l, x3d_m, x3d_s, x3d_xs

ABOUT: Mapping[str, tuple[int, float, str]] = {
    "vov3d_m_bottleneck": (43_085_086, 119.198, "Table 4 a: 42.9M, 103.2"),
    "vov3d_m_r2plus1d": (20_885_086, 56.284, "Table 4 b: 20.9M, 48.9"),
    "vov3d_m_dw_bottleneck": (3_303_286, 7.014, "Tables 3, 4 c: 3.3M, 7.0"),
    "vov3d_m_d1plus2d": (3_204_286, 6.468, "Table 4 d: 3.2M, 6.5"),
    "vov3d_l_dw_bottleneck": (6_010_494, 13.014, "Table 3, no numbers"),
    "x3d_m_d2plus1d": (3_239_718, 5.699, "Tables 3, 4 g: 3.2M, 5.8"),
    "x3d_l_d2plus1d": (5_491_908, 11.008, "Table 3, no numbers"),
    "vov3d_m_2020_bottleneck": (44_332_446, 103.279, "Table 4 a: 42.9M, 103.2"),
    "vov3d_m_2020_r2plus1d": (21_522_846, 48.921, "Table 4 b: 20.9M, 48.9"),
    "vov3d_s_bottleneck": (3_717_182, 9.618, "not in the paper"),
    "vov3d_s_r2plus1d": (2_085_182, 4.585, "not in the paper"),
    "vov3d_s_dw_bottleneck": (811_982, 0.824, "not in the paper"),
    "vov3d_s_d1plus2d": (793_982, 0.694, "not in the paper"),
}
"""Name -> parameters at 174 classes, GMACs at 16x256x256, and where the paper has it."""

_TITLES = {
    "bottleneck": "3x3x3",
    "r2plus1d": "R(2+1)D",
    "dw_bottleneck": "depthwise 3x3x3",
    "d1plus2d": "D(1+2)D",
    "d2plus1d": "D(2+1)D",
}


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


def _variant(network: Callable[..., ClipClassifier], operator: str) -> Callable[..., ClipClassifier]:
    """Return the builder of a network with another 3D operator."""

    def build(
        num_classes: int = 400, dropout: float = 0.5, stochastic_depth: float = 0.0, causal: bool = False
    ) -> ClipClassifier:
        return network(num_classes, dropout, OPERATORS[operator], stochastic_depth, causal)

    build.__name__ = build.__qualname__ = f"{network.__name__}_{operator}"
    title = f"{(network.__doc__ or '').partition(':')[0]} with {_TITLES[operator]}"
    build.__doc__ = f"{title}: not in the paper."
    if build.__name__ in ABOUT:
        parameters, gmacs, source = ABOUT[build.__name__]
        build.__doc__ = f"{title}: {parameters:,} parameters at 174 classes; {gmacs} GMACs at 16x256x256 ({source})."
    return build


VARIANTS: Mapping[str, Callable[..., ClipClassifier]] = {
    build.__name__: build
    for network in (vov3d_m, vov3d_l, vov3d_s, vov3d_m_2020, x3d_m, x3d_l, x3d_s, x3d_xs)
    for operator, built in OPERATORS.items()
    if built is not inspect.signature(network).parameters["operator"].default
    for build in [_variant(network, operator)]
}
"""The builder of each variant by its name."""
