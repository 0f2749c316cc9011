"""What ``import vov3d`` gives, and what it costs."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import vov3d

NAMES = [
    "__version__",
    "check",
    "compare",
    "convert",
    "create_model",
    "evaluate",
    "info",
    "list_models",
    "list_recipes",
    "load",
    "load_recipe",
    "load_trained",
    "optimize",
    "pack",
    "predict",
    "receptive_field",
    "report",
    "stream",
    "tempo",
    "train",
]
HEAVY = ("matplotlib", "tensorboard", "av", "PIL", "yaml", "pydantic", "rich", "safetensors", "jinja2", "torch._dynamo")


def python(code: str) -> str:
    """What a fresh Python prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_these_names_are_public() -> None:
    assert sorted(vov3d.__all__) == NAMES
    assert all(hasattr(vov3d, name) for name in NAMES)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "__version__"])
def test_every_public_name_is_explained_and_typed(name: str) -> None:
    function = getattr(vov3d, name)
    assert inspect.isfunction(function)
    assert inspect.getdoc(function)
    signature = inspect.signature(function)
    assert signature.return_annotation is not inspect.Signature.empty
    for parameter in signature.parameters.values():
        assert parameter.annotation is not inspect.Parameter.empty, parameter
        assert parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL), parameter
        assert "Any" not in str(parameter.annotation), parameter


def test_a_verb_stays_a_function_when_its_module_is_imported() -> None:
    verbs = (
        *(
            "check",
            "compare",
            "convert",
            "evaluate",
            "info",
            "optimize",
            "pack",
            "predict",
            "receptive_field",
            "report",
            "tempo",
        ),
        "train",
    )
    code = "".join(f"import vov3d.{verb}\nfrom vov3d.{verb} import {verb}\n" for verb in verbs)
    assert python(f"{code}print([callable(getattr(vov3d, verb)) for verb in {verbs}])") == f"{[True] * len(verbs)}\n"


def test_the_examples_of_the_package_are_true() -> None:
    assert "vov3d.create_model(" in (vov3d.__doc__ or "")
    assert vov3d.create_model("vov3d_m", num_classes=174).num_classes == 174
    assert "folder/vov3d_m_8" in vov3d.list_recipes()


def test_import_is_quick_and_needs_few_packages() -> None:
    """The least of three measurements, in CPU seconds: what else the machine does can only add to it."""
    blocked = "".join(f"sys.modules[{name!r}] = None\n" for name in HEAVY[:-1])
    code = (
        f"import sys, time, torch, numpy\n{blocked}before, begun = set(sys.modules), time.process_time()\n"
        "import vov3d\nprint(time.process_time() - begun, *set(sys.modules) - before)\n"
        "assert vov3d.create_model('x3d_xs').num_classes == 400"
    )
    answers = [python(code).split() for _ in range(3)]
    assert min(float(seconds) for seconds, *_ in answers) < 0.5
    for _, *loaded in answers:
        assert "vov3d.train" in loaded
        assert "torch._dynamo" not in loaded
