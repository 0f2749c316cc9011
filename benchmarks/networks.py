"""What is timed: networks of the catalogue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from harness import peak_mib, resident_mib
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from vov3d.compare.workers import Ready
from vov3d.layers import DepthwiseConv3d, SpatialConv3d, TemporalConv3d
from vov3d.models import VoV3D, create_model


@dataclass(frozen=True)
class Clips:
    """What a network is shown.

    Attributes:
        frames: T.
        crop: H and W, in pixels.
        batch: N.
    """

    frames: int = 16
    crop: int = 224
    batch: int = 1

    def drawn(self) -> Tensor:
        """Clips of no content, the same each time."""
        generator = torch.Generator().manual_seed(1)
        return torch.randn(self.batch, 3, self.frames, self.crop, self.crop, generator=generator)


def network(name: str) -> nn.Module:
    """A network in which every part counts: norms have weights and saw clips, and logits are of the order of 1."""
    torch.manual_seed(0)
    model = create_model(name, num_classes=400)
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.5, 1.0)
        norm.momentum = None  # the mean of what it sees
    with torch.no_grad():
        logits = model(Clips(8).drawn())
        model.head.classifier.weight /= logits.std()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return model.eval()


def as_plain(model: nn.Module) -> nn.Module:
    """The same network with torch's own Conv3d arithmetic, on contiguous memory."""
    for module in model.modules():
        if isinstance(module, SpatialConv3d | TemporalConv3d | DepthwiseConv3d):
            module.forward = nn.Conv3d.forward.__get__(module)  # type: ignore[method-assign]
    model.forward_features = lambda clips: model.stages(model.stem(clips))  # type: ignore[assignment]
    return model


def plain(name: str, clips: Clips) -> Ready:
    """A network in plain eager: what every speed-up is measured against."""
    return ready(lambda: as_plain(network(name)), clips)


def ours(name: str, clips: Clips) -> Ready:
    """A network of the catalogue, in eager."""
    return ready(lambda: network(name), clips, compared_with=lambda: as_plain(network(name)))


def ready(
    build: Callable[[], Callable[[Tensor], Tensor]],
    clips: Clips,
    *,
    compared_with: Callable[[], Callable[[Tensor], Tensor]] | None = None,
    warm_up: Callable[[], object] | None = None,
) -> Ready:
    """Build, run twice, and find the peak of memory and how far the logits are from others.

    Args:
        build: the network.
        clips: what it is shown.
        compared_with: what gives the logits that are right.
        warm_up: loads what the network runs on, so that its code is not counted as the network's memory.
    """
    shown = clips.drawn()
    with torch.inference_mode():
        expected = compared_with()(shown) if compared_with else None
        (warm_up or _tiny)()
        before = resident_mib()
        model = build()
        logits = model(shown)
        peak = peak_mib(lambda: model(shown))
    facts: dict[str, float | str | None] = {"peak_mib": None if before is None or peak is None else peak - before}
    if expected is not None:
        facts |= distance(logits, expected)
    return Ready(torch.inference_mode()(lambda: model(shown)), facts)


def distance(logits: Tensor, expected: Tensor) -> dict[str, float | str | None]:
    """The largest difference and the cosine of logits to those that are right."""
    cosine = nn.functional.cosine_similarity(logits.flatten().double(), expected.flatten().double(), dim=0)
    return {"max_error": float((logits - expected).abs().max()), "cosine": float(cosine)}


def _tiny() -> None:
    VoV3D(8, (1, 1, 1, 1), num_classes=2).eval()(torch.zeros(1, 3, 2, 64, 64))
