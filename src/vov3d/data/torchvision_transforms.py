"""What torchvision does to training clips; it is optional, and imported where a recipe asks for it."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from torch import Tensor

from vov3d.errors import ArgumentError


def clip_transform(
    *, rand_augment_ops: int = 0, rand_augment_magnitude: int = 9, random_erasing: float = 0.0, mean: float = 0.45
) -> Callable[[Tensor], Tensor] | None:
    """Return RandAugment and random erasing as the `transform` of a `ClipDataset`; ``None`` where neither is asked for.

    All frames of a clip get the same change, drawn from torch's generator; equalising, autocontrast and contrast go by
    the colours of each frame. No change mirrors a clip, and one rotation turns it by at most 30 degrees, so that no
    direction becomes another. What is empty afterwards has the mean colour, which normalises to 0.

    Shape: of the transform, uint8 ``[T, 3, H, W] -> [T, 3, H, W]``

    Args:
        rand_augment_ops: changes of each clip; 0 for no RandAugment.
        rand_augment_magnitude: their strength, 0 to 30.
        random_erasing: probability that a rectangle of 2% to 33% of a clip is blotted out, after RandAugment.
        mean: the colour of what is blotted out or moved in, on the scale of 0 to 1.

    Raises:
        ArgumentError: torchvision is not there, or not made for this torch.

    Source: Cubuk et al., arXiv 1909.13719 (RandAugment); Zhong et al., arXiv 1708.04896 (random erasing).
    """
    asked = {"clip.rand_augment_ops": rand_augment_ops, "clip.random_erasing": random_erasing}
    keys = [key for key, value in asked.items() if value > 0]
    if not keys:
        return None
    try:
        v2 = import_module("torchvision.transforms.v2")
    except (ImportError, RuntimeError, OSError) as error:
        raise ArgumentError(
            f"{' and '.join(keys)} {'needs' if len(keys) == 1 else 'need'} torchvision, made for the torch that is "
            f"installed: pip install 'vov3d[augment]', or set {'it' if len(keys) == 1 else 'them'} to 0 "
            f"({' '.join(str(error).split())})"
        ) from error
    grey = round(255 * mean)
    steps = []
    if rand_augment_ops:
        bilinear = v2.InterpolationMode.BILINEAR
        steps.append(v2.RandAugment(rand_augment_ops, rand_augment_magnitude, interpolation=bilinear, fill=grey))
    if random_erasing:
        steps.append(v2.RandomErasing(random_erasing, value=grey))
    transform: Callable[[Tensor], Tensor] = v2.Compose(steps)
    return transform
