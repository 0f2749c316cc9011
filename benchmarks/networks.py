"""What is timed: networks of the catalogue."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from harness import peak_mib, resident_mib
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

import vov3d
from vov3d.compare.workers import Ready
from vov3d.layers import DepthwiseConv3d, SpatialConv3d, TemporalConv3d
from vov3d.models import ClipClassifier, VoV3D, create_model
from vov3d.models.i3d_nl import NonLocal
from vov3d.models.region_graph import RegionGraph
from vov3d.optimize import BACKENDS, PRECISIONS, Optimized, Precision
from vov3d.optimize.choosing import candidates


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


def network(name: str, *, causal: bool | None = None) -> ClipClassifier:
    """A network in which every part counts: norms have weights and saw clips, and logits are of the order of 1."""
    torch.manual_seed(0)
    model = create_model(name, num_classes=400, causal=causal)
    for module in model.modules():
        if isinstance(module, NonLocal | RegionGraph):  # products as drawn are large: attention would choose one place,
            module.theta.weight.data /= len(module.theta.weight)  # and rounding which
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


def as_plain(model: ClipClassifier) -> ClipClassifier:
    """The same network with torch's own Conv3d arithmetic, on contiguous memory."""
    for module in model.modules():
        if isinstance(module, SpatialConv3d | TemporalConv3d | DepthwiseConv3d):
            module.forward = nn.Conv3d.forward.__get__(module)  # type: ignore[method-assign]
    model.forward_features = lambda clips: model.stages(model.stem(clips))  # type: ignore[method-assign]
    return model


def plain(name: str, clips: Clips, *, checked: bool = False) -> Ready:
    """A network in plain eager: what every speed-up is measured against; if it is to be checked, with its memory."""
    return ready(lambda: as_plain(network(name)), clips, warm_up=_tiny if checked else None)


def ours(name: str, clips: Clips, *, checked: bool = False) -> Ready:
    """A network of the catalogue, in eager; if it is to be checked, beside the plain one, and its memory."""
    model = network(name)
    if not checked:
        return ready(lambda: model, clips)
    beside = functools.partial(as_plain, copy.deepcopy(model))
    return ready(lambda: copy.deepcopy(model), clips, compared_with=beside, warm_up=_tiny)


def ready(
    build: Callable[[], Callable[[Tensor], Tensor]],
    clips: Clips,
    *,
    compared_with: Callable[[], Callable[[Tensor], Tensor]] | None = None,
    warm_up: Callable[[], object] | None = None,
) -> Ready:
    """Build and run; on demand, find how far the logits are from others, and the peak of memory.

    Args:
        build: the network.
        clips: what it is shown.
        compared_with: what gives the logits that are right.
        warm_up: loads what the network runs on, so that its code is not counted as the network's memory; without it
            memory is not measured.
    """
    shown = clips.drawn()
    facts: dict[str, float | str | None] = {}
    with torch.inference_mode():
        expected = compared_with()(shown) if compared_with else None
        if warm_up:
            warm_up()
        before = resident_mib() if warm_up else None
        model = build()
        logits = model(shown)
        peak = peak_mib(lambda: model(shown)) if warm_up else None
    if before is not None and peak is not None:
        facts["peak_mib"] = peak - before
    if expected is not None:
        facts |= distance(logits, expected)
    return Ready(torch.inference_mode()(lambda: model(shown)), facts)


def distance(logits: Tensor, expected: Tensor) -> dict[str, float | str | None]:
    """The largest difference and the cosine of logits to those that are right."""
    cosine = nn.functional.cosine_similarity(logits.flatten().double(), expected.flatten().double(), dim=0)
    return {"max_error": float((logits - expected).abs().max()), "cosine": float(cosine)}


def _tiny() -> VoV3D:
    """A network that has run once."""
    model = VoV3D(8, (1, 1, 1, 1), num_classes=2).eval()
    model(torch.zeros(1, 3, 2, 64, 64))
    return model


# ---- optimised -------------------------------------------------------------------------------------------------------


def optimised(name: str, clips: Clips, precision: Precision, backend: str = "auto", *, checked: bool = False) -> Ready:
    """A network of the catalogue, optimised.

    Args:
        name: of the catalogue.
        clips: what it is shown.
        precision: of `vov3d.optimize`.
        backend: likewise; by default the one it picks.
        checked: whether to compare it with the network in eager, and to measure the peak of memory, for which its
            engine is loaded beforehand.
    """
    model = network(name)
    chosen: dict[str, float | str | None] = {}

    def fast(model: ClipClassifier, shown: Tensor) -> Optimized:
        calibration = Clips(shown.shape[2], shown.shape[3], 2).drawn() if precision == "int8" else None
        found = vov3d.optimize(model, shown[:1], precision, backend, calibration=calibration)
        chosen["backend"] = found.backend
        return found

    build = functools.partial(fast, model, clips.drawn())
    if checked:
        loaded = functools.partial(fast, _tiny(), Clips(2, 64).drawn())
        found = ready(build, clips, compared_with=lambda: model, warm_up=loaded)
    else:
        found = ready(build, clips)
    return Ready(found.run, {**chosen, **found.facts})


def ways(name: str) -> list[tuple[str, Precision]]:
    """Back ends and precisions that are here and take a network, but those that compile for minutes."""
    model = create_model(name).eval()
    return [
        (name, precision)
        for name in candidates("cpu")
        for precision in PRECISIONS
        if BACKENDS[name].refuses(model, precision) is None
    ]
