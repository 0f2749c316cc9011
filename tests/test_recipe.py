"""Recipes: every one of the package against the paper, and every mistake in one line."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest
import yaml

from vov3d.errors import RecipeError
from vov3d.models import MODELS
from vov3d.recipe import (
    list_recipes,
    load_recipe,
    override,
    recipe_from_mapping,
    recipe_keys,
    recipe_text,
    to_mapping,
    to_yaml,
)
from vov3d.recipe.text import read_yaml, write_yaml

MINIMAL = {"model": {"name": "vov3d_m"}}


def said(error: pytest.ExceptionInfo[RecipeError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


# ---- the recipes of the package -------------------------------------------------------------------------------------


def test_the_package_holds_every_recipe() -> None:
    names = list_recipes()
    folders = [name.split("/")[0] for name in names]
    assert {folder: folders.count(folder) for folder in folders} == {
        "folder": 3,
        "k400": 4,
        "motion": 1,
        "ssv1": 16,
        "ssv2": 10,
    }
    assert len(list_recipes("*_k400")) == 10
    assert list_recipes("ssv2/vov3d") == tuple(name for name in names if name.startswith("ssv2/vov3d"))


@pytest.mark.parametrize("name", list_recipes())
def test_recipe_is_valid_and_reads_back_the_same(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe_from_mapping(read_yaml(to_yaml(recipe))) == recipe  # type: ignore[arg-type]
    assert recipe_from_mapping(json.loads(json.dumps(to_mapping(recipe)))) == recipe
    assert yaml.safe_load(to_yaml(recipe)) == to_mapping(recipe)  # what we write, every YAML reader reads
    model, frames = name.partition("/")[2].removesuffix("_k400").rsplit("_", 1)
    assert (recipe.model.name, recipe.clip.num_frames) == (model, int(frames))
    assert recipe.model.name in MODELS
    assert recipe_text(name).startswith("# ")
    assert len(recipe_text(name).splitlines()) <= 52


def protocol(name: str) -> dict[str, object]:
    """The published optimisation by data set and start: the table of section 5 of the authors' configurations."""
    if name.startswith("k400/"):
        return {
            "train.epochs": 256, "train.batch_size": 128, "optim.lr": 0.1, "train.norm_clips": 16,
            "optim.schedule": "cosine", "optim.warmup_epochs": 35.0, "optim.warmup_start_lr": 0.01,
            "train.evaluate_every_epochs": 10, "clip.sampling": "dense", "clip.frame_stride": 5,
            "clip.short_side_law": "uniform", "clip.flip": "labels", "test.num_clips": 10, "test.clip_rule": "uniform",
        }  # fmt: skip
    something = {
        "train.batch_size": 64, "train.evaluate_every_epochs": 2, "clip.sampling": "segment",
        "clip.short_side_law": "inverse_uniform", "clip.flip": "none", "test.num_clips": 2, "test.clip_rule": "random",
    }  # fmt: skip
    if name.endswith("_k400"):
        return something | {
            "train.epochs": 50, "optim.lr": 0.05, "optim.schedule": "steps", "optim.step_epochs": [0, 35, 45],
            "optim.step_factors": [1, 0.1, 0.01], "optim.warmup_steps": 2000, "optim.warmup_start_lr": 0.0001,
            "train.norm_clips": 32,
        }  # fmt: skip
    return something | {
        "train.epochs": 100, "optim.lr": 0.1, "optim.schedule": "cosine", "optim.warmup_epochs": 1.0,
        "optim.warmup_start_lr": 0.01, "train.norm_clips": 8,
    }  # fmt: skip


PAPER = [name for name in list_recipes() if name.startswith(("ssv1/", "ssv2/", "k400/"))]
SHARED_PROTOCOL = {
    "model.dropout": 0.5, "model.init": None, "clip.short_side": [256, 320], "clip.crop": 224, "clip.mean": 0.45,
    "clip.std": 0.225, "optim.momentum": 0.9, "optim.nesterov": True, "optim.weight_decay": 5e-5,
    "optim.decay_groups": "published", "train.precision": "float32", "train.precise_bn_batches": 200,
    "train.label_smoothing": 0.0, "train.seed": 0, "test.crop": 256, "test.num_crops": 3, "test.window": "published",
}  # fmt: skip


@pytest.mark.parametrize("name", PAPER)
def test_paper_recipe_follows_the_published_protocol(name: str) -> None:
    mapping = to_mapping(load_recipe(name))
    for key, value in (SHARED_PROTOCOL | protocol(name)).items():
        section, field = key.split(".")
        assert mapping[section][field] == value, key  # type: ignore[index]


@pytest.mark.parametrize("name", PAPER)
def test_reported_numbers_are_those_of_the_paper(name: str, golden: Path) -> None:
    tables = json.loads((golden / "paper_tables.json").read_text())
    data_set, rest = name.split("/")
    model, frames = rest.removesuffix("_k400").rsplit("_", 1)
    tuned = rest.endswith("_k400")
    table = {"ssv1": "table5", "ssv2": "table6", "k400": "table7"}[data_set]
    rows = [
        row
        for row in tables[table]["rows"]
        if row["model"].lower().replace("-", "_") == model
        and row["frames"] == int(frames)
        and (table != "table6" or (row["pretrain"] == "Kinetics") == tuned)
    ]
    reported = load_recipe(name).reported
    if name in ("ssv2/x3d_m_32", "ssv2/x3d_l_32"):  # the paper has no such row
        assert not rows
        assert reported is None
        return
    (row,) = rows
    found = row["k400_finetune" if tuned else "scratch"] if table == "table5" else row[data_set]
    assert reported is not None
    assert (reported.top1, reported.top5) == pytest.approx((found["top1"] / 100, found["top5"] / 100), abs=1e-9)
    assert reported.gmacs == row["gflops"]
    assert reported.source == table.replace("table", "Table ")
    params = {"vov3d_m": 3.2, "vov3d_l": 5.8, "x3d_m": 3.3, "x3d_l": 5.6}[model]  # Table 6
    assert reported.params_millions == row.get("params", params)


def test_contradictions_of_the_paper_are_noted() -> None:
    for name, printed_elsewhere in {
        "ssv1/vov3d_m_32": "0.498 / 0.780",
        "ssv1/vov3d_m_32_k400": "0.532 / 0.811",
        "ssv1/vov3d_l_16": "0.495 / 0.780",
        "ssv1/x3d_l_16": "12.0",
        "ssv1/vov3d_m_16_k400": "released: warmup_epochs 0.19",
    }.items():
        assert printed_elsewhere in recipe_text(name), name


# ---- reading strictly -----------------------------------------------------------------------------------------------

MISTAKES = {
    "a float in quotes": (
        {"optim": {"lr": "5e-5"}},
        "recipe key 'optim.lr' must be a number, not \"5e-5\"; a number stands without quotes",
    ),
    "text for a number": ({"optim": {"lr": "low"}}, "recipe key 'optim.lr' must be a number, not \"low\""),
    "a boolean for an integer": ({"train": {"epochs": True}}, "recipe key 'train.epochs' must be an integer, not true"),
    "a boolean for 1": ({"test": {"num_crops": True}}, "recipe key 'test.num_crops' must be an integer, not true"),
    "a boolean for a float": ({"optim": {"lr": False}}, "recipe key 'optim.lr' must be a number, not false"),
    "an integer for a boolean": ({"optim": {"nesterov": 1}}, "recipe key 'optim.nesterov' must be a boolean, not 1"),
    "a float for an integer": ({"train": {"epochs": 2.0}}, "recipe key 'train.epochs' must be an integer, not 2.0"),
    "a number for text": ({"model": {"name": 5}}, "recipe key 'model.name' must be a string, not 5"),
    "a number for a list": ({"clip": {"short_side": 256}}, "recipe key 'clip.short_side' must be a list, not 256"),
    "too short a list": (
        {"clip": {"short_side": [256]}},
        "recipe key 'clip.short_side' must be a list of two numbers, not [256]",
    ),
    "too long a list": (
        {"clip": {"short_side": [1, 2, 3]}},
        "recipe key 'clip.short_side' must be a list of two numbers, not [1, 2, 3]",
    ),
    "null for a number": ({"optim": {"lr": None}}, "recipe key 'optim.lr' must be a number, not null"),
    "an infinite number": ({"optim": {"lr": float("inf")}}, "recipe key 'optim.lr' cannot be inf"),
    "what JSON cannot hold": ({"model": {"init": Path("a")}}, f"recipe key 'model.init' cannot be {Path('a')!r}"),
    "two starts": (
        {"model": {"name": "tsm_r50", "init": "a.pth", "backbone_init": "b.pth"}},
        "recipe key model.init and model.backbone_init both say where the weights start; give one of them",
    ),
    "a learning rate of 0": ({"optim": {"lr": 0}}, "recipe key 'optim.lr' must be greater than 0, not 0"),
    "a momentum of 1": ({"optim": {"momentum": 1.0}}, "recipe key 'optim.momentum' must be less than 1, not 1.0"),
    "a negative decay": (
        {"optim": {"weight_decay": -1}},
        "recipe key 'optim.weight_decay' must be greater than or equal to 0, not -1",
    ),
    "no frames": (
        {"clip": {"num_frames": 0}},
        "recipe key 'clip.num_frames' must be greater than or equal to 1, not 0",
    ),
    "a tiny crop": ({"clip": {"crop": 16}}, "recipe key 'clip.crop' must be greater than or equal to 32, not 16"),
    "percent for a fraction": (
        {"reported": {"top1": 49.0, "top5": 0.7, "gmacs": 1.0, "params_millions": 1.0, "source": "x"}},
        "recipe key 'reported.top1' must be less than or equal to 1, not 49.0",
    ),
    "a record without its source": ({"ours": {"top1": 0.5}}, "recipe key 'ours.source' is required"),
    "a choice that does not exist": (
        {"optim": {"schedule": "cosin"}},
        "unknown value of recipe key 'optim.schedule': 'cosin'; did you mean 'cosine'? "
        "Allowed: constant, cosine, steps",
    ),
    "an unknown section": (
        {"optimizer": {"lr": 0.1}},
        "unknown recipe section 'optimizer'; did you mean 'optim'? "
        "Allowed: clip, model, optim, ours, reported, test, train",
    ),
    "a section that is a number": ({"clip": 5}, "recipe section 'clip' must be a group of keys, not 5"),
    "a section without keys": ({"clip": None}, "recipe section 'clip' must be a group of keys, not null"),
    "three crops of two": ({"test": {"num_crops": 2}}, "recipe key test.num_crops must be 1 or 3, not 2"),
    "sides from high to low": (
        {"clip": {"short_side": [320, 256]}},
        "recipe key clip.short_side must go from low to high, not [320, 256]",
    ),
    "a crop that does not fit": (
        {"clip": {"short_side": [200, 320]}},
        "recipe key clip.short_side starts at 200, below clip.crop 224: the crop would not fit",
    ),
    "warm-up to the end": (
        {"train": {"epochs": 5}, "optim": {"warmup_epochs": 6}},
        "recipe key optim.warmup_epochs 6 is more than train.epochs 5: lower it",
    ),
    "steps without steps": (
        {"optim": {"schedule": "steps"}},
        "recipe key optim.schedule steps needs optim.step_epochs and optim.step_factors",
    ),
    "steps of unequal number": (
        {"optim": {"step_epochs": [0, 5], "step_factors": [1]}},
        "recipe key optim.step_epochs and optim.step_factors must be equally long, not 2 and 1",
    ),
    "steps that start late": (
        {"optim": {"step_epochs": [5], "step_factors": [1]}},
        "recipe key optim.step_epochs must start at 0 and rise, not [5.0]",
    ),
    "steps that stand still": (
        {"optim": {"step_epochs": [0, 5, 5], "step_factors": [1, 0.5, 0.1]}},
        "recipe key optim.step_epochs must start at 0 and rise, not [0.0, 5.0, 5.0]",
    ),
    "steps after the end": (
        {"optim": {"schedule": "steps", "step_epochs": [0, 100], "step_factors": [1, 0.5]}},
        "recipe key optim.step_epochs [0.0, 100.0] reach past train.epochs 100: lower them",
    ),
    "a negative factor": (
        {"optim": {"step_epochs": [0], "step_factors": [-1]}},
        "recipe key optim.step_factors must not be below 0, not [-1.0]",
    ),
    "a batch that cannot be divided": (
        {"train": {"accumulate": 3}},
        "recipe key train.batch_size 64 cannot be divided into train.accumulate 3 equal parts",
    ),
    "Nesterov without momentum": (
        {"optim": {"momentum": 0.0}},
        "recipe key optim.nesterov needs optim.momentum above 0, not 0.0",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_in_one_line(mistake: str) -> None:
    given, line = MISTAKES[mistake]
    with pytest.raises(RecipeError) as error:
        recipe_from_mapping(MINIMAL | given)  # type: ignore[arg-type]
    assert said(error) == line


def test_what_is_not_given_takes_its_default() -> None:
    recipe = recipe_from_mapping(MINIMAL)
    assert recipe.clip.short_side == (256, 320)
    assert recipe.optim.lr == 0.1
    assert recipe.reported is None
    with pytest.raises(FrozenInstanceError):
        recipe.optim.lr = 1.0  # type: ignore[misc]


@pytest.mark.parametrize("mapping", [{}, {"model": {}}, {"clip": {"crop": 64}}])
def test_the_model_is_required(mapping: dict[str, object]) -> None:
    with pytest.raises(RecipeError) as error:
        recipe_from_mapping(mapping)
    assert said(error) == "recipe key 'model.name' is required"


def test_an_unknown_key_names_the_nearest() -> None:
    with pytest.raises(RecipeError) as error:
        recipe_from_mapping(MINIMAL | {"clip": {"frames": 8}})
    assert said(error).startswith(
        "unknown recipe key 'clip.frames'; did you mean 'clip.num_frames'? Allowed: clip.colour_jitter"
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5e-5", 5e-5), ("1E3", 1000.0), ("-.5", -0.5), ("5.", 5.0), ("+1.5e+2", 150.0), ("12", 12), ("-3", -3),
        ("0", 0), ("010", "010"), ("12:30", "12:30"), ("1_000", "1_000"), ("0x10", "0x10"), ("yes", "yes"),
        ("no", "no"), ("on", "on"), ("true", True), ("False", False), ("null", None), ("~", None), ("", None),
        (".inf", ".inf"), (".nan", ".nan"), ("2024-01-01", "2024-01-01"), ("'5e-5'", "5e-5"), ("<<", "<<"),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    found = read_yaml(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "value", ["5e-5", "5", "yes", "null", "2024-01-01", "12:30", "a: b", "#", "", "[1]", 5e-5, 1.0]
)
def test_what_is_written_reads_back_everywhere(value: object) -> None:
    text = write_yaml({"key": value, "list": [value, value]})
    assert read_yaml(text) == {"key": value, "list": [value, value]}
    assert yaml.safe_load(text) == {"key": value, "list": [value, value]}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("model: {name: a, name: b}", "line 1, column 8: the key 'name' is given twice"),
        ("model:\n  name: a\nmodel:\n  name: b\n", "line 1, column 1: the key 'model' is given twice"),
        ("model: [", "line 1, column 9: "),
        ("model: !!python/object:os.system {}", "line 1, column 8: could not determine a constructor"),
        ("a: 1\n---\nb: 2", "line 2, column 1: but found another document"),
        ("- a", 'a recipe is a mapping of sections (model, clip, optim, train, test, reported, ours), not ["a"]'),
        ("", "a recipe is a mapping of sections"),
        ("? [a]\n: 1", "line 1, column 3: found unhashable key"),
    ],
)
def test_a_broken_file_is_told_in_one_line(tmp_path: Path, text: str, line: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError) as error:
        load_recipe(path)
    assert said(error).startswith(f"{path}: ")
    assert line in said(error)


def test_a_recipe_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yml"
    path.write_text("model:\n  name: x3d_m\noptim:\n  lr: 5e-2\n")
    assert load_recipe(path) == load_recipe(str(path)) == override(recipe_from_mapping(MINIMAL), {
        "model.name": "x3d_m", "optim.lr": "0.05"
    })  # fmt: skip


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("ssv1/vov3d_m_61", "unknown recipe 'ssv1/vov3d_m_61'; did you mean 'ssv1/vov3d_m_16'?"),
        ("vov3d_m_8", "did you mean 'folder/vov3d_m_8'?"),
        ("zzz", "unknown recipe 'zzz'; `vov3d recipes` lists all 34; a file of your own ends in .yaml"),
        ("none.yaml", "cannot read the recipe 'none.yaml': No such file or directory"),
        ("../recipes/ssv1/vov3d_m_16", "unknown recipe"),
    ],
)
def test_an_unknown_recipe_names_the_nearest(name: str, line: str) -> None:
    with pytest.raises(RecipeError) as error:
        load_recipe(name)
    assert line in said(error)


def test_a_folder_given_as_a_recipe(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as error:
        load_recipe(tmp_path)
    assert said(error).endswith(f"a folder of videos is given as --data {tmp_path}")


# ---- setting keys ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("clip.short_side", "112,128", (112, 128)), ("clip.short_side", "[112, 128]", (112, 128)),
        ("clip.short_side", " 112, 128 ", (112, 128)), ("optim.lr", "5e-5", 5e-5), ("optim.lr", "1", 1.0),
        ("optim.nesterov", "false", False), ("optim.step_epochs", "", ()), ("optim.step_epochs", "[]", ()),
        ("model.init", "2024", "2024"), ("model.init", "null", None), ("model.init", "a: b.pyth", "a: b.pyth"),
        ("clip.flip", "none", "none"), ("train.epochs", "7", 7),
    ],
)  # fmt: skip
def test_override_reads_values_as_yaml(key: str, text: str, value: object) -> None:
    base = recipe_from_mapping(MINIMAL | {"clip": {"crop": 112}})
    section, field = key.split(".")
    changed = override(base, {key: text})
    assert getattr(getattr(changed, section), field) == value
    untouched = replace(getattr(changed, section), **{field: getattr(getattr(base, section), field)})
    assert replace(changed, **{section: untouched}) == base


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"optim.lr": "low"}, "recipe key 'optim.lr' must be a number, not \"low\""),
        ({"optim.learning_rate": "1"}, "unknown recipe key 'optim.learning_rate'; did you mean 'optim."),
        ({"lr": "1"}, "unknown recipe key 'lr'"),
        ({"reported.top1": "1"}, "unknown recipe key 'reported.top1'"),
        ({"clip.short_side": "[112"}, "recipe key 'clip.short_side' cannot be '[112': not valid YAML"),
        ({"clip.crop": "512"}, "recipe key clip.short_side starts at 256, below clip.crop 512"),
        ({"train.epochs": "0"}, "recipe key 'train.epochs' must be greater than or equal to 1, not 0"),
    ],
)
def test_override_is_as_strict_as_a_file(settings: dict[str, str], line: str) -> None:
    with pytest.raises(RecipeError) as error:
        override(recipe_from_mapping(MINIMAL), settings)
    assert said(error).startswith(line)


def test_overrides_are_checked_together_not_one_by_one() -> None:
    changed = override(recipe_from_mapping(MINIMAL), {"clip.crop": "512", "clip.short_side": "512,640"})
    assert (changed.clip.crop, changed.clip.short_side) == (512, (512, 640))


def test_every_key_is_explained() -> None:
    keys = recipe_keys()
    mapping = to_mapping(recipe_from_mapping(MINIMAL))
    settable = [f"{s}.{k}" for s, fields in mapping.items() if isinstance(fields, dict) for k in fields]
    assert [key.name for key in keys] == settable
    assert len(keys) == 57
    assert all(key.help and key.type_text for key in keys)
    own = {key.name for key in keys if not key.source}  # every other default says where it comes from
    assert own == {"model.name", "model.init", "train.accumulate", "train.checkpoint_every_epochs"}
    by_name = {key.name: key for key in keys}
    assert by_name["model.name"].default == "required"
    assert by_name["clip.short_side"].default == "256,320"
    assert by_name["clip.short_side"].type_text == "INT,INT"
    assert by_name["optim.schedule"].type_text == "cosine|steps|constant"
    assert by_name["model.init"].type_text == "TEXT|null"


def test_defaults_as_shown_read_back_as_the_defaults() -> None:
    shown = {key.name: key.default for key in recipe_keys() if key.default != "required"}
    recipe = recipe_from_mapping(MINIMAL)
    assert override(recipe, shown) == recipe
