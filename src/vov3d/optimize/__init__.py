"""A trained network, as fast as this machine allows: other engines behind the same contract.

::

    clips ── folded network, by one of the back ends ── map ── pool, classifier: torch, float32 ── logits
                                                                                   │
    example ── plain network, float32 ── logits ─────────────── how far apart? ────┘
"""

from vov3d.optimize.backend import PRECISIONS, Precision
from vov3d.optimize.choosing import BACKENDS, optimize
from vov3d.optimize.network import Optimized
from vov3d.optimize.streaming import fast_stream

__all__ = ["BACKENDS", "PRECISIONS", "Optimized", "Precision", "fast_stream", "optimize"]
