"""Optimisation: the learning-rate schedule and the parameter groups."""

from vov3d.optim.groups import DECAY_GROUPS, decayed_names, parameter_groups
from vov3d.optim.precise_norm import recompute_norm_statistics
from vov3d.optim.schedule import Schedule
from vov3d.optim.state import optimizer_tensors, restore_optimizer

__all__ = [
    "DECAY_GROUPS",
    "Schedule",
    "decayed_names",
    "optimizer_tensors",
    "parameter_groups",
    "recompute_norm_statistics",
    "restore_optimizer",
]
