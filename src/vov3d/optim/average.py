"""An exponential moving average of a network's weights, which is often a better network than the last step's."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

Tensors = tuple[Tensor, ...] | list[Tensor]


def moving_average(model: nn.Module, decay: float) -> AveragedModel:
    """Return a copy of the network whose weights trail those of the network; ``module`` of it is the averaged network.

    Call ``update_parameters(model)`` on it after each step of the optimiser. Running statistics trail as the weights
    do, whole numbers are copied. The first update copies everything; after that the decay climbs as
    ``(1 + n) / (10 + n)``, n the updates before, so that the weights at the start do not linger.

    Args:
        model: the network, on its device.
        decay: what the average keeps of itself in each update, once it has climbed there; 0.999 over some thousand
            steps, 0.99 over some hundred.

    Source: the climb is that of TensorFlow's ``ExponentialMovingAverage`` with ``num_updates``.
    """

    def update(averaged: Tensors, current: Tensors, num_updates: Tensor | int) -> None:
        if averaged[0].is_floating_point():
            n = int(num_updates)
            get_ema_multi_avg_fn(min(decay, (1 + n) / (10 + n)))(averaged, current, num_updates)
        else:
            for one, other in zip(averaged, current, strict=True):
                one.copy_(other)

    average = AveragedModel(model, multi_avg_fn=update, use_buffers=True)
    average.requires_grad_(False)
    return average


def average_tensors(average: AveragedModel) -> dict[str, Tensor]:
    """Return the average and how many updates it has seen, as tensors with names, so that it can be stored."""
    return dict(average.state_dict())


def restore_average(average: AveragedModel, tensors: Mapping[str, Tensor]) -> None:
    """Give an average of the same network back what `average_tensors` returned."""
    average.load_state_dict(dict(tensors))
