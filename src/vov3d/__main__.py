"""``python -m vov3d`` is the command line."""

from vov3d.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
