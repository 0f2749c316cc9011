"""Write the tables of numbers into README.md; with --check, only say whether they are current.

python docs/make_tables.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from vov3d.models import create_model
from vov3d.models.counting import count_gmacs, count_parameters

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- models: begin -->\n", "<!-- models: end -->"
MODELS = ("vov3d_m", "vov3d_l", "x3d_m", "x3d_l", "vov3d_s")


def models_table() -> str:
    """The README's table of models."""
    lines = [
        "| model | parameters, 174 classes | GMACs, 16x224x224 | GMACs, 16x256x256 | GMACs, 32x256x256 |",
        "|---|---:|---:|---:|---:|",
    ]
    for name in MODELS:
        with torch.device("meta"):
            model = create_model(name, num_classes=174)
        gmacs = " | ".join(f"{count_gmacs(model, *clip):.3f}" for clip in ((16, 224), (16, 256), (32, 256)))
        lines.append(f"| `{name}` | {count_parameters(model):,} | {gmacs} |")
    return "\n".join(lines) + "\n"


def with_tables(text: str) -> str:
    """The README with its tables made anew."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + models_table() + END + rest.split(END)[1]


def main(words: list[str]) -> int:
    """Write the tables, or say whether they are current."""
    text = README.read_text(encoding="utf-8")
    current = with_tables(text)
    if "--check" in words:
        return int(text != current)
    README.write_text(current, encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
