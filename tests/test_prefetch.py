"""Results made ahead: in order, in turn, bounded, and left behind without waiting."""

from __future__ import annotations

import threading
import time

import pytest

from vov3d.prefetch import made_ahead


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("count", [0, 1, 2, 20])
def test_results_come_in_order_whichever_is_made_first(threads: int, count: int) -> None:
    def make(number: int) -> int:
        time.sleep(0.002 * (number % 3))
        return number * number

    assert list(made_ahead(make, count, threads=threads)) == [number * number for number in range(count)]


def test_the_next_is_made_while_one_is_used() -> None:
    begun = [threading.Event() for _ in range(3)]

    def make(number: int) -> int:
        begun[number].set()
        return number

    for number in made_ahead(make, 3):
        assert all(event.wait(5) for event in begun[: number + 2])


def test_no_more_than_two_a_thread_wait_to_be_used() -> None:
    made: list[int] = []
    results = made_ahead(lambda number: made.append(number) or number, 100, threads=2)
    assert next(results) == 0
    time.sleep(0.1)
    assert len(made) <= 5
    results.close()


def test_an_error_is_raised_in_its_turn() -> None:
    def make(number: int) -> int:
        if number == 2:
            raise ValueError("two")
        return number

    results = made_ahead(make, 5, threads=2)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(results)


def test_a_loop_that_is_left_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    results = made_ahead(lambda number: time.sleep(0.1) or number, 9, threads=2)
    assert next(results) == 0
    results.close()
    assert threading.active_count() == before


def test_a_loop_that_is_left_does_not_wait_long_for_what_is_stuck() -> None:
    held, began = threading.Event(), time.perf_counter()
    results = made_ahead(lambda number: number if number == 0 else held.wait(30), 3)
    assert next(results) == 0
    results.close()
    assert time.perf_counter() - began < 5
    held.set()
