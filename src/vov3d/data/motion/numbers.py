"""Random numbers without a generator: each is a hash of a clip's seed, a name and a place.

Whole numbers alone are computed until the last step, so that every device draws the same; and a clip draws the same
whichever batch it is in.
"""

from __future__ import annotations

import zlib

import torch
from torch import Tensor

_WORD = 0xFFFFFFFF
_GOLDEN = 0x9E3779B9  # 2**32 over the golden ratio, odd: multiples of it are spread evenly


class Numbers:
    """The random numbers of a batch of clips.

    Args:
        seeds: whole numbers from 0, int64 [N].
        stream: numbers of different streams are independent.
    """

    def __init__(self, seeds: Tensor, stream: str) -> None:
        salt = zlib.crc32(stream.encode())
        low = _mixed((seeds & _WORD) ^ salt)
        self._keys = low, _mixed((seeds >> 32 & _WORD) ^ _mixed(low ^ _GOLDEN))  # no two seeds have the same pair

    def __call__(self, name: str, count: int) -> Tensor:
        """Numbers that are uniform from 0 to 1, 1 excluded: float32 [N, count].

        Args:
            name: numbers of different names are independent.
            count: how many; the first ones do not depend on it.
        """
        first, second = (key[:, None] for key in self._keys)
        places = torch.arange(count, device=first.device) * _GOLDEN + zlib.crc32(name.encode()) & _WORD
        words = _mixed(_mixed(_mixed(places) ^ first) ^ second)
        return (words >> 8).float() * 2.0**-24


def between(numbers: Tensor, low: float, high: float) -> Tensor:
    """Uniform numbers from 0 to 1 as uniform numbers from low to high."""
    return low + (high - low) * numbers


def whole(numbers: Tensor, low: int, high: int) -> Tensor:
    """Uniform numbers from 0 to 1 as whole numbers from low to high, high excluded, int64."""
    return low + (numbers * (high - low)).long()


def _mixed(words: Tensor) -> Tensor:
    """A bijection of words of 32 bits, held in int64, after which every bit depends on every bit.

    Source: the last step of Appleby's MurmurHash3 (32 bits).
    """
    words = (words ^ words >> 16) * 0x85EBCA6B & _WORD
    words = (words ^ words >> 13) * 0xC2B2AE35 & _WORD
    return words ^ words >> 16
