"""Parameter names of published checkpoints, one file for each naming. Facts only: names and shapes."""

from torch import nn

from vov3d.errors import CheckpointError
from vov3d.models.published.image_res2net import RES2NET
from vov3d.models.published.image_resnet import IMAGE_RESNET, RESNET
from vov3d.models.published.inception import GOOGLENET, I3D_PORT
from vov3d.models.published.layout import COUNTER, Backbone, Layout
from vov3d.models.published.mmaction2_resnet3d import MMACTION2_RESNET3D
from vov3d.models.published.movinet_port import MOVINET_PORT, MOVINET_STREAM_PORT
from vov3d.models.published.pyslowfast import PYSLOWFAST, published_name
from vov3d.models.published.pytorchvideo import PYTORCHVIDEO_X3D
from vov3d.models.published.pytorchvideo_resnets import PYTORCHVIDEO_CSN, PYTORCHVIDEO_SLOWFAST
from vov3d.models.published.temporal_pyramid import MMACTION2_TPN
from vov3d.models.published.temporal_shift import MMACTION2_TSM, TSM_AUTHORS
from vov3d.models.published.torchvision_video import TORCHVISION_VIDEO

__all__ = ["BACKBONES", "COUNTER", "LAYOUTS", "Backbone", "Layout", "published_name", "published_names"]

LAYOUTS: tuple[Layout, ...] = (
    PYSLOWFAST,
    PYTORCHVIDEO_X3D,
    PYTORCHVIDEO_SLOWFAST,
    PYTORCHVIDEO_CSN,
    IMAGE_RESNET,
    TSM_AUTHORS,
    MMACTION2_TSM,
    MMACTION2_TPN,
    MMACTION2_RESNET3D,
    I3D_PORT,
    TORCHVISION_VIDEO,
    MOVINET_PORT,
    MOVINET_STREAM_PORT,
)
BACKBONES: tuple[Backbone, ...] = (RESNET, RES2NET, GOOGLENET)


def published_names(model: nn.Module) -> dict[str, str]:
    """Return our name -> published name for every entry of the state dict, in order, as `vov3d.convert` writes it.

    Raises:
        CheckpointError: if no published file that is written here holds such a network.
    """
    for layout in LAYOUTS:
        names = layout.names(model) if layout.written else {}
        if names:
            return names
    raise CheckpointError(
        f"{type(model).__name__}, as it is here, has no published form to write; those of "
        f"{' and '.join(layout.title for layout in LAYOUTS if layout.written)} have one"
    )
