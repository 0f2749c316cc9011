"""The command line: ``vov3d VERB``, one file a verb."""

from vov3d.cli.frame import main

__all__ = ["main"]
