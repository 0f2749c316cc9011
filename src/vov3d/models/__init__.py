"""Networks with one contract: ``model(clips [N,3,T,H,W]) -> logits [N,K]``."""

from vov3d.models.catalogue import MODELS, create_model, list_models, network_name
from vov3d.models.clip_classifier import ClipClassifier
from vov3d.models.csn import CSN, ip_csn_152, ir_csn_101, ir_csn_152
from vov3d.models.i3d import I3D, i3d
from vov3d.models.i3d_nl import NonLocalI3D, i3d_nl_r50
from vov3d.models.loading import is_causal, load_weights, our_tensors
from vov3d.models.movinet import MoViNet, movinet_a0, movinet_a1, movinet_a2
from vov3d.models.movinet_stream import MoViNetStream, movinet_a0_stream, movinet_a1_stream, movinet_a2_stream
from vov3d.models.published import published_name, published_names
from vov3d.models.r2plus1d import R2Plus1DNet, r2plus1d_18, r2plus1d_34
from vov3d.models.recognition import recognise
from vov3d.models.region_graph import RegionGraphI3D, nl_i3d_gcn
from vov3d.models.resnet import ResNet
from vov3d.models.slowfast import SlowFast, slowfast_r50_4x16, slowfast_r50_8x8, slowfast_r50_16x8
from vov3d.models.stm import STM, stm_r50
from vov3d.models.tea import TEA, tea_r50
from vov3d.models.tpn import TPN, tsm_tpn_r50
from vov3d.models.tsm import TSM, tsm_r50, tsm_r101
from vov3d.models.tsn import TSN, tsn_r50
from vov3d.models.vov3d import TOSA, VoV3D, vov3d_l, vov3d_m, vov3d_s
from vov3d.models.x3d import X3D, x3d_l, x3d_m, x3d_s, x3d_xs

__all__ = [
    "CSN",
    "I3D",
    "MODELS",
    "STM",
    "TEA",
    "TOSA",
    "TPN",
    "TSM",
    "TSN",
    "X3D",
    "ClipClassifier",
    "MoViNet",
    "MoViNetStream",
    "NonLocalI3D",
    "R2Plus1DNet",
    "RegionGraphI3D",
    "ResNet",
    "SlowFast",
    "VoV3D",
    "create_model",
    "i3d",
    "i3d_nl_r50",
    "ip_csn_152",
    "ir_csn_101",
    "ir_csn_152",
    "is_causal",
    "list_models",
    "load_weights",
    "movinet_a0",
    "movinet_a0_stream",
    "movinet_a1",
    "movinet_a1_stream",
    "movinet_a2",
    "movinet_a2_stream",
    "network_name",
    "nl_i3d_gcn",
    "our_tensors",
    "published_name",
    "published_names",
    "r2plus1d_18",
    "r2plus1d_34",
    "recognise",
    "slowfast_r50_4x16",
    "slowfast_r50_8x8",
    "slowfast_r50_16x8",
    "stm_r50",
    "tea_r50",
    "tsm_r50",
    "tsm_r101",
    "tsm_tpn_r50",
    "tsn_r50",
    "vov3d_l",
    "vov3d_m",
    "vov3d_s",
    "x3d_l",
    "x3d_m",
    "x3d_s",
    "x3d_xs",
]
