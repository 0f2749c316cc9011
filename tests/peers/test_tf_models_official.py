"""MoViNet gives what the authors' own implementation gives (tf-models-official, on TensorFlow with tf_keras)."""

from __future__ import annotations

import os
import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vov3d.models.movinet import A0, SWISH, MoViNet
from vov3d.models.movinet_stream import HardSigmoid, MoViNetStream, causal_3d, paper_causal_gate

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
movinet = pytest.importorskip("official.projects.movinet.modeling.movinet")
movinet_model = pytest.importorskip("official.projects.movinet.modeling.movinet_model")

RELEASED_STREAM = {
    "causal": True,
    "conv_type": "2plus1d",
    "se_type": "2plus3d",
    "activation": "hard_swish",
    "gating_activation": "hard_sigmoid",
}


class TheirHardSigmoid(nn.Module):
    """What the name means in today's Model Garden (deviation 2)."""

    def forward(self, gates: Tensor) -> Tensor:
        return nn.functional.relu6(gates + 3) * 0.16667


FORMS: dict[str, tuple[MoViNet, dict[str, Any]]] = {
    "base": (MoViNet(*A0, num_classes=6), {}),
    "stream": (MoViNetStream(*A0, num_classes=6), RELEASED_STREAM),
    "stream of the paper": (
        MoViNetStream(*A0, operator=causal_3d, gate=paper_causal_gate, activation=SWISH, num_classes=6),
        {"causal": True, "use_positional_encoding": True},
    ),
}
MODULES = {
    "stem/stem": "stem",
    "bneck/expansion": "expand",
    "bneck/feature": "operator",
    "bneck/projection": "project",
    "bneck/se/se_reduce": "gate.fc1",
    "bneck/se/se_expand": "gate.fc2",
    "bneck/skip/skip_project": "shortcut.project",
    "head/project": "head.project",
    "classifier_head/head": "head.hidden",
    "classifier_head/classifier": "head.classifier",
}
LEAVES = {
    "gamma": "norm.weight",
    "beta": "norm.bias",
    "moving_mean": "norm.running_mean",
    "moving_variance": "norm.running_var",
    "kernel": "conv.weight",
    "depthwise_kernel": "conv.weight",
    "bias": "conv.bias",
}


def our_name(theirs: str, factorised: bool) -> str:
    name = re.sub(r"^classifier_head_\d+", "classifier_head", theirs.removesuffix(":0"))
    found = re.match(r"block(\d)_layer(\d+)/(.*)", name)
    block, name = (f"stages.{found[1]}.{found[2]}.", found[3]) if found else ("", name)
    if name == "scale":
        return f"{block}scale.weight"
    module = next(module for module in MODULES if name.startswith(module))
    leaf = LEAVES[name.rpartition("/")[2]]
    ours = MODULES[module]
    if ours == "operator" and factorised:
        ours += ".temporal" if "temporal" in name else ".spatial"
    return f"{block}{ours}.{leaf.removeprefix('conv.') if ours.startswith(('gate', 'head.h', 'head.c')) else leaf}"


def as_ours(name: str, value: np.ndarray, like: Tensor) -> Tensor:
    if value.ndim == 5:
        value = value.transpose(4, 3, 0, 1, 2)
    elif value.ndim == 4:
        value = value.transpose(2, 3, 0, 1) if "depthwise" in name else value.transpose(3, 2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(value)).reshape(like.shape)


@pytest.mark.parametrize("form", FORMS)
def test_logits_on_random_weights(form: str) -> None:
    ours, arguments = FORMS[form]
    backbone = movinet.Movinet(model_id="a0", use_sync_bn=False, **arguments)
    theirs = movinet_model.MovinetClassifier(backbone, num_classes=6, output_states=False)
    theirs.build([1, 2, 64, 64, 3])
    draw = np.random.default_rng(0)
    state, numbers = ours.state_dict(), iter([key for key in ours.state_dict() if "positions" in key])
    given = {}
    for variable in theirs.variables:
        name, shape = variable.name, tuple(variable.shape)
        value = draw.standard_normal(shape) * 0.1
        if len(shape) > 1:
            value *= 10 * np.sqrt(2 / np.prod(shape[:-2] if "depthwise" in name else shape[:-1]))
        if name.endswith(("variance:0", "gamma:0", "scale:0")):
            value = 0.5 + draw.random(shape)
        value = np.asarray(value, np.float32)
        variable.assign(value)
        key = next(numbers) if name == "scale:0" else our_name(name, form == "stream")
        given[key] = as_ours(name, value, state[key])
    assert set(state) - set(given) == {key for key in state if key.endswith("num_batches_tracked")}
    ours.load_state_dict(given, strict=False)
    for module in ours.modules():
        if hasattr(module, "gate") and isinstance(module.gate, HardSigmoid):
            module.gate = TheirHardSigmoid()
    ours.eval()
    for shape in ((2, 4, 64, 64), (1, 1, 45, 61), (1, 7, 50, 35)):
        clips = draw.standard_normal((*shape, 3)).astype(np.float32)
        expected = theirs({"image": clips}, training=False).numpy()
        with torch.no_grad():
            found = ours(torch.from_numpy(clips).movedim(-1, 1))
        np.testing.assert_allclose(found.numpy(), expected.reshape(found.shape), rtol=1e-4, atol=1e-4)
