"""Models by their published names."""

from __future__ import annotations

import fnmatch
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path

from vov3d.checkpoint import read_checkpoint
from vov3d.errors import ArgumentError, unknown_name
from vov3d.layers import OPERATORS, Operator
from vov3d.models.ablations import VARIANTS, vov3d_m_2020
from vov3d.models.clip_classifier import ClipClassifier
from vov3d.models.csn import ip_csn_152, ir_csn_101, ir_csn_152
from vov3d.models.i3d import i3d
from vov3d.models.i3d_nl import i3d_nl_r50
from vov3d.models.inflation import backbone_of, load_backbone
from vov3d.models.loading import is_causal, load_weights, num_classes_of
from vov3d.models.movinet import movinet_a0, movinet_a1, movinet_a2
from vov3d.models.movinet_stream import movinet_a0_stream, movinet_a1_stream, movinet_a2_stream
from vov3d.models.r2plus1d import r2plus1d_18, r2plus1d_34
from vov3d.models.region_graph import nl_i3d_gcn
from vov3d.models.slowfast import slowfast_r50_4x16, slowfast_r50_8x8, slowfast_r50_16x8
from vov3d.models.stm import stm_r50
from vov3d.models.tea import tea_r50
from vov3d.models.tpn import tsm_tpn_r50
from vov3d.models.tsm import tsm_r50, tsm_r101
from vov3d.models.tsn import tsn_r50
from vov3d.models.vov3d import vov3d_l, vov3d_m, vov3d_s
from vov3d.models.x3d import x3d_l, x3d_m, x3d_s, x3d_xs
from vov3d.weights import NAMES, find_weights, models_with

MODELS: Mapping[str, Callable[..., ClipClassifier]] = {
    "vov3d_m": vov3d_m,
    "vov3d_l": vov3d_l,
    "vov3d_s": vov3d_s,
    "x3d_m": x3d_m,
    "x3d_l": x3d_l,
    "x3d_s": x3d_s,
    "x3d_xs": x3d_xs,
    "vov3d_m_2020": vov3d_m_2020,
    "tsn_r50": tsn_r50,
    "tsm_r50": tsm_r50,
    "tsm_r101": tsm_r101,
    "stm_r50": stm_r50,
    "tea_r50": tea_r50,
    "tsm_tpn_r50": tsm_tpn_r50,
    "nl_i3d_gcn": nl_i3d_gcn,
    "i3d": i3d,
    "i3d_nl_r50": i3d_nl_r50,
    "slowfast_r50_4x16": slowfast_r50_4x16,
    "slowfast_r50_8x8": slowfast_r50_8x8,
    "slowfast_r50_16x8": slowfast_r50_16x8,
    "ip_csn_152": ip_csn_152,
    "ir_csn_152": ir_csn_152,
    "ir_csn_101": ir_csn_101,
    "r2plus1d_18": r2plus1d_18,
    "r2plus1d_34": r2plus1d_34,
    "movinet_a0": movinet_a0,
    "movinet_a1": movinet_a1,
    "movinet_a2": movinet_a2,
    "movinet_a0_stream": movinet_a0_stream,
    "movinet_a1_stream": movinet_a1_stream,
    "movinet_a2_stream": movinet_a2_stream,
    **VARIANTS,
}


def list_models(pattern: str = "*") -> list[str]:
    """Return the names of the models that match a shell pattern such as ``"x3d*"``, sorted."""
    return sorted(fnmatch.filter(MODELS, pattern))


def network_name(name: str, operator: str | None = None) -> str:
    """Return the name of a network with another 3D operator: ``vov3d_m`` with ``r2plus1d`` is ``vov3d_m_r2plus1d``.

    Args:
        name: one of `list_models()`.
        operator: one of `vov3d.layers.OPERATORS`; ``None`` for the network's own.

    Raises:
        ArgumentError: there is no such network or operator, or the network has none to choose.
    """
    if operator is None:
        return name
    if name not in MODELS:
        raise ArgumentError(unknown_name("model", name, MODELS, "vov3d models"))
    if f"{name}_{operator}" in VARIANTS:
        return f"{name}_{operator}"
    _check_choice(name, "operator")
    if operator not in OPERATORS:
        raise ArgumentError(unknown_name("operator", operator, OPERATORS))
    return name


def create_model(
    name: str,
    *,
    num_classes: int | None = None,
    dropout: float = 0.5,
    pretrained: str | Path | None = None,
    backbone_pretrained: str | Path | None = None,
    operator: Operator | None = None,
    stochastic_depth: float = 0.0,
    causal: bool | None = None,
) -> ClipClassifier:
    """Build a network by its published name.

    Args:
        name: one of `list_models()`.
        num_classes: K; by default that of ``pretrained``, else 400. 0 gives features in place of logits.
        dropout: probability of dropping a feature before the classifier, in training.
        pretrained: a checkpoint of ours (``.safetensors``) or a published one (``.pyth``); or ``"motion"``, the weights
            in the package, of networks that have them. If its classes are not ``num_classes``, the classifier starts
            fresh and the log says so.
        backbone_pretrained: weights of a 2D network trained on images, such as timm's ``resnet50``, inflated over
            time. Of networks that have its trunk; the log says what starts fresh.
        operator: the 3D operator of every module; by default the published one. Of networks that have such modules.
        stochastic_depth: probability of leaving out the branch of the last block in training; 0 in the first, evenly
            between. Of the same networks.
        causal: whether no frame sees a later one, so that the network can `stream`; with the same parameters. By
            default as in ``pretrained``, else not. Of the same networks; MoViNet's causal form has names of its own.

    Returns:
        A network with the one contract ``model(clips [N,3,T,H,W]) -> logits [N,K]``, in training mode.

    Raises:
        ArgumentError: for an unknown name, an argument out of range, or one that this network does not have.
        CheckpointError: if a checkpoint cannot be read or does not fit.
    """
    if name not in MODELS:
        raise ArgumentError(unknown_name("model", name, MODELS, "vov3d models"))
    if num_classes is not None and num_classes < 0:
        raise ArgumentError(f"num_classes is {num_classes}; it must be 0 (no classifier) or more")
    if not 0 <= dropout < 1:
        raise ArgumentError(f"dropout is {dropout}; it must be at least 0 and below 1")
    if pretrained is not None and backbone_pretrained is not None:
        raise ArgumentError("pretrained and backbone_pretrained both say where the weights start; give one of them")
    checkpoint = read_checkpoint(_weights_of(name, pretrained)) if pretrained is not None else None
    if num_classes is None:
        num_classes = num_classes_of(checkpoint.tensors) if checkpoint else 400
    if causal is None:
        causal = checkpoint is not None and is_causal(checkpoint)
    wanted = {"operator": operator, "stochastic_depth": stochastic_depth, "causal": causal}
    chosen = {argument: value for argument, value in wanted.items() if value}
    for argument in chosen:
        _check_choice(name, argument)
    model = MODELS[name](num_classes=num_classes, dropout=dropout, **chosen)
    if checkpoint is not None:
        load_weights(model, checkpoint, str(pretrained))
    if backbone_pretrained is not None:
        if backbone_of(type(model)) is None:
            having = [other for other, build in MODELS.items() if backbone_of(_network(build)) is not None]
            raise ArgumentError(
                f"{name} cannot start from a network of images (backbone_pretrained, --model.backbone_init); "
                f"{', '.join(having)} can"
            )
        load_backbone(model, name, read_checkpoint(Path(backbone_pretrained)), str(backbone_pretrained))
    return model


def _weights_of(model: str, pretrained: str | Path) -> Path:
    """Return the file of weights that a network is to start from.

    Raises:
        ArgumentError: they go by a name, and the network has none of this name.
    """
    if str(pretrained) not in NAMES:
        return Path(pretrained)
    weights = find_weights(pretrained, model)
    if weights is None:
        having = ", ".join(models_with(str(pretrained))) or "none"
        raise ArgumentError(
            f"{model} has no weights {str(pretrained)!r} in this package; networks that have: {having}. A file of "
            f"yours of that name is './{pretrained}'"
        )
    return weights.path


def _network(build: Callable[..., ClipClassifier]) -> type[ClipClassifier]:
    network: type[ClipClassifier] = inspect.signature(build, eval_str=True).return_annotation
    return network


def _check_choice(name: str, argument: str) -> None:
    """Refuse an argument that a network does not have."""
    having = [other for other, build in MODELS.items() if argument in inspect.signature(build).parameters]
    if name in having:
        return
    if argument == "causal" and f"{name}_stream" in MODELS:
        raise ArgumentError(f"the causal form of {name} has a name of its own: {name}_stream")
    what = {"causal": "causal form"}.get(argument, argument)
    those = [other for other in having if other not in VARIANTS]
    raise ArgumentError(f"{name} has no {what} to choose; of the networks, {', '.join(those)} have one")
