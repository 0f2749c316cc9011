"""Put pretrained weights into the package: copy them, and write their digests into its index.

The first file is the one that is meant where no network is named.

python studies/ship.py runs/motion_m/vov3d_m_motion.safetensors runs/motion_s/vov3d_s_motion.safetensors
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from refusals import told_in_one_line

from vov3d.checkpoint import read_checkpoint
from vov3d.files import write_bytes, write_text
from vov3d.weights import FOLDER, NAMES

MOST_BYTES = 8_000_000


def ship(paths: Sequence[Path], folder: Path) -> dict[str, dict[str, str]]:
    """Copy files named ``MODEL_NAME.safetensors`` and write ``index.json``; what was there before is gone.

    Raises:
        ValueError: a file is not what its name says, or they are too large together.
    """
    index: dict[str, dict[str, str]] = {name: {} for name in NAMES}
    content: dict[str, bytes] = {}
    for path in paths:
        model, _, name = path.stem.rpartition("_")
        description = read_checkpoint(path).description
        about = description.get("weights")
        if description.get("model") != model or not isinstance(about, dict) or about.get("name") != name:
            raise ValueError(f"{path} does not hold weights {name!r} of {model!r}")
        if name not in NAMES or model in index[name]:
            raise ValueError(f"{path} holds weights {name!r} of {model!r}; allowed is one file a network of {NAMES}")
        content[path.name] = path.read_bytes()
        index[name][model] = hashlib.sha256(content[path.name]).hexdigest()
    if sum(map(len, content.values())) > MOST_BYTES:
        raise ValueError(f"{len(paths)} files have more than {MOST_BYTES:,} bytes together")
    for file, held in content.items():
        write_bytes(folder / file, held)
    write_text(folder / "index.json", json.dumps(index, indent=1) + "\n")
    for old in folder.glob("*.safetensors"):
        if old.name not in content:
            old.unlink()
    return index


def main() -> None:
    """Ship the files that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, nargs="+")
    args = parser.parse_args()
    print(json.dumps(ship(args.weights, FOLDER), indent=1))


if __name__ == "__main__":
    with told_in_one_line():
        main()
