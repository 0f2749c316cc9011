"""Optimisation: the learning-rate schedule, the parameter groups, the average of the weights."""

from vov3d.optim.average import average_tensors, moving_average, restore_average
from vov3d.optim.groups import DECAY_GROUPS, decayed_names, parameter_groups
from vov3d.optim.precise_norm import recompute_norm_statistics
from vov3d.optim.schedule import Schedule
from vov3d.optim.state import optimizer_tensors, restore_optimizer

__all__ = [
    "DECAY_GROUPS",
    "Schedule",
    "average_tensors",
    "decayed_names",
    "moving_average",
    "optimizer_tensors",
    "parameter_groups",
    "recompute_norm_statistics",
    "restore_average",
    "restore_optimizer",
]
