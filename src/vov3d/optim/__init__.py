"""Optimisation: the learning-rate schedule and the parameter groups."""

from vov3d.optim.groups import DECAY_GROUPS, build_sgd, decayed_names
from vov3d.optim.precise_norm import recompute_norm_statistics
from vov3d.optim.schedule import Schedule

__all__ = ["DECAY_GROUPS", "Schedule", "build_sgd", "decayed_names", "recompute_norm_statistics"]
