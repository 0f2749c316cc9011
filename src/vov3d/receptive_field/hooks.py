"""Looking into a network while it computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from torch import nn

from vov3d.models import ClipClassifier


@contextmanager
def hooked(model: ClipClassifier, look: Callable[[str, object, object], None]) -> Iterator[None]:
    """Let ``look`` see name, inputs and outputs of each module of stem and stages after it has computed."""

    def call(name: str, _module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        look(name, inputs, output)

    with ExitStack() as stack:
        for name, module in model.named_modules():
            if name.partition(".")[0] in ("stem", "stages"):
                stack.callback(module.register_forward_hook(partial(call, name)).remove)
        yield
