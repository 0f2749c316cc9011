"""vov3d: efficient video classification.

>>> import vov3d
>>> model = vov3d.create_model("vov3d_m", num_classes=174)
>>> vov3d.train("folder/vov3d_s_16", data="videos", out="runs/first")
>>> vov3d.load("runs/first/last.safetensors").predict("a.mp4")
"""
# ruff: noqa: E402

from vov3d.interrupts import end_at_once_while_loading

end_at_once_while_loading()

from vov3d.check import check
from vov3d.compare import compare
from vov3d.convert import convert
from vov3d.evaluate import evaluate
from vov3d.info import info
from vov3d.models import create_model, list_models
from vov3d.optimize import optimize
from vov3d.pack import pack
from vov3d.predict import load, predict
from vov3d.receptive_field import receptive_field
from vov3d.recipe import list_recipes, load_recipe
from vov3d.report import report
from vov3d.stream import stream
from vov3d.tempo import tempo
from vov3d.train import train
from vov3d.trained import load_trained
from vov3d.version import __version__

__all__ = [
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
