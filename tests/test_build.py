"""From names and files to objects: pretrained weights, trained networks, classes, windows, optimisers."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

import vov3d
from tests.tiny import LABELS, tiny_recipe
from vov3d.build import build_cache, build_model, build_optimizer, build_views, head_window
from vov3d.checkpoint import write_checkpoint
from vov3d.convert import convert
from vov3d.data.sources import VideoIndex, VideoItem, read_index
from vov3d.data.sources.renumber import renumbered
from vov3d.errors import ArgumentError, CheckpointError, DataError
from vov3d.models import ClipClassifier, create_model
from vov3d.recipe import load_recipe, override
from vov3d.trained import describe, load_trained


@pytest.fixture(scope="module")
def published(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network of the run as a published file."""
    file = tmp_path_factory.mktemp("published") / "published.pyth"
    convert(run / "last.safetensors", file)
    return file


def loses(model: ClipClassifier, file: Path) -> list[str]:
    """The entries of the network that are not those of the run's checkpoint, which knows three classes."""
    state, known = model.state_dict(), create_model("vov3d_m", pretrained=file).state_dict()
    return [name for name, tensor in state.items() if name not in known or not torch.equal(tensor, known[name])]


# ---- create_model(pretrained=...) ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ours", "published"])
def test_pretrained_weights_come_to_the_last_bit(run: Path, published: Path, kind: str) -> None:
    file = run / "last.safetensors" if kind == "ours" else published
    for num_classes in (None, 3):
        model = vov3d.create_model("vov3d_m", num_classes=num_classes, pretrained=file)
        assert model.num_classes == 3
        assert loses(model, run / "last.safetensors") == []
    logits = [create_model("vov3d_m", pretrained=name).eval() for name in (file, run / "last.safetensors")]
    clips = torch.randn(1, 3, 4, 32, 32)
    with torch.no_grad():
        assert torch.equal(logits[0](clips), logits[1](clips))


def test_opening_a_checkpoint_of_ours_says_nothing(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="vov3d"):
        vov3d.load_trained(run / "last.safetensors")
    assert [record.message for record in caplog.records if record.name == "vov3d"] == []


@pytest.mark.parametrize("kind", ["ours", "published"])
def test_other_classes_start_a_fresh_classifier_and_say_so(
    run: Path, published: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = run / "last.safetensors" if kind == "ours" else published
    torch.manual_seed(4)
    with caplog.at_level(logging.INFO, logger="vov3d"):
        model = vov3d.create_model("vov3d_m", num_classes=5, pretrained=str(file))
    loaded, told = (record for record in caplog.records if record.name == "vov3d")
    assert loaded.message == f"{file}: loaded 942 of the 944 tensors of the network"
    assert told.levelno == logging.WARNING
    assert told.message == (
        f"{file}: not loaded: head.classifier.weight, head.classifier.bias (it classifies 3 classes, the network 5: "
        "these start fresh)"
    )
    assert loses(model, file) == ["head.classifier.weight", "head.classifier.bias"]
    torch.manual_seed(4)
    fresh = vov3d.create_model("vov3d_m", num_classes=5).state_dict()
    assert torch.equal(model.state_dict()["head.classifier.weight"], fresh["head.classifier.weight"])


@pytest.mark.parametrize("kind", ["ours", "published"])
def test_features_alone_come_from_a_checkpoint_with_a_classifier(
    run: Path, published: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = run / "last.safetensors" if kind == "ours" else published
    model = vov3d.create_model("vov3d_m", num_classes=0, pretrained=file).eval()
    assert not caplog.records
    assert loses(model, file) == []
    clips = torch.randn(1, 3, 4, 32, 32)
    with torch.no_grad():
        features = model(clips)
        assert features.shape == (1, model.num_features)
        whole = create_model("vov3d_m", pretrained=file).eval()
        torch.testing.assert_close(whole.head.classifier(features), whole(clips))


def test_a_checkpoint_without_a_classifier_gives_its_features(
    run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    features = create_model("vov3d_m", num_classes=0, pretrained=run / "last.safetensors")
    file = tmp_path / "features.safetensors"
    write_checkpoint(file, features.state_dict(), {"model": "vov3d_m"})
    assert create_model("vov3d_m", pretrained=file).num_classes == 0
    model = create_model("vov3d_m", num_classes=4, pretrained=file)
    assert loses(model, run / "last.safetensors") == ["head.classifier.weight", "head.classifier.bias"]
    assert "(it has no classifier, the network 4: these start fresh)" in caplog.text
    convert(file, tmp_path / "features.pyth")
    assert convert(tmp_path / "features.pyth", tmp_path / "again.safetensors").num_tensors == 942
    with pytest.raises(CheckpointError, match="has no classifier, only features"):
        load_trained(file)


def test_another_network_does_not_fit(run: Path, published: Path) -> None:
    for file in (run / "last.safetensors", published):
        with pytest.raises(CheckpointError, match=r"does not fit X3D: it lacks \d+ of \d+ entries, first "):
            vov3d.create_model("x3d_m", pretrained=file)
        with pytest.raises(
            CheckpointError, match=r"does not fit VoV3D: it (lacks|differs in shape) \d+ of \d+ entries"
        ):
            vov3d.create_model("vov3d_l", pretrained=file)
    with pytest.raises(CheckpointError, match="the state of a run, for --resume alone"):
        vov3d.create_model("vov3d_m", pretrained=run / "resume" / "epoch-000002-step-000000.safetensors")


# ---- trained networks ------------------------------------------------------------------------------------------------


def test_the_checkpoint_of_a_run_needs_nothing_else(run: Path, videos: Path, tmp_path: Path) -> None:
    alone = Path(shutil.copy(run / "best.safetensors", tmp_path / "alone.safetensors"))
    classifier = vov3d.load(alone, device="cpu")
    assert classifier.labels == LABELS
    assert classifier.predict(videos / "val" / "light" / "0.mp4").top[0][0] in LABELS
    trained = vov3d.load_trained(alone)
    assert (trained.labels, trained.recipe, trained.model.training) == (
        LABELS,
        tiny_recipe({"train.norm_clips": "4"}),
        False,
    )


@pytest.mark.parametrize(
    ("num_classes", "recipe"), [(400, "k400/vov3d_m_16"), (174, "ssv2/vov3d_m_16")], ids=["k400", "ssv2"]
)
def test_a_published_network_takes_the_recipe_of_its_classes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, num_classes: int, recipe: str
) -> None:
    file = tmp_path / "published.safetensors"
    write_checkpoint(file, create_model("vov3d_m", num_classes=num_classes).state_dict(), {"model": "vov3d_m"})
    convert(file, tmp_path / "published.pyth")
    trained = load_trained(tmp_path / "published.pyth")
    assert trained.recipe == load_recipe(recipe)
    assert trained.labels[:2] == ("class 0", "class 1")
    assert len(trained.labels) == trained.model.num_classes == num_classes
    assert f"taking the recipe {recipe}" in caplog.text


def test_a_network_of_unknown_origin_is_not_guessed_at(published: Path) -> None:
    with pytest.raises(CheckpointError, match=r"does not say how its clips are prepared.*--model\.init"):
        load_trained(published)


def test_a_model_of_a_later_version_is_told(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a.safetensors", {"a": torch.zeros(1)}, {"model": "vov3d_xxl"})
    with pytest.raises(CheckpointError, match="unknown model 'vov3d_xxl'"):
        load_trained(tmp_path / "a.safetensors")


# ---- classes ---------------------------------------------------------------------------------------------------------


def index_of(labels: tuple[str, ...], *numbers: int) -> VideoIndex:
    items = tuple(VideoItem(Path(f"{place}.mp4"), number, f"{place}.mp4") for place, number in enumerate(numbers))
    return VideoIndex(Path("set"), "class folders", labels, {"val": items}, notes=(), flip="none", frame_fps=None)


def labels_of(index: VideoIndex) -> list[str]:
    return [index.labels[item.label] for item in index.splits["val"]]


def test_classes_are_renumbered_by_name() -> None:
    index = index_of(("a", "c", "b"), 0, 1, 2, 1)
    found = renumbered(index, ("c", "x", "a", "b"), "val")
    assert found.labels == ("c", "x", "a", "b")
    assert [item.label for item in found.splits["val"]] == [2, 0, 3, 0]
    assert labels_of(found) == labels_of(index)


def test_numbered_classes_are_those_of_the_data_set() -> None:
    index = index_of(("a", "b"), 0, 1)
    assert renumbered(index, ("class 0", "class 1"), "val") == index
    with pytest.raises(DataError, match="2 of the classes in 'set' are not among the 3 that the network knows"):
        renumbered(index, ("class 0", "class 1", "class 2"), "val")


@pytest.mark.parametrize("labels", [("a", "b"), ("class 0", "class 1")])
def test_videos_without_labels_cannot_be_scored(labels: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match="have no labels; use vov3d predict"):
        renumbered(index_of(("a", "b"), 0, -1), labels, "val")


# ---- recipes ---------------------------------------------------------------------------------------------------------


def test_the_window_of_the_test_is_the_map_of_a_training_clip() -> None:
    assert head_window(load_recipe("ssv1/vov3d_m_16")) == (16, 7, 7)
    assert head_window(override(load_recipe("ssv1/vov3d_m_16"), {"clip.crop": "112"})) == (16, 4, 4)
    assert head_window(override(load_recipe("ssv1/vov3d_m_16"), {"test.window": "global"})) is None


def test_views_are_those_of_the_recipe_unless_told_otherwise() -> None:
    recipe, index = tiny_recipe({"test.num_clips": "2", "test.crop": "40"}), index_of(("a", "b"), 0, 1)
    views = build_views(recipe, index, "val")
    assert (views.num_clips, views.num_crops, views.crop, views.frame_order) == (2, 3, 40, "given")
    views = build_views(recipe, index, "val", num_clips=5, num_crops=1, crop=64, frame_order="reversed")
    assert (views.num_clips, views.num_crops, views.crop, views.frame_order) == (5, 1, 64, "reversed")


def weights(model: ClipClassifier) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


@pytest.mark.usefixtures("small")
def test_a_network_starts_from_the_seed_of_its_recipe() -> None:
    one, again = (build_model(tiny_recipe(), 3) for _ in range(2))
    other = build_model(tiny_recipe({"train.seed": "1"}), 3)
    assert torch.equal(weights(one), weights(again))
    assert not torch.equal(weights(one), weights(other))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_the_optimiser_is_that_of_the_recipe(name: str) -> None:
    model = build_model(tiny_recipe(), 3)
    settings = {"optim.name": name, "optim.lr": "0.02", "optim.momentum": "0.8", "optim.weight_decay": "0.001"}
    optimizer = build_optimizer(tiny_recipe(settings), model)
    assert type(optimizer).__name__.lower() == name
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(model.parameters()))
    for group in optimizer.param_groups:
        assert group["lr"] == 0.02
        assert group["betas"][0] == 0.8 if name == "adamw" else (group["momentum"], group["nesterov"]) == (0.8, True)
    decays = {id(parameter): group["weight_decay"] for group in optimizer.param_groups for parameter in group["params"]}
    for parameter in model.parameters():
        assert decays[id(parameter)] == (0.001 if parameter.dim() > 1 else 0)


def test_what_a_checkpoint_says_of_itself() -> None:
    told = describe(tiny_recipe(), LABELS)
    assert told["labels"] == list(LABELS)
    assert told["vov3d"] == vov3d.__version__


def test_a_cache_does_not_lie_where_its_copies_are_taken_for_videos(own_videos: Path) -> None:
    recipe, index = tiny_recipe(), read_index(own_videos)
    before = sorted(own_videos.rglob("*"))
    for name in (".", "copies", "train/dark/copies", "train/../copies"):
        with pytest.raises(ArgumentError, match=r"--cache .* lies in the data set .*, which is searched for videos; "):
            build_cache(recipe, own_videos / name, index)
    assert sorted(own_videos.rglob("*")) == before
    for folder in (own_videos / ".copies", own_videos.parent / "copies"):
        assert build_cache(recipe, folder, index) is not None
    assert build_cache(recipe, None, index) is None


def test_a_cache_may_lie_beside_a_list(own_videos: Path) -> None:
    rows = [f"{path.relative_to(own_videos)},{path.parent.name}" for path in sorted(own_videos.rglob("*.mp4"))]
    listed = own_videos / "index.csv"
    listed.write_text("\n".join(["path,label", *rows]))
    index = read_index(listed)
    cache = build_cache(tiny_recipe(), own_videos / "copies", index)
    assert cache is not None
    cache.open(index.splits["train"][0]).close()
    assert list((own_videos / "copies").rglob("*.mp4"))
    for place in (listed, own_videos):
        again = read_index(place)
        assert (again.labels, again.splits) == (index.labels, index.splits)
