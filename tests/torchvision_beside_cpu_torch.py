"""torchvision beside a torch that it was not made for, as far as its transforms need it."""

from __future__ import annotations

import functools
import importlib
import sys

import pytest
import torch


@functools.cache
def _declared() -> torch.library.Library:
    """The operators that torchvision looks for while it is imported, without any code behind them."""
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor boxes, Tensor scores, float threshold) -> Tensor")
    library.define("qnms(Tensor boxes, Tensor scores, float threshold) -> Tensor")
    return library


@functools.cache
def import_torchvision() -> None:
    """Import torchvision, if need be without its compiled operators; skip the test where there is none."""
    try:
        importlib.import_module("torchvision")
    except ModuleNotFoundError as error:
        if error.name != "torchvision":
            raise
        pytest.skip("torchvision is not installed")
    except RuntimeError as error:
        if "does not exist" not in str(error):
            raise
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        _declared()
        importlib.import_module("torchvision")
