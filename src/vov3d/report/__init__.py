"""Turn a run folder into one web page that holds everything: numbers, curves, mistakes, examples, origin.

The page makes no request and runs no script, so that it can be mailed, archived and printed.
"""

from vov3d.report.page import report

__all__ = ["report"]
