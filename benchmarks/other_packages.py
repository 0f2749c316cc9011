"""What is timed beside the catalogue: networks of other packages, as these build them, without trained weights."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable

import torch
from networks import Clips, ready
from torch import Tensor, nn

from vov3d.compare.workers import Ready


def pytorchvideo_x3d_m() -> nn.Module:
    """X3D-M of PyTorchVideo."""
    import_torchvision()
    from pytorchvideo.models.x3d import create_x3d

    model: nn.Module = create_x3d(input_clip_length=16, input_crop_size=224, depth_factor=2.2, head_activation=None)
    return model


def pytorchvideo_slowfast_r50_8x8() -> nn.Module:
    """SlowFast R50 8x8 of PyTorchVideo, behind the splitting into its two pathways."""
    import_torchvision()
    from pytorchvideo.models.slowfast import create_slowfast

    return _Pathways(create_slowfast(slowfast_fusion_conv_kernel_size=(7, 1, 1)), alpha=4)


def torchvision_r2plus1d_18() -> nn.Module:
    """R(2+1)D-18 of torchvision."""
    import_torchvision()
    from torchvision.models.video import r2plus1d_18

    model: nn.Module = r2plus1d_18(num_classes=400)
    return model


def transformers_videomae_base() -> nn.Module:
    """VideoMAE-base of Hugging Face's transformers, its configuration the default one."""
    import_torchvision()  # which transformers loads if it is there
    from transformers import VideoMAEConfig, VideoMAEForVideoClassification

    return _FramesFirst(VideoMAEForVideoClassification(VideoMAEConfig(num_labels=400)))


PEERS = {
    "pytorchvideo": {"x3d_m": pytorchvideo_x3d_m, "slowfast_r50_8x8": pytorchvideo_slowfast_r50_8x8},
    "torchvision": {"r2plus1d_18": torchvision_r2plus1d_18},
    "transformers": {"videomae_base": transformers_videomae_base},
}
"""Package -> network -> what builds it."""


class _Pathways(nn.Module):
    def __init__(self, network: nn.Module, alpha: int) -> None:
        super().__init__()
        self.network, self.alpha = network, alpha

    def forward(self, clips: Tensor) -> Tensor:
        logits: Tensor = self.network([clips[:, :, :: self.alpha], clips])
        return logits


class _FramesFirst(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, clips: Tensor) -> Tensor:
        logits: Tensor = self.network(clips.transpose(1, 2)).logits
        return logits


def peer(package: str, name: str, clips: Clips) -> Ready:
    """Another package's network, in eager, as it comes."""
    return ready(lambda: PEERS[package][name]().eval(), clips)


def peer_in_openvino(package: str, name: str, clips: Clips, precision: str) -> Ready:
    """The same in OpenVINO, as it converts the module."""
    import openvino

    settings = {
        "INFERENCE_PRECISION_HINT": "f32" if precision == "fp32" else "bf16",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }

    def compiled(model: nn.Module, shown: Tensor) -> Callable[[Tensor], Tensor]:
        graph = openvino.convert_model(model, example_input=shown)
        engine = openvino.Core().compile_model(graph, "CPU", settings)
        return lambda clips: torch.from_numpy(engine(clips.numpy())[0])

    return ready(lambda: compiled(PEERS[package][name]().eval(), clips.drawn()), clips)


def import_torchvision() -> None:
    """Import torchvision, if need be without its compiled operators, which none of these networks needs."""
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:  # it was not made for this torch
        if "does not exist" not in str(error):
            raise
        for loaded in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[loaded]
        global _DECLARED  # noqa: PLW0603
        _DECLARED = torch.library.Library("torchvision", "DEF")
        _DECLARED.define("nms(Tensor boxes, Tensor scores, float threshold) -> Tensor")
        _DECLARED.define("qnms(Tensor boxes, Tensor scores, float threshold) -> Tensor")
        importlib.import_module("torchvision")


_DECLARED: torch.library.Library | None = None
