"""What a network costs, counted and not estimated."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vov3d.models.clip_classifier import ClipClassifier


def count_parameters(model: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_gmacs(model: ClipClassifier, num_frames: int, crop: int) -> float:
    """Return 1e9 multiply-adds of convolutions and linear layers for one view of the published test.

    The head is counted at every position of its 7 x 7 window, of which 256 pixels have four. Norms, activations and
    sums are not counted, as in the papers; nor are the products of attention, which some papers count. Nothing is
    computed: the network is walked on the meta device.

    Args:
        model: the network.
        num_frames: frames of the clip.
        crop: height and width of the clip, in pixels.
    """
    walked = copy.deepcopy(model).to("meta").eval()
    with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.bmm: _nothing}) as counter, torch.no_grad():
        walked.position_logits(torch.empty(1, 3, num_frames, crop, crop, device="meta"), (num_frames, 7, 7))
    return float(counter.get_total_flops()) / 2e9


def _nothing(*_shapes: object, **_options: object) -> int:
    """A product of two maps, neither of which is a weight: what attention is made of."""
    return 0


def count_activations(model: ClipClassifier, num_frames: int, crop: int) -> int:
    """Return the number of elements that all convolutions and linear layers put out for one clip.

    Args:
        model: the network.
        num_frames: frames of the clip.
        crop: height and width of the clip, in pixels.

    Source: the measure of Radosavovic et al., arXiv 2003.13678, which follows run time better than multiply-adds.
    """
    walked = copy.deepcopy(model).to("meta").eval()
    total = 0

    def add(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        total += output.numel()

    for module in walked.modules():
        if isinstance(module, nn.Conv3d | nn.Linear):
            module.register_forward_hook(add)
    with torch.no_grad():
        walked(torch.empty(1, 3, num_frames, crop, crop, device="meta"))
    return total
