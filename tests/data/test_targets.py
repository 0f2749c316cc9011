"""Targets of several classes, and the loss that can teach them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from vov3d.data.sources import VideoIndex
from vov3d.data.targets import check_loss, multi_hot
from vov3d.errors import DataError


def test_multi_hot() -> None:
    assert multi_hot((0, 3), 4).tolist() == [1.0, 0.0, 0.0, 1.0]
    assert multi_hot((), 2).tolist() == [0.0, 0.0]
    assert multi_hot([1], 2).dtype == torch.float32


def test_only_the_sigmoid_learns_several_labels() -> None:
    one = VideoIndex(Path("set"), "csv list", ("a", "b"), {}, (), "labels", None)
    several = dataclasses.replace(one, multi_label=True)
    for loss, index in (("softmax", one), ("sigmoid", one), ("sigmoid", several)):
        check_loss(loss, index)
    with pytest.raises(
        DataError, match=r"'set' gives several labels a video, and train\.loss softmax .*--train\.loss sig"
    ):
        check_loss("softmax", several)
