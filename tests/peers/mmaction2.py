"""mmaction2's networks, where its packages are installed: mmaction2 1.2.0, mmcv-lite 2.1.0, mmengine 0.10.7."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import pytest
from torch import nn

ABSENT = "mmaction.models.localizers.drn"  # which its wheel forgets


def mmaction2_network(config: dict[str, object]) -> nn.Module:
    """Build a network of mmaction2; skip the test where there is no mmaction2."""
    pytest.importorskip("mmaction", reason="mmaction2 is not installed")
    package, module = ModuleType(ABSENT), ModuleType(f"{ABSENT}.drn")
    module.DRN = object  # type: ignore[attr-defined]
    package.__path__ = []
    sys.modules |= {package.__name__: package, module.__name__: module}
    importlib.import_module("mmaction.models")
    from mmaction.registry import MODELS
    from mmengine.registry import init_default_scope

    init_default_scope("mmaction")
    network: nn.Module = MODELS.build(config)
    return network
