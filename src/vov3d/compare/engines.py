"""One network by every engine that is here: how long a clip takes, and how far off the logits are."""

from __future__ import annotations

import contextlib
import functools
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from vov3d.compare.workers import MeasuringError, Ready, Worker
from vov3d.environment import describe_environment
from vov3d.errors import ArgumentError, unknown_name
from vov3d.layers import BatchNorm
from vov3d.models import ClipClassifier
from vov3d.models.movinet import Rezero
from vov3d.optimize import BACKENDS, PRECISIONS, Precision, optimize
from vov3d.optimize.choosing import candidates
from vov3d.optimize.plain import plain_trunk
from vov3d.trained import load_network

PLAIN, EAGER = "plain", "eager"
"""The published network as torch computes it, on plain memory; and ours, as it stands."""


@dataclass(frozen=True)
class Setting:
    """What is timed.

    Attributes:
        model: a name of `vov3d models`, or a checkpoint.
        frames: T.
        crop: H and W, in pixels.
        batch: N.
        threads: threads of an operator.
    """

    model: str
    frames: int = 16
    crop: int = 224
    batch: int = 1
    threads: int = 1

    def clips(self, number: int) -> Tensor:
        """Clips of noise, the same ones in every process."""
        generator = torch.Generator().manual_seed(1)
        return torch.randn(number, 3, self.frames, self.crop, self.crop, generator=generator)


@dataclass(frozen=True)
class Engine:
    """How one engine did.

    Attributes:
        backend: its name.
        precision: of weights and activations.
        latency_ms: median time of a batch; ``None`` if it did not run.
        fastest_ms: the quickest of the runs.
        slowest_ms: the slowest.
        ratio: how many times as fast as the plain network: the median of the ratios of each round.
        max_error: largest difference of a logit to the plain network's, over its largest logit.
        cosine: least cosine of a clip's logits to the plain network's.
        failure: why it did not run.
    """

    backend: str
    precision: Precision
    latency_ms: float | None = None
    fastest_ms: float | None = None
    slowest_ms: float | None = None
    ratio: float | None = None
    max_error: float | None = None
    cosine: float | None = None
    failure: str = ""


@dataclass(frozen=True)
class Bench:
    """What `bench` found.

    Attributes:
        setting: what was timed.
        rounds: timed runs of each engine, in turns.
        machine: the processor.
        engines: the plain network first.
    """

    setting: Setting
    rounds: int
    machine: str
    engines: tuple[Engine, ...]


def bench(
    model: str | Path,
    *,
    frames: int = 16,
    crop: int = 224,
    batch: int = 1,
    threads: int | None = None,
    precisions: Sequence[Precision] = ("fp32", "bf16"),
    backends: Sequence[str] | None = None,
    rounds: int = 7,
    on_progress: Callable[[int, int], None] | None = None,
) -> Bench:
    """Time a network by every engine, each in a process of its own, in rounds that take turns.

    Args:
        model: a name of `vov3d models`, whose weights are then drawn, or a checkpoint.
        frames: frames of each clip.
        crop: height and width, in pixels.
        batch: clips at a time.
        threads: threads of an operator; by default torch's.
        precisions: of the engines; int8 takes its ranges from the clips that are timed.
        backends: which ones; by default all that `vov3d.optimize` would choose from.
        rounds: timed runs of each.
        on_progress: called with (steps done, all steps).

    Raises:
        ArgumentError: an unknown name, or a number out of range.
    """
    threads = torch.get_num_threads() if threads is None else threads
    if min(frames, batch, threads, rounds) < 1 or crop < 32:
        raise ArgumentError("frames, batch, threads and rounds must be 1 or more, crop 32 or more")
    for kind, given, allowed in (("backend", backends or (), BACKENDS), ("precision", precisions, PRECISIONS)):
        for name in given:
            if name not in allowed:
                raise ArgumentError(unknown_name(kind, name, allowed))
    setting = Setting(str(model), frames, crop, batch, threads)
    load_network(model)  # what is wrong with the name or the file is told before anything runs
    chosen = candidates("cpu") if backends is None else list(backends)
    rows: list[tuple[str, Precision]] = [(PLAIN, "fp32"), (EAGER, "fp32")]
    rows += [(name, precision) for precision in precisions for name in chosen]
    engines = _in_turns(setting, rows, rounds, on_progress or (lambda _done, _all: None))
    processor = str(describe_environment()["processor"])
    return Bench(setting, rounds, processor, engines)


def _in_turns(
    setting: Setting, rows: Sequence[tuple[str, Precision]], rounds: int, on_progress: Callable[[int, int], None]
) -> tuple[Engine, ...]:
    """Start all, then let each run once a round."""
    steps = len(rows) * (rounds + 1)
    times: list[list[float]] = [[] for _ in rows]
    failures, workers = [""] * len(rows), dict[int, Worker]()
    with contextlib.ExitStack() as stack:
        for turn in range(rounds + 1):
            for place, (backend, precision) in enumerate(rows):
                on_progress(turn * len(rows) + place, steps)
                try:
                    if turn == 0:
                        build = functools.partial(_ready, setting, backend, precision)
                        workers[place] = stack.enter_context(Worker.started(build, setting.threads))
                    elif place in workers:
                        times[place].append(workers[place].run())
                except MeasuringError as error:
                    failures[place] = str(error)
                    workers.pop(place, None)
        facts = [workers[place].facts if place in workers else {} for place in range(len(rows))]
    return tuple(_summed_up(*one, times[0]) for one in zip(rows, times, facts, failures, strict=True))


def _summed_up(
    row: tuple[str, Precision], times: Sequence[float], facts: object, failure: str, plain: Sequence[float]
) -> Engine:
    if not times:
        return Engine(*row, failure=failure)
    assert isinstance(facts, dict)
    ratios = [base / mine for base, mine in zip(plain, times, strict=False)]
    return Engine(
        *row,
        latency_ms=round(statistics.median(times), 2),
        fastest_ms=round(min(times), 2),
        slowest_ms=round(max(times), 2),
        ratio=round(statistics.median(ratios), 3) if ratios else None,
        max_error=facts["max_error"],
        cosine=facts["cosine"],
        failure=failure,
    )


def _ready(setting: Setting, backend: str, precision: Precision) -> Ready:
    """Build one engine and run it; what a process does first."""
    model, clips = _network(setting.model), setting.clips(setting.batch)
    if backend in (PLAIN, EAGER):
        plain = Plain(model)
        network: nn.Module = plain if backend == PLAIN else model
        with torch.inference_mode():
            expected, logits = plain(clips), network(clips)
        error = float((logits - expected).abs().max() / expected.abs().max())
        cosine = float(torch.cosine_similarity(logits.double(), expected.double()).min())
    else:
        if (reason := BACKENDS[backend].refuses(model, precision)) is not None:
            raise ArgumentError(reason)
        calibration = setting.clips(8) if precision == "int8" else None
        optimized = optimize(model, clips, precision, backend, calibration=calibration, num_threads=setting.threads)
        network, error, cosine = optimized, optimized.max_error, optimized.cosine

    def run() -> None:
        with torch.inference_mode():
            network(clips)

    run()
    return Ready(run, {"max_error": error, "cosine": cosine})


class Plain(nn.Module):
    """A network as torch computes its published form: 3D convolutions on plain memory.

    Shape: ``[N, 3, T, H, W] -> [N, K]``
    """

    def __init__(self, model: ClipClassifier) -> None:
        super().__init__()
        self.trunk = plain_trunk(model)

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        network = self.trunk.network
        if type(network).forward_features is ClipClassifier.forward_features:
            logits: Tensor = network.head(network.stages(network.stem(clips)))
            return logits
        return network.head.classify(self.trunk(clips))


def _network(model: str) -> ClipClassifier:
    """A checkpoint's network; or one of the catalogue, drawn so that every branch counts."""
    torch.manual_seed(0)
    _, network, is_trained = load_network(model)
    for module in network.modules() if not is_trained else ():
        if isinstance(module, nn.Conv3d):
            nn.init.normal_(module.weight, std=module.weight[0].numel() ** -0.5)
        elif isinstance(module, BatchNorm):
            nn.init.normal_(module.weight, 1, 0.1)
            nn.init.normal_(module.bias, 0, 0.1)
        elif isinstance(module, Rezero):
            nn.init.ones_(module.weight)
    return network.eval()
