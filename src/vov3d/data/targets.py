"""What a network shall answer for a clip, as numbers, and whether its loss can teach it that."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from vov3d.data.sources import VideoIndex
from vov3d.errors import DataError


def multi_hot(classes: Iterable[int], num_classes: int) -> torch.Tensor:
    """Return 1 for each class that is shown and 0 for the others.

    Shape: float32 [K].

    Args:
        classes: class ids that are shown; none for none.
        num_classes: K.
    """
    target = torch.zeros(num_classes)
    target[list(classes)] = 1
    return target


def check_loss(loss: str, index: VideoIndex) -> None:
    """Raise where the loss knows one class a video, and the data has several.

    Args:
        loss: ``train.loss`` of the recipe. ``"sigmoid"`` learns from any data, ``"softmax"`` from one class a video.
        index: the data set.

    Raises:
        DataError: for ``"softmax"`` and several labels a video.
    """
    if index.multi_label and loss != "sigmoid":
        raise DataError(
            f"{str(index.root)!r} gives several labels a video, and train.loss {loss} knows one; train with "
            "--train.loss sigmoid, or give a list with the column label in place of labels"
        )
