"""With and without gradient checkpointing a training step is the same, bit for bit; only the memory is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from vov3d.layers import SpatialConv3d
from vov3d.models import X3D, ClipClassifier, VoV3D
from vov3d.models.gradient_checkpointing import statistics_kept

NETWORKS: dict[str, Callable[[], ClipClassifier]] = {
    "vov3d": lambda: VoV3D(16, (1, 2, 1, 1), num_units=2, num_classes=3, dropout=0.5, stochastic_depth=0.5),
    "x3d": lambda: X3D(0.4, num_classes=3, dropout=0.5, stochastic_depth=0.5),
}


def network(name: str, dtype: torch.dtype = torch.float32) -> ClipClassifier:
    torch.manual_seed(0)
    model = NETWORKS[name]().to(dtype)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.5, 1.5)  # let every branch count
    return model


def two_steps(model: ClipClassifier, dtype: torch.dtype) -> dict[str, Tensor]:
    """Losses, gradients, buffers and the state of the generator after two steps."""
    found = {}
    for step in range(2):
        torch.manual_seed(step)
        clips = torch.randn(3, 3, 3, 33, 40, dtype=dtype)
        loss = nn.functional.cross_entropy(model(clips), torch.arange(3))
        loss.backward()
        found[f"loss {step}"] = loss.detach()
    found |= {f"gradient {name}": p.grad for name, p in model.named_parameters() if p.grad is not None}
    found |= {f"buffer {name}": buffer for name, buffer in model.named_buffers()}
    return found | {"generator": torch.random.get_rng_state()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_step_is_the_same_step(name: str, dtype: torch.dtype) -> None:
    plain, saving = network(name, dtype), network(name, dtype)
    saving.gradient_checkpointing = True
    expected, got = two_steps(plain, dtype), two_steps(saving, dtype)
    assert list(got) == list(expected)
    assert sum(key.startswith("gradient") for key in got) == len(list(plain.parameters()))
    assert [key for key in got if not torch.equal(got[key], expected[key])] == []
    assert {int(buffer) for key, buffer in got.items() if key.endswith("num_batches_tracked")} == {2}
    assert list(saving.state_dict()) == list(plain.state_dict())


def test_frozen_blocks_keep_their_statistics() -> None:
    plain, saving = network("vov3d"), network("vov3d")
    saving.gradient_checkpointing = True
    for model in (plain, saving):
        model.freeze(["stem", "stages.0", "stages.1.0"])
    expected, got = two_steps(plain, torch.float32), two_steps(saving, torch.float32)
    assert list(got) == list(expected) and all(torch.equal(got[key], expected[key]) for key in got)
    assert int(got["buffer stages.0.0.branch.aggregate.norm.num_batches_tracked"]) == 0


@pytest.mark.parametrize("name", NETWORKS)
def test_each_block_is_computed_twice_and_less_is_kept(name: str) -> None:
    """What the forward pass keeps for the backward pass shrinks to a few maps; without gradients nothing changes."""
    model = network(name)
    calls = []
    for module in model.stages.modules():
        if isinstance(module, SpatialConv3d):
            module.register_forward_hook(lambda *_: calls.append(None))
    clips = torch.randn(2, 3, 4, 64, 64)
    kept: dict[bool, int] = {}
    for saving in (False, True):
        model.gradient_checkpointing = saving
        kept[saving] = kept_bytes(model, clips)
        calls.clear()
        logits = model(clips)
        forward = len(calls)
        logits.sum().backward()
        assert len(calls) == (2 if saving else 1) * forward
    assert kept[True] < 0.3 * kept[False]
    calls.clear()
    with torch.no_grad():
        model(clips)
    assert len(calls) == forward


def kept_bytes(model: ClipClassifier, clips: Tensor) -> int:
    """The size of all memory that a forward pass keeps beside the parameters, the inputs of blocks included."""
    sizes: dict[int, int] = {}
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    blocks = [block for stage in model.stages.children() for block in stage.children()]
    hooks = [block.register_forward_pre_hook(lambda _, inputs: (keep(inputs[0]), None)[1]) for block in blocks]
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(clips)
    for hook in hooks:
        hook.remove()
    return sum(sizes.values())


def test_statistics_come_back_after_an_error() -> None:
    norm = nn.BatchNorm3d(2)
    mean, counted = norm.running_mean, norm.num_batches_tracked
    with pytest.raises(RuntimeError, match="stop"), statistics_kept(norm):
        norm(torch.randn(4, 2, 1, 3, 3))
        assert int(norm.num_batches_tracked) == 1  # type: ignore[arg-type]
        raise RuntimeError("stop")
    assert norm.running_mean is mean and norm.num_batches_tracked is counted
    assert int(counted) == 0 and torch.equal(mean, torch.zeros(2))  # type: ignore[arg-type]
