"""How long a training step takes against plain Conv3d modules, in interleaved runs on this machine.

python benchmarks/training_step.py [--threads 1] [--pairs 5] writes a file into benchmarks/results
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vov3d.environment import describe_environment
from vov3d.layers import DepthwiseConv3d, SpatialConv3d, TemporalConv3d
from vov3d.models import create_model

RESULTS = Path(__file__).parent / "results"


def as_plain(model: nn.Module) -> nn.Module:
    """The same network with torch's own Conv3d arithmetic, on contiguous memory."""
    for module in model.modules():
        if isinstance(module, SpatialConv3d | TemporalConv3d | DepthwiseConv3d):
            module.forward = nn.Conv3d.forward.__get__(module)  # type: ignore[method-assign]
    model.forward_features = lambda clips: model.stages(model.stem(clips))  # type: ignore[assignment]
    return model


def stepper(model: nn.Module, clips: Tensor, labels: Tensor) -> Callable[[], None]:
    """One whole step: forward, backward, SGD."""
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(clips), labels).backward()
        optimizer.step()

    return step


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rows = []
    for name in ("vov3d_m", "x3d_m"):
        clips, labels = torch.randn(4, 3, 16, 112, 112), torch.arange(4)
        torch.manual_seed(0)
        ours, plain = create_model(name, num_classes=10), create_model(name, num_classes=10)
        plain.load_state_dict(ours.state_dict())
        steps = {"plain": stepper(as_plain(plain), clips, labels), "ours": stepper(ours, clips, labels)}
        seconds: dict[str, list[float]] = {"plain": [], "ours": []}
        for pair in range(args.pairs + 1):
            for kind, step in steps.items():
                started = time.perf_counter()
                step()
                if pair:  # the first pair warms up
                    seconds[kind].append(time.perf_counter() - started)
        ratios = [slow / fast for slow, fast in zip(seconds["plain"], seconds["ours"], strict=True)]
        rows.append(
            {
                "model": name,
                "clips": "4x16x112x112",
                "threads": args.threads,
                "pairs": args.pairs,
                "plain_over_ours_median": round(statistics.median(ratios), 2),
                "plain_over_ours_min": round(min(ratios), 2),
                "plain_over_ours_max": round(max(ratios), 2),
            }
        )
        print(rows[-1])
    environment = describe_environment(device="cpu", command="python benchmarks/training_step.py")
    machine = "-".join(environment["processor"].lower().split()[:3]) or "unknown"
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"training-step-{machine}-{date.today().isoformat()}.json"
    machine_facts = {key: environment[key] for key in ("processor", "cores", "python", "torch", "vov3d", "commit")}
    path.write_text(json.dumps({"machine": machine_facts, "rows": rows}, indent=1) + "\n")
    print(path)


if __name__ == "__main__":
    main()
