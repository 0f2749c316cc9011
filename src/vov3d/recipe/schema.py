"""What a recipe holds: the science of one experiment, and nothing of a machine, a data set or an architecture.

Each key is written once: its type and bounds, its meaning, what the paper or the authors' released configuration and
code have for it, and its default. The defaults are, but for the plainer choice in a few switches, their protocol for
training on Something-Something from scratch. Pydantic reads the bounds (see ``checks``), the command line the rest (see
``keys``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt


@dataclass(frozen=True)
class ModelSettings:
    """The network and where its weights start."""

    name: Annotated[str, "a name from `vov3d models`"]
    operator: Annotated[
        Literal["bottleneck", "r2plus1d", "dw_bottleneck", "d1plus2d", "d2plus1d"] | None,
        "3D operator of every module of a VoV3D or X3D, as in Table 4; null: the network's own",
        "paper: d2plus1d",
    ] = None
    causal: Annotated[
        bool, "no frame of a VoV3D or X3D sees a later one, so that the trained network follows cameras", "paper: false"
    ] = False
    dropout: Annotated[float, Ge(0), Lt(1), "dropout before the classifier", "released config: 0.5"] = 0.5
    stochastic_depth: Annotated[
        float,
        Ge(0),
        Lt(1),
        "probability of leaving out a block's branch in training: 0 in the first block, this in the last",
        "released code: none",
    ] = 0.0
    init: Annotated[
        str | None,
        "checkpoint to start from, or motion, the weights in the package; a classifier of another number of classes "
        "starts afresh; auto: motion, where the network has them and there are few videos; null: none",
    ] = None
    backbone_init: Annotated[
        str | None,
        "weights of a 2D network of images, such as timm's resnet50, that tsn, tsm and their like start from; null: "
        "none",
        "TSN, TSM, STM, TEA, TPN, I3D: ImageNet",
    ] = None


@dataclass(frozen=True)
class ClipSettings:
    """The clips that the network is trained on."""

    sampling: Annotated[
        Literal["segment", "dense"],
        "segment: one frame from each of num_frames equal parts of the video; dense: num_frames frames, one every "
        "frame_stride",
        "paper: segment for Something-Something, dense for Kinetics",
    ] = "segment"
    num_frames: Annotated[int, Ge(1), Le(1024), "frames of a clip, T", "Table 5: 16 and 32"] = 16
    frame_stride: Annotated[
        int, Ge(1), Le(1000), "dense sampling only: frames from one to the next, at 30 per second", "released config: 5"
    ] = 1
    short_side: Annotated[
        tuple[int, int],
        "lowest and highest shorter side in pixels, drawn for each clip",
        "released config: 256,320",
    ] = (256, 320)
    short_side_law: Annotated[
        Literal["uniform", "inverse_uniform"],
        "how the shorter side is drawn: evenly, or its inverse evenly",
        "released config: inverse_uniform, Kinetics uniform",
    ] = "inverse_uniform"
    crop: Annotated[int, Ge(32), Le(2048), "side of the square training crop in pixels", "released config: 224"] = 224
    flip: Annotated[
        Literal["none", "labels"],
        "labels: mirror half of the clips, with the label of the mirror image where that is another class, and never "
        "where it has none",
        "released config: none, Kinetics flips",
    ] = "none"
    colour_jitter: Annotated[
        float, Ge(0), Le(1), "how far the colours of a clip may change; for small data sets, 0.4", "released code: none"
    ] = 0.0
    rand_augment_ops: Annotated[
        int,
        Ge(0),
        Le(10),
        "RandAugment: changes drawn for each clip, the same for all its frames; 0: none, usual: 2",
        "released code: none",
    ] = 0
    rand_augment_magnitude: Annotated[
        int, Ge(0), Le(30), "RandAugment: strength of each change, usual: 9", "released code: none"
    ] = 9
    random_erasing: Annotated[
        float,
        Ge(0),
        Le(1),
        "probability that a rectangle of a clip, the same in all its frames, is blotted out; usual: 0.25",
        "released code: none",
    ] = 0.0
    mean: Annotated[float, Ge(0), Le(1), "subtracted from pixels in 0..1", "released config: 0.45"] = 0.45
    std: Annotated[float, Ge(0.001), Le(1), "pixels are divided by it after that", "released config: 0.225"] = 0.225


@dataclass(frozen=True)
class OptimSettings:
    """The optimiser and its learning rate."""

    name: Annotated[Literal["sgd", "adamw"], "the optimiser; adamw learns more from few clips", "paper: SGD"] = "sgd"
    lr: Annotated[
        float, Gt(0), Le(1e30), "base learning rate, for this batch_size", "released config: 0.1, fine-tuning 0.05"
    ] = 0.1
    momentum: Annotated[float, Ge(0), Lt(1), "momentum", "released config: 0.9"] = 0.9
    nesterov: Annotated[bool, "Nesterov's form of momentum, sgd alone", "released config: true"] = True
    weight_decay: Annotated[float, Ge(0), Lt(1), "strength of weight decay", "released config: 5e-5"] = 5e-5
    decay_groups: Annotated[
        Literal["weights", "published", "all"],
        "what decays. weights: weights of convolutions and linear layers; published: every parameter without 'bn' in "
        "its published name, which in VoV3D takes in 60% of the batch norms; all: everything",
        "released code: published",
    ] = "weights"
    schedule: Annotated[
        Literal["cosine", "steps", "constant"],
        "the learning rate over time",
        "released config: cosine, fine-tuning steps",
    ] = "cosine"
    warmup_epochs: Annotated[
        float, Ge(0), "epochs of linear warm-up", "released config: 1, fine-tuning 0.19, Kinetics 35"
    ] = 1.0
    warmup_steps: Annotated[
        int | None, Ge(0), "steps of linear warm-up, in place of warmup_epochs; null: those", "paper, fine-tuning: 2000"
    ] = None
    warmup_start_lr: Annotated[
        float,
        Ge(0),
        Le(1e30),
        "learning rate that the warm-up starts from",
        "released config: 0.01, fine-tuning 0.0001",
    ] = 0.01
    step_epochs: Annotated[
        tuple[float, ...], "steps only: where each step begins, the first at 0", "released config: 0,35,45"
    ] = ()
    step_factors: Annotated[
        tuple[float, ...], "steps only: what multiplies lr from there on", "released config: 1,0.1,0.01"
    ] = ()
    clip_grad_norm: Annotated[
        float | None, Gt(0), "longest gradient that a step takes, all parameters together; null: any", "released: any"
    ] = None


@dataclass(frozen=True)
class TrainSettings:
    """The course of the training."""

    epochs: Annotated[
        int,
        Ge(1),
        Le(1_000_000),
        "passes over the training videos",
        "released config: 100, fine-tuning 50, Kinetics 256",
    ] = 100
    batch_size: Annotated[
        int,
        Ge(1),
        Le(1_000_000),
        "clips of one step of the optimiser, on all devices",
        "released config: 64, Kinetics 128",
    ] = 64
    accumulate: Annotated[
        int, Ge(1), "equal parts that a batch is computed in, to save memory; batch norm sees one part at a time"
    ] = 1
    precision: Annotated[
        Literal["float32", "bf16", "fp16", "float64"],
        "arithmetic of the forward pass; float64 to compare runs exactly",
        "released code: float32",
    ] = "float32"
    evaluate_every_epochs: Annotated[
        int, Ge(1), "epochs from one evaluation to the next", "released config: 2, Kinetics 10"
    ] = 2
    checkpoint_every_epochs: Annotated[int, Ge(1), "epochs from one checkpoint, to resume from, to the next"] = 1
    precise_bn_batches: Annotated[
        int, Ge(0), "batches to compute batch norm's statistics anew from before an evaluation", "released code: 200"
    ] = 0
    norm_clips: Annotated[
        int | None,
        Ge(1),
        "clips that batch norm takes its statistics over, however many processes there are: parts of what a process "
        "holds, or processes together; null: all that a process computes at once as the run begins, and so to its end",
        "released config: 8, fine-tuning 32, Kinetics 16",
    ] = None
    repeats: Annotated[
        int,
        Ge(1),
        Le(64),
        "repeated augmentation: clips drawn from each video of a batch, which has batch_size / repeats videos",
        "released code: 1",
    ] = 1
    loss: Annotated[
        Literal["softmax", "sigmoid"],
        "softmax: cross-entropy, one class a video; sigmoid: binary cross-entropy of each class, several a video",
        "paper: softmax",
    ] = "softmax"
    mixup: Annotated[
        float,
        Ge(0),
        Le(10),
        "alpha of mixup, two clips and their targets blended; 0: none, usual: 0.8",
        "released: none",
    ] = 0.0
    cutmix: Annotated[
        float,
        Ge(0),
        Le(10),
        "alpha of cutmix, a box of another clip pasted in; with mixup, each batch draws one; 0: none, usual: 1",
        "released: none",
    ] = 0.0
    label_smoothing: Annotated[float, Ge(0), Lt(1), "label smoothing", "released code: none"] = 0.0
    stills: Annotated[
        float,
        Ge(0),
        Lt(1),
        "largest weight of a still frame of another clip that is laid over each clip, so that scenes say nothing; for "
        "small data sets, 0.5",
        "released code: none",
    ] = 0.0
    ema_decay: Annotated[
        float,
        Ge(0),
        Lt(1),
        "decay of an exponential moving average of the weights, which is then what is tested and kept; 0: none",
        "released code: none",
    ] = 0.0
    freeze: Annotated[
        tuple[str, ...],
        "parts of the network that stay as they are, norms included: stem, stages, stages.0, head.expand, ...",
        "released code: none",
    ] = ()
    gradient_checkpointing: Annotated[
        bool, "compute each block again in the backward pass, to save memory", "released code: false"
    ] = False
    compile: Annotated[bool, "compile the network with torch.compile; needs a C++ compiler", "released: false"] = False
    seed: Annotated[
        int, Ge(0), Le(2**32 - 1), "seed of the weights, the order and every random draw", "released config: 0"
    ] = 0


@dataclass(frozen=True)
class TestSettings:
    """The views of a video whose probabilities are averaged, num_clips x num_crops."""

    __test__ = False  # not a test, whatever pytest takes the name for

    crop: Annotated[int, Ge(32), Le(2048), "shorter side and square crop in pixels", "paper: 256"] = 256
    num_clips: Annotated[int, Ge(1), Le(1000), "clips of a video", "paper: 2, Kinetics 10"] = 2
    num_crops: Annotated[int, "crops of a clip along the longer side: 1, the middle, or 3", "paper: 3"] = 3
    clip_rule: Annotated[
        Literal["uniform", "random"],
        "where the clips lie. uniform: fixed and evenly spaced; random: every view draws its own frames",
        "released code: random, Kinetics uniform",
    ] = "uniform"
    window: Annotated[
        Literal["published", "global"],
        "the head's pooling. published: over a window of the training crop's size, probabilities then averaged over "
        "its positions; global: over the whole map",
        "released code: published",
    ] = "published"


@dataclass(frozen=True)
class Reported:
    """The paper's numbers for this recipe; accuracies are fractions, ``gmacs`` is of one view at the test crop."""

    top1: Annotated[float, Ge(0), Le(1)]
    top5: Annotated[float, Ge(0), Le(1)]
    gmacs: Annotated[float, Gt(0)]
    params_millions: Annotated[float, Gt(0)]
    source: str


@dataclass(frozen=True)
class Ours:
    """What was measured with this recipe here; accuracies are fractions."""

    top1: Annotated[float, Ge(0), Le(1)]
    source: str
    top5: Annotated[float, Ge(0), Le(1)] | None = None


@dataclass(frozen=True)
class Recipe:
    """The science of one experiment.

    ``reported`` and ``ours`` are records, not settings: they are never overridden. A recipe built by hand is not
    checked; ``recipe_from_mapping(to_mapping(recipe))`` checks it.
    """

    model: ModelSettings
    clip: ClipSettings = field(default_factory=ClipSettings)
    optim: OptimSettings = field(default_factory=OptimSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    test: TestSettings = field(default_factory=TestSettings)
    reported: Reported | None = None
    ours: Ours | None = None
