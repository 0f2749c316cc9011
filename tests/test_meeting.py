"""Processes find each other, and not those of an earlier meeting in the same store."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest
import torch.distributed as dist

from vov3d import meeting
from vov3d.errors import TrainingError


@pytest.fixture
def store() -> dist.Store:
    """A store as several processes share it."""
    return dist.HashStore()


def met(store: dist.Store, first: bool = True) -> list[str | Exception]:
    """The names under which three processes meet; without the first, two wait for it."""
    names: list[str | Exception] = []

    def come(rank: int) -> None:
        try:
            names.append(meeting._invite(store, 3) if rank == 0 else meeting._follow(store, rank))
        except TrainingError as error:
            names.append(error)

    threads = [threading.Thread(target=come, args=(rank,)) for rank in ((2, 0, 1) if first else (2, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return names


def test_those_who_come_again_meet_anew(store: dist.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meeting, "ANSWER_SECONDS", 0.1)
    first, second = met(store), met(store)
    assert len(set(first)) == len(set(second)) == 1
    assert first[0] != second[0]


def test_who_comes_before_the_first_does_not_take_the_dead_for_it(
    store: dist.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.set_timeout(timedelta(seconds=1))
    monkeypatch.setattr(meeting, "ANSWER_SECONDS", 0.1)
    monkeypatch.setattr(meeting, "PATIENCE_SECONDS", 0.5)
    met(store)
    late = met(store, first=False)
    assert [str(one) for one in late] == ["the first process did not come within 0 s"] * 2
    assert all(isinstance(one, TrainingError) for one in late)


def test_who_comes_before_the_first_waits_for_it(store: dist.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where the dead left an answer to somebody of the same rank."""
    monkeypatch.setattr(meeting, "ANSWER_SECONDS", 0.1)
    met(store)
    found: list[str] = []
    others = [threading.Thread(target=lambda rank=rank: found.append(meeting._follow(store, rank))) for rank in (1, 2)]
    for other in others:
        other.start()
    time.sleep(1)
    assert found == []
    assert all(other.is_alive() for other in others)
    name = meeting._invite(store, 3)
    for other in others:
        other.join()
    assert found == [name] * 2


def test_what_the_first_process_says_need_not_be_said_again(monkeypatch: pytest.MonkeyPatch) -> None:
    server = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    monkeypatch.setattr(meeting, "LAST_WORDS_SECONDS", 0.3)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(server.port))
    monkeypatch.setenv("RANK", "1")
    assert not meeting.first_ends_with("no such data")  # there is no torchrun
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    assert not meeting.first_ends_with("no such data")  # the first goes on
    monkeypatch.setenv("RANK", "0")
    assert not meeting.first_ends_with("no such data")
    monkeypatch.setenv("RANK", "1")
    assert meeting.first_ends_with("no such data")
    assert not meeting.first_ends_with("device 'cuda:1' is not to be had here")
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert not meeting.first_ends_with("no such data")  # that was another start
