"""`vov3d check`: what a data set holds and what is wrong with it, before a training finds out.

Every video is opened, and its first, middle and last frame are decoded. Nothing on disk is changed.
"""

from __future__ import annotations

from vov3d.check.look import check
from vov3d.check.report import BrokenVideo, ClassReport, DataReport, SplitReport, Spread, Verdict
from vov3d.check.tables import render

__all__ = ["BrokenVideo", "ClassReport", "DataReport", "SplitReport", "Spread", "Verdict", "check", "render"]
