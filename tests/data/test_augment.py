"""Colours and stills change what stands still, and leave what moves."""

from __future__ import annotations

import numpy as np
import torch

from vov3d.data.augment import add_stills, colour_jitter


def test_zero_strength_is_nothing() -> None:
    clips = torch.randn(4, 3, 5, 6, 6)
    assert add_stills(clips, 0.0, np.random.default_rng(0)) is clips
    clip = clips[0]
    assert colour_jitter(clip, 0.0, np.random.default_rng(0)) is clip


def test_stills_weaken_motion_and_add_none() -> None:
    """What changes from frame to frame is the clip's own, times one number; what is added stands still."""
    clips = torch.randn(6, 3, 5, 4, 4, dtype=torch.float64)
    mixed = add_stills(clips, 0.5, np.random.default_rng(0))
    before, after = clips.diff(dim=2).flatten(1), mixed.diff(dim=2).flatten(1)
    kept = (after / before).mean(1, keepdim=True)
    torch.testing.assert_close(after, kept * before)
    assert kept.min() >= 0.5
    assert kept.max() <= 1.0
    assert kept.std() > 0.01, "each clip draws its own weight"
    assert not torch.allclose(mixed.mean(2), clips.mean(2))


def test_stills_come_from_the_batch_alone() -> None:
    clips = torch.arange(4.0).view(4, 1, 1, 1, 1).expand(4, 3, 2, 1, 1)
    mixed = add_stills(clips, 0.9, np.random.default_rng(3))
    assert mixed.min() >= 0
    assert mixed.max() <= 3


def test_colours_change_alike_in_all_frames() -> None:
    """A channel of the result is a straight line of one channel of the clip."""
    clip = torch.randn(3, 4, 5, 5)
    for seed in range(20):
        changed = colour_jitter(clip, 0.4, np.random.default_rng(seed))
        for channel in changed:
            fits = [np.corrcoef(channel.flatten(), own.flatten())[0, 1] for own in clip]
            assert max(abs(fit) for fit in fits) > 0.9999


def test_draws_are_those_of_the_generator() -> None:
    clips = torch.randn(3, 3, 4, 5, 5)
    twice = [add_stills(clips, 0.5, np.random.default_rng(7)) for _ in range(2)]
    assert torch.equal(*twice)
    assert not torch.equal(twice[0], add_stills(clips, 0.5, np.random.default_rng(8)))
    colours = [colour_jitter(clips[0], 0.5, np.random.default_rng(seed)) for seed in (7, 7, 8)]
    assert torch.equal(colours[0], colours[1])
    assert not torch.equal(colours[0], colours[2])
