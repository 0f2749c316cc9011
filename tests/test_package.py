"""What is installed is what the package needs: the wheel holds the data files."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from vov3d.recipe import list_recipes
from vov3d.weights import FOLDER, NAMES, weights_in

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel of this checkout."""
    (path,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("wheel")), versions=["standard"])
    return zipfile.ZipFile(path)


def test_the_wheel_holds_every_recipe(wheel: zipfile.ZipFile) -> None:
    held = {name for name in wheel.namelist() if name.startswith("vov3d/recipes/")}
    assert held == {f"vov3d/recipes/{name}.yaml" for name in list_recipes()}
    assert "vov3d/py.typed" in wheel.namelist()


def test_the_wheel_holds_the_weights_of_the_index_and_no_others(wheel: zipfile.ZipFile) -> None:
    held = {name for name in wheel.namelist() if name.startswith("vov3d/weights/") and not name.endswith(".py")}
    shipped = weights_in(FOLDER)
    assert held == {"vov3d/weights/index.json", *(f"vov3d/weights/{one.path.name}" for one in shipped)}
    assert {one.name for one in shipped} <= set(NAMES)
    for one in shipped:
        assert hashlib.sha256(wheel.read(f"vov3d/weights/{one.path.name}")).hexdigest() == one.sha256
    assert sum(wheel.getinfo(name).file_size for name in held) < 8_000_000
