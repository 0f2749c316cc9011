"""What bounds a test is the slower of decoding and the network."""

from __future__ import annotations

import time

import pytest

from vov3d.bound import Bound, Clock


@pytest.mark.parametrize(
    ("decoding", "computing", "stage", "said"),
    [
        (0.0, 0.02, "model", "bounded by the model: decoding took 0% of the time, the model waited"),
        (9.0, 0.0, "decoding", "bounded by decoding: decoding took"),
    ],
)
def test_the_slower_stage_bounds(decoding: float, computing: float, stage: str, said: str) -> None:
    clock = Clock(decoders=2)
    for _ in clock.over(range(3)):
        clock.decoding_seconds += decoding
        time.sleep(computing)
    found = clock.bound()
    assert (found.stage, found.decoders, found.decoding_seconds) == (stage, 2, 3 * decoding)
    assert found.model_seconds >= 3 * computing
    assert str(found).startswith(said)


def test_waiting_is_the_time_until_an_item_comes() -> None:
    clock = Clock(decoders=0)
    for _ in clock.over(time.sleep(0.02) for _ in range(3)):
        pass
    assert clock.decoders == 1
    assert 0.06 <= clock.waiting_seconds < 3 and clock.model_seconds < 0.06


def test_shares_are_of_the_time_of_one_decoder() -> None:
    found = Bound("model", decoding_seconds=4.0, waiting_seconds=1.0, model_seconds=9.0, decoders=2)
    assert str(found) == "bounded by the model: decoding took 20% of the time, the model waited 10%"
