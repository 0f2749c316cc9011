"""VoV3D and X3D up to each frame: the parameters of the published networks, no later frame, and streams."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import vov3d
from tests.filling import fill
from tests.tiny import tiny_recipe
from vov3d.build import build_model
from vov3d.checkpoint import write_checkpoint, write_published
from vov3d.errors import ArgumentError, CheckpointError
from vov3d.layers import OPERATORS, BatchNorm, CausalSqueezeExcitation, D2Plus1D, MeanSoFar, Operator, Past
from vov3d.models import MODELS, X3D, ClipClassifier, VoV3D, create_model, published_names
from vov3d.models.ablations import ABOUT, VARIANTS
from vov3d.models.counting import count_gmacs
from vov3d.receptive_field.marks import find_spans
from vov3d.trained import describe, load_network, load_trained

NAMES = [name for name in MODELS if name.startswith(("vov3d", "x3d")) and (name in ABOUT or name not in VARIANTS)]
SMALL: dict[str, Callable[..., ClipClassifier]] = {
    "x3d": lambda **options: X3D(0.4, num_classes=5, **options),
    **{
        name: lambda operator=operator, **options: VoV3D(
            *(12, (1, 1, 1, 1)), num_units=2, operator=operator, num_classes=5, **options
        )
        for name, operator in OPERATORS.items()
    },
}


def alive(model: ClipClassifier) -> ClipClassifier:
    """Let every branch, statistic and class count, with logits of about one."""
    torch.manual_seed(2)
    for module in model.modules():
        if isinstance(module, BatchNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    nn.init.normal_(model.head.classifier.weight, std=0.05)
    return model.eval()


@pytest.fixture(params=SMALL)
def network(request: pytest.FixtureRequest) -> ClipClassifier:
    """A small causal network."""
    torch.manual_seed(0)
    return alive(SMALL[request.param](causal=True))


def logits_of(model: ClipClassifier, clips: Tensor) -> Tensor:
    with torch.no_grad():
        logits: Tensor = model(clips)
    return logits


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_those_of_the_published_network(name: str) -> None:
    with torch.device("meta"):
        around, causal = create_model(name), create_model(name, causal=True)
    assert causal.causal and not around.causal
    shapes = [[(key, tensor.shape) for key, tensor in model.state_dict().items()] for model in (around, causal)]
    assert len(shapes[0]) > 100 and shapes[0] == shapes[1]
    assert len(NAMES) == 8 + 13


@pytest.mark.parametrize("name", ["vov3d_s", "x3d_m"])
def test_one_seed_starts_both_forms_and_both_cost_the_same(name: str) -> None:
    models = []
    for causal in (False, True):
        torch.manual_seed(3)
        models.append(create_model(name, causal=causal))
    weights = [list(model.state_dict().values()) for model in models]
    assert all(map(torch.equal, *weights))
    around, up_to = (1e9 * count_gmacs(model, 16, 64) for model in models)
    gates = [module for module in models[1].modules() if isinstance(module, CausalSqueezeExcitation)]
    once = sum(gate.fc1.weight.numel() + gate.fc2.weight.numel() for gate in gates)
    assert up_to - around == pytest.approx(15 * once)  # a gate is computed at each of 16 frames


@pytest.mark.parametrize("chunks", [(1,) * 6, (3, 1, 2), (1, 5)], ids=str)
def test_a_stream_gives_what_the_clip_gives(network: ClipClassifier, chunks: tuple[int, ...]) -> None:
    network.double()
    clips, seen = torch.randn(2, 3, 6, 45, 37, dtype=torch.float64), 0
    stream = network.stream()
    for num_frames in chunks:
        logits = stream(clips[:, :, seen : seen + num_frames])
        seen += num_frames
        torch.testing.assert_close(logits, logits_of(network, clips[:, :, :seen]), rtol=0, atol=1e-10)
    assert logits.std() > 0.02


@pytest.mark.parametrize("name", ["vov3d_m", "x3d_m"])
def test_published_networks_stream_in_single_precision(name: str) -> None:
    model = create_model(name, num_classes=7, causal=True)
    fill(model)
    model.eval()
    clips, stream = torch.randn(1, 3, 8, 64, 64), model.stream()
    for frame in range(8):
        logits = stream(clips[:, :, frame : frame + 1])
        torch.testing.assert_close(logits, logits_of(model, clips[:, :, : frame + 1]), rtol=0, atol=1e-5)
    assert logits.std() > 0.05


def test_no_frame_sees_a_later_one_and_the_last_sees_the_first(network: ClipClassifier) -> None:
    clips = torch.randn(1, 3, 7, 32, 32, requires_grad=True)
    for frame in (2, 6):
        (gradient,) = torch.autograd.grad(network.forward_features(clips)[:, :, frame].square().sum(), clips)
        seen = gradient.abs().amax(dim=(0, 1, 3, 4)) > 0
        assert seen.tolist() == [other <= frame for other in range(7)]


def test_the_field_of_each_layer_ends_at_its_frame(network: ClipClassifier) -> None:
    spans = {name: seen.made for name, seen in find_spans(network).items() if seen.made is not None}
    assert {span.last for span in spans.values()} == {0}
    first = spans["stem"].first
    assert first == -4
    assert spans["stages.3.0"].first is not None and spans["stages.3.0"].first < -10


def test_cameras_begin_anew_beside_the_others(network: ClipClassifier) -> None:
    clips, stream = torch.randn(3, 3, 5, 32, 40), network.stream()
    stream(clips[:, :, :2])
    stream.reset([1])
    found = stream(clips[:, :, 2:])
    torch.testing.assert_close(found[[0, 2]], logits_of(network, clips[[0, 2]]), rtol=0, atol=1e-5)
    torch.testing.assert_close(found[1:2], logits_of(network, clips[1:2, :, 2:]), rtol=0, atol=1e-5)


def test_a_frame_that_fails_leaves_no_trace(network: ClipClassifier) -> None:
    clips, stream = torch.randn(1, 3, 3, 32, 32), network.stream()
    stream(clips[:, :, :1])
    last = stream._network.stages[3]
    handle = last.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        stream(clips[:, :, 1:2])
    handle.remove()
    torch.testing.assert_close(stream(clips[:, :, 1:]), logits_of(network, clips), rtol=0, atol=1e-5)


CONTINUE = """
import sys, torch, vov3d
checkpoint, state, rest = sys.argv[1:]
stream = vov3d.load(checkpoint, device="cpu").trained.model.stream()
stream.load_state_dict(torch.load(state, weights_only=True))
print(stream(torch.load(rest, weights_only=True)).flatten().tolist())
"""


def test_what_was_trained_causal_streams_on_in_another_process(tmp_path: Path) -> None:
    recipe = tiny_recipe({"model.name": "vov3d_s", "model.causal": "true"})
    model = alive(build_model(recipe, 3))
    write_checkpoint(tmp_path / "last.safetensors", model.state_dict(), describe(recipe, ("a", "b", "c")))
    clips, stream = torch.randn(1, 3, 4, 32, 32), model.stream()
    stream(clips[:, :, :3])
    torch.save(stream.state_dict(), tmp_path / "state.pt")
    torch.save(clips[:, :, 3:], tmp_path / "rest.pt")
    files = [str(tmp_path / name) for name in ("last.safetensors", "state.pt", "rest.pt")]
    done = subprocess.run(
        [sys.executable, "-c", CONTINUE, *files], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found = torch.tensor([float(number) for number in done.stdout.strip("[]\n").split(",")])
    torch.testing.assert_close(found[None], logits_of(model, clips), rtol=0, atol=1e-5)


def test_a_checkpoint_says_which_form_it_is_of(tmp_path: Path) -> None:
    recipe, path = tiny_recipe({"model.name": "vov3d_s", "model.causal": "true"}), tmp_path / "causal.safetensors"
    model = alive(build_model(recipe, 3))
    write_checkpoint(path, model.state_dict(), describe(recipe, ("a", "b", "c")))
    clips = torch.randn(1, 3, 4, 32, 32)
    for loaded in (load_trained(path).model, load_network(path)[1], create_model("vov3d_s", pretrained=path)):
        assert loaded.eval().causal
        torch.testing.assert_close(logits_of(loaded, clips), logits_of(model, clips), rtol=0, atol=1e-6)
    around = create_model("vov3d_s", pretrained=path, causal=False).eval()
    assert not around.causal and not torch.allclose(logits_of(around, clips), logits_of(model, clips), atol=1e-3)
    assert load_trained(path).recipe.model.causal
    assert vov3d.info(path, frames=2, crop=32, measure=False).causal
    assert not vov3d.info("vov3d_s", frames=2, crop=32, measure=False).causal
    with pytest.raises(CheckpointError, match=r"is causal, which no published file says"):
        vov3d.convert(path, tmp_path / "published.pyth")
    vov3d.convert(path, tmp_path / "copy.safetensors")
    assert load_trained(tmp_path / "copy.safetensors").model.causal


def test_weights_that_looked_ahead_load_for_fine_tuning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    around = create_model("vov3d_s", num_classes=3)
    fill(around)
    names, state = published_names(around), around.state_dict()
    write_published(tmp_path / "around.pyth", {names[key]: tensor for key, tensor in state.items()})
    write_checkpoint(tmp_path / "around.safetensors", state, describe(tiny_recipe(), ("a", "b", "c")))
    for file in ("around.pyth", "around.safetensors"):
        settings = {"model.name": "vov3d_s", "model.causal": "true", "model.init": str(tmp_path / file)}
        with caplog.at_level(logging.INFO, logger="vov3d"):
            model = build_model(tiny_recipe(settings), 3)
        assert model.causal
        assert all(torch.equal(tensor, state[key]) for key, tensor in model.state_dict().items())
    assert len(state) == len(names) and f"loaded {len(state)} of the {len(state)} tensors" in caplog.text


def test_what_cannot_stream_is_told() -> None:
    with pytest.raises(ArgumentError, match=r"VoV3D sees frames before they come; build VoV3D .* with causal"):
        SMALL["d2plus1d"]().eval().stream()

    def custom(channels: int, stride: int) -> nn.Module:
        return D2Plus1D(channels, stride)

    operator: Operator = custom
    with pytest.raises(ArgumentError, match=r"custom.* has no causal form; of these there is one: Conv3x3x3, R2Plus1D"):
        VoV3D(12, (1, 1, 1, 1), operator=operator, causal=True)


@pytest.mark.slow
def test_means_of_long_streams_do_not_drift() -> None:
    """100,000 frames: a mean in single precision is as near to that in double as its own rounding."""
    values = 1 + torch.rand(1, 4, 100_000, 1, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    layer, past = MeanSoFar(), Past()
    layer.past = past
    for frame in values.float().split(1, dim=2):
        past.begin(frame)
        mean = layer(frame)
        past.settle()
    exact = values.float().double().mean(dim=2, keepdim=True)
    torch.testing.assert_close(mean.double(), exact, rtol=2e-7, atol=0)
