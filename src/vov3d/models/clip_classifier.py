"""The one contract of every network: clips in, logits out."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from vov3d.errors import ArgumentError
from vov3d.layers import Head, Stream, initialise
from vov3d.models.gradient_checkpointing import recomputed


class ClipClassifier(nn.Module):
    """A stem, stages and a head; ``model(clips) -> logits`` in training and in evaluation alike.

    Memory is channels-last inside, whatever the layout of the clips.

    Shape: ``[N, 3, T, H, W] -> [N, K]`` for any T >= 1 and any H, W >= 32.

    Args:
        stem: what the clips meet first.
        stages: the trunk. What passes between stem, stages and head is one feature map ``[N,C,T,H,W]``, or a tuple of
            them where a network has several pathways; the last stage gives one.
        head: pooling and classification.

    Attributes:
        causal: whether no output depends on a later frame, so that the network can `stream`.
        num_features: width of what the classifier sees.
        gradient_checkpointing: whether each block is computed again in the backward pass, to save memory; nothing else
            changes by it.
        frozen: names of the parts that `freeze` has frozen.
    """

    causal = False

    def __init__(self, stem: nn.Module, stages: nn.Sequential, head: Head) -> None:
        super().__init__()
        self.stem = stem
        self.stages = stages
        self.head = head
        self.gradient_checkpointing = False
        self.frozen: tuple[str, ...] = ()
        self.apply(initialise)

    @property
    def num_features(self) -> int:
        """Width of what the classifier sees."""
        return self.head.num_features

    @property
    def num_classes(self) -> int:
        """K, the number of logits; 0 without a classifier."""
        return self.head.classifier.out_features if isinstance(self.head.classifier, nn.Linear) else 0

    @property
    def dtype(self) -> torch.dtype:
        """The type that the network computes in, and its clips must have."""
        return next(self.parameters()).dtype

    def blocks(self) -> Iterator[nn.Module]:
        """Yield the trunk in order: what each ``nn.Sequential`` stage is made of, other stages whole."""
        for stage in self.stages.children():
            yield from stage.children() if isinstance(stage, nn.Sequential) else (stage,)

    def forward_features(self, clips: Tensor) -> Tensor:
        """Return the last feature map.

        Shape: ``[N, 3, T, H, W] -> [N, C, T', H', W']``; in VoV3D T' is T and H' and W' are ceil(H/32) and ceil(W/32).
        """
        check_clips(clips)
        if clips.dtype != self.dtype and not torch.is_autocast_enabled(clips.device.type):
            raise ArgumentError(f"clips are {clips.dtype}, the network {self.dtype}; give clips.to(model.dtype)")
        features: Tensor = self.stem(clips.contiguous(memory_format=torch.channels_last_3d))
        if self.gradient_checkpointing and torch.is_grad_enabled():
            for block in self.blocks():
                features = recomputed(block, features)
        else:
            features = self.stages(features)
        return features

    def forward(self, clips: Tensor) -> Tensor:  # noqa: D102
        logits: Tensor = self.head(self.forward_features(clips))
        return logits

    def position_logits(self, clips: Tensor, window: tuple[int, int, int] = (16, 7, 7)) -> Tensor:
        """Return the logits at every position of the published head's average-pool window, stride 1.

        The paper's test averages their softmax over positions and views.

        Shape: ``[N, 3, T, H, W] -> [N, P, K]``, positions in T', H', W' order.

        Args:
            clips: the clips.
            window: frames, rows and columns of the window in feature-map cells: the training clip's own feature map
                (16 frames and 224 pixels: 16 x 7 x 7). An axis of the feature map that is shorter is pooled whole.

        Source: published code (docs/faithfulness.md #8).
        """
        return self.head.position_logits(self.forward_features(clips), window)

    def stream(self) -> Stream:
        """Return this network in front of cameras: ``stream(frames [N,3,t,H,W]) -> logits [N,K]`` of all frames so far.

        Raises:
            ArgumentError: the network is not causal, or in training mode.
        """
        if not self.causal:
            raise ArgumentError(
                f"{type(self).__name__} sees frames before they come; build VoV3D and X3D with causal=True, or take "
                "movinet_a0_stream and the like"
            )
        return Stream(self)

    def freeze(self, names: Iterable[str]) -> None:
        """Keep parts of the network as they are: no gradients, and in training they compute as in evaluation.

        Batch norms use and keep their running statistics, and no block of a frozen stage is left out.

        Args:
            names: of modules, such as ``stem``, ``stages``, ``stages.0`` or ``head.expand``.

        Raises:
            ArgumentError: the network has no such part, or nothing would be left to train.
        """
        wanted = tuple(names)
        parts = {name: part for name, part in self.named_modules() if name and any(True for _ in part.parameters())}
        for name in wanted:
            if name not in parts:
                raise ArgumentError(_unknown_part(name, parts))
        stay = {parameter for name in wanted for parameter in parts[name].parameters()}
        if all(parameter in stay or not parameter.requires_grad for parameter in self.parameters()):
            raise ArgumentError(f"freezing {', '.join(wanted)} leaves no parameter to train; leave out head.classifier")
        for parameter in stay:
            parameter.requires_grad_(False)
        self.frozen = tuple(dict.fromkeys((*self.frozen, *wanted)))
        self.train(self.training)

    def train(self, mode: bool = True) -> ClipClassifier:
        """Switch to training or evaluation; what is frozen stays in evaluation."""
        super().train(mode)
        for name in self.frozen:
            self.get_submodule(name).eval()
        return self

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the classifier by a fresh one for ``num_classes`` classes; 0 removes it, as in timm.

        Raises:
            ArgumentError: if ``num_classes`` is negative.
        """
        if num_classes < 0:
            raise ArgumentError(f"num_classes is {num_classes}; it must be 0 (no classifier) or more")
        if num_classes == 0:
            self.head.classifier = nn.Identity()
            return
        like = next(self.parameters())
        self.head.classifier = nn.Linear(self.num_features, num_classes, device=like.device, dtype=like.dtype)
        initialise(self.head.classifier)


def _unknown_part(name: str, parts: Iterable[str]) -> str:
    nearest = difflib.get_close_matches(name, parts, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(map(repr, nearest))}?" if nearest else "."
    return f"the network has no part {name!r} to freeze{hint} Allowed: stem, stages, head, and what they are made of"


def check_clips(clips: Tensor) -> None:
    """Refuse what is no batch of clips.

    Raises:
        ArgumentError: it says what the clips are and what is allowed.
    """
    if not isinstance(clips, Tensor):
        raise ArgumentError(f"clips are of type {type(clips).__name__}; give a tensor [N, 3, T, H, W]")
    if clips.dim() != 5 or clips.shape[1] != 3:
        raise ArgumentError(
            f"clips have shape {list(clips.shape)}; allowed is [N, 3, T, H, W] (clips, RGB, frames, pixels)"
        )
    if clips.shape[2] < 1 or min(clips.shape[3:]) < 32:
        raise ArgumentError(
            f"clips have {clips.shape[2]} frames of {clips.shape[3]}x{clips.shape[4]}; at least 1 of 32x32"
        )
    if not clips.is_floating_point():
        raise ArgumentError(f"clips are {clips.dtype}; normalise them to a floating-point tensor first")
