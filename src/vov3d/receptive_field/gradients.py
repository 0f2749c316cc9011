"""What feature maps depend on in fact: gradients with respect to the frames of a clip."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from vov3d.errors import ArgumentError, Vov3dError
from vov3d.models import ClipClassifier
from vov3d.optim import recompute_norm_statistics
from vov3d.receptive_field.hooks import hooked

SHARE = 0.95
"""The effective field is the shortest run of frames that holds this share of the energy."""


def measure_energy(
    model: ClipClassifier,
    names: Collection[str],
    *,
    num_frames: int,
    crop: int,
    num_clips: int,
    seed: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, list[float]]:
    """Return, for the middle position of each module's output, which share of its dependence is on each frame.

    Shape: each ``[num_frames]``; sums to 1.

    The energy of a frame is the square of the gradient at its pixels, of all channels of the position, each
    weighted by a random number whose square is 1 on average. Clips are noise.

    Args:
        model: the network; its mode is restored.
        names: modules of stem and stages.
        num_frames: frames of a clip.
        crop: height and width of a clip, in pixels.
        num_clips: clips that the energy is averaged over.
        seed: of the noise.
        on_progress: called with (modules done, all modules).

    Source: Luo et al., "Understanding the Effective Receptive Field in Deep Convolutional Neural Networks",
        arXiv 1701.04128, Section 2.
    """
    generator = torch.Generator().manual_seed(seed)
    clips = torch.randn(num_clips, 3, num_frames, crop, crop, generator=generator, dtype=model.dtype).requires_grad_()
    maps: dict[str, list[Tensor]] = {}

    def keep(name: str, _inputs: object, output: object) -> None:
        if name in names:
            maps[name] = [part for part in (output if isinstance(output, tuple) else (output,)) if part.dim() == 5]

    was_training = model.training
    with hooked(model, keep), torch.enable_grad():
        model.eval().forward_features(clips)
    model.train(was_training)
    energies = {}
    for done, (name, of_paths) in enumerate(maps.items(), start=1):
        middles = [part[:, :, part.shape[2] // 2, part.shape[3] // 2, part.shape[4] // 2] for part in of_paths]
        weighted = [(middle * torch.randn(middle.shape, generator=generator).to(middle)).sum() for middle in middles]
        (gradient,) = torch.autograd.grad(sum(weighted[1:], weighted[0]), clips, retain_graph=True)
        energy = gradient.double().square().sum(dim=(0, 1, 3, 4))
        energies[name] = (energy / energy.sum().clamp_min(torch.finfo(torch.float64).tiny)).tolist()
        if on_progress is not None:
            on_progress(done, len(maps))
    return energies


def effective_frames(energy: Sequence[float], share: float = SHARE) -> int:
    """Return the length of the shortest run of frames that holds a share of the energy."""
    sums = [0.0]
    for part in energy:
        sums.append(sums[-1] + part)
    wanted = share * sums[-1]
    return min(
        last - first
        for first in range(len(energy))
        for last in range(first + 1, len(sums))
        if sums[last] - sums[first] >= wanted
    )


def settle(model: ClipClassifier, *, num_frames: int, crop: int, num_clips: int, seed: int) -> None:
    """Make a fresh network one in which all parts count: norms that start at zero at one, statistics of noise.

    Without that, residual branches give nothing, and norms in evaluation scale by what was never measured.

    Raises:
        ArgumentError: the clips are too few or too small to measure the statistics on.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    for norm in norms:
        if not norm.weight.any():
            nn.init.ones_(norm.weight)
    generator = torch.Generator().manual_seed(seed)
    clips = torch.randn(num_clips, 3, num_frames, crop, crop, generator=generator, dtype=model.dtype)
    try:
        recompute_norm_statistics(model, [clips])
    except Vov3dError:
        raise
    except ValueError as error:  # torch's, of a norm that sees one number
        given = f"{num_clips} clip{'s' * (num_clips != 1)} of {num_frames} frames of {crop}x{crop}"
        raise ArgumentError(
            f"from {given} a norm of the fresh network sees one number, which has no spread; give 2 clips, or more "
            "frames or pixels"
        ) from error
