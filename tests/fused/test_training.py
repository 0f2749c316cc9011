"""Training with the fused kernels: what a step of the optimiser makes of them, and what the log says."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

pytest.importorskip("triton")

from tests.tiny import tiny_recipe
from vov3d import train_step
from vov3d.data.items import Batch
from vov3d.distributed import ProcessGroup
from vov3d.fused import Replayed, fuse, tiles
from vov3d.models import ClipClassifier, VoV3D
from vov3d.recipe import Recipe
from vov3d.train import train
from vov3d.train_step import FUSED, TrainStep

ALONE = ProcessGroup(0, 1, torch.device("cpu"))
GPU = torch.device("cuda")
pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="the kernels run in the interpreter here")


def network(num_classes: int = 3, dropout: float = 0.5) -> ClipClassifier:
    torch.manual_seed(0)
    return VoV3D(8, (1,), num_units=1, num_classes=num_classes, dropout=dropout, stochastic_depth=0.2)


def batch(number: int, num_clips: int = 4) -> Batch:
    clips = torch.randn(num_clips, 3, 2, 32, 32, generator=torch.Generator().manual_seed(number))
    labels = torch.arange(num_clips) % 3
    targets = torch.nn.functional.one_hot(labels, 3).float()
    return Batch(clips, labels, torch.arange(num_clips), targets, ())


def with_kernels(_recipe: Recipe, models: tuple[ClipClassifier, ...], _device: torch.device) -> str:
    """What a GPU does."""
    assert all(fuse(model) == 1 for model in models)
    return FUSED


@pytest.fixture(autouse=True)
def _large_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter takes as long for a few values as for many."""
    for block in (tiles.POINTWISE, tiles.POINTWISE_GRADIENT, tiles.RESIDUAL):
        monkeypatch.setitem(block, "ROWS", 512)
    for axis in ("HEIGHT", "WIDTH"):
        monkeypatch.setitem(tiles.DEPTHWISE, axis, 8)


@pytest.fixture
def fused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_step, "_arithmetic", with_kernels)


def stepped(recipe: Recipe, group: ProcessGroup = ALONE, *, resumes: bool = False) -> tuple[TrainStep, list[float]]:
    """Take two steps, the second of fewer clips."""
    model = network().double() if recipe.train.precision == "float64" else network()
    step, losses = TrainStep(recipe, model, group, 2), []
    for number, num_clips in enumerate((4, 3)):
        if resumes and number == 1:
            memory = copy.deepcopy(step.memory())
            step = TrainStep(recipe, copy.deepcopy(model), group, 2)
            step.restore(memory)
        losses.append(float(step.take(0, number, batch(number, num_clips), num_clips)[0]) / num_clips)
    return step, losses


@pytest.mark.parametrize(
    ("settings", "tolerance"),
    [
        ({"train.precision": "float64", "train.accumulate": "2", "train.norm_clips": "1"}, 1e-9),
        ({"train.precision": "bf16", "train.ema_decay": "0.5"}, 3e-2),
        *(
            pytest.param(settings, tolerance, marks=pytest.mark.slow)
            for settings, tolerance in (
                ({"train.precision": "float64", "train.ema_decay": "0.5", "optim.clip_grad_norm": "0.1"}, 1e-9),
                ({"train.precision": "float32"}, 1e-4),
                ({"train.precision": "fp16"}, 3e-2),
            )
        ),
    ],
)
def test_steps_are_those_of_plain_modules(
    settings: dict[str, str], tolerance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe(settings)
    plain, expected = stepped(recipe)
    monkeypatch.setattr(train_step, "_arithmetic", with_kernels)
    step, losses = stepped(recipe)
    assert losses == pytest.approx(expected, rel=tolerance)
    for found, wanted in ((step.model, plain.model), (step.tested, plain.tested)):
        for name, tensor in wanted.state_dict().items():
            assert (found.state_dict()[name] - tensor).double().norm() <= tolerance * (tensor.double().norm() + 1)


@pytest.mark.usefixtures("fused")
def test_a_training_goes_on_from_where_it_stood() -> None:
    recipe = tiny_recipe({"train.ema_decay": "0.5"})
    (whole, losses), (resumed, again) = stepped(recipe), stepped(recipe, resumes=True)
    assert losses == again
    for found, wanted in zip(resumed.tested.state_dict().values(), whole.tested.state_dict().values(), strict=True):
        assert torch.equal(found, wanted)


@pytest.fixture
def processes() -> Iterator[None]:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


class Wrapped(ProcessGroup):
    """A process by itself whose network is nonetheless one of many."""

    def wrap(self, model: torch.nn.Module) -> torch.nn.Module:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.nn.parallel.DistributedDataParallel(model, broadcast_buffers=False)


@pytest.mark.usefixtures("fused", "processes")
def test_processes_average_the_gradients_of_the_kernels() -> None:
    recipe = tiny_recipe({"train.accumulate": "2"})
    alone, together = stepped(recipe), stepped(recipe, Wrapped(0, 1, torch.device("cpu")))
    assert alone[1] == together[1]
    for one, other in zip(alone[0].model.parameters(), together[0].model.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("settings", "refused", "says", "num_fused"),
    [
        ({}, None, FUSED, 2),
        ({}, "it is a toaster", "plain torch computes the network: it is a toaster", 0),
        ({"train.compile": "true"}, None, "", 0),
    ],
)
def test_the_kernels_compute_where_they_may(
    settings: dict[str, str], refused: str | None, says: str, num_fused: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[torch.dtype] = []
    monkeypatch.setattr("vov3d.fused.trial.refusal", lambda _model, _device, dtype: (asked.append(dtype), refused)[1])
    models = network(), network()
    recipe = tiny_recipe({"train.precision": "bf16", **settings})
    assert train_step._arithmetic(recipe, models, torch.device("cpu")) == ""
    assert train_step._arithmetic(recipe, models, GPU) == says
    assert asked == ([] if "train.compile" in settings else [torch.bfloat16])
    assert sum("forward" in vars(block) for model in models for block in model.blocks()) == num_fused


@pytest.mark.usefixtures("fused")
@pytest.mark.parametrize(("parts", "replays"), [("1", True), ("2", False)])
def test_one_part_of_one_process_is_replayed(parts: str, replays: bool) -> None:
    step = TrainStep(tiny_recipe({"train.accumulate": parts}), network(), ALONE, 1)
    assert isinstance(step.gradient, Replayed) == replays


def test_the_log_says_what_computes(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    says = "plain torch computes the network: triton is not installed"
    monkeypatch.setattr(train_step, "_arithmetic", lambda *_: says)
    with caplog.at_level("INFO", "vov3d"):
        train(tiny_recipe({"train.epochs": "1"}), videos, tmp_path / "run", device="cpu", workers=0, quiet=True)
    assert says in caplog.text
