"""How the processes of a run find each other, also where others of the same run met before and died.

`torchrun` may hand restarted processes the store that the dead ones used, with the addresses of the dead still in it
(torch 2.13: a restarted process then calls a port where nobody listens). So the first process draws a name for this
meeting, each of the others answers to it, and it answers each of them; an answer from an earlier meeting is known by
its words.
"""

from __future__ import annotations

import os
import secrets
import time
from datetime import timedelta
from typing import Protocol

import torch.distributed as dist

from vov3d.errors import TrainingError

PATIENCE_SECONDS = 600.0
ANSWER_SECONDS, POLL_SECONDS = 1.0, 0.02
LAST_WORDS_SECONDS = 5.0  # torchrun gives those that are to end 30


class Store(Protocol):
    """What is used of a store of `torch.distributed`."""

    def set(self, key: str, value: str, /) -> object:
        """Write."""

    def get(self, key: str, /) -> bytes:
        """Read; waits for it."""

    def check(self, keys: list[str], /) -> bool:
        """Whether all of these are there."""


def meet(backend: str) -> None:
    """Join the processes that the environment speaks of, as ``torchrun`` sets it.

    Args:
        backend: ``"gloo"`` or ``"nccl"``.

    Raises:
        TrainingError: if they do not come together.
    """
    try:
        store, rank, world_size = next(dist.rendezvous("env://"))  # type: ignore[attr-defined]
        name = _invite(store, world_size) if rank == 0 else _follow(store, rank)
        own = dist.PrefixStore(name, store)  # type: ignore[attr-defined]
        dist.init_process_group(backend, store=own, rank=rank, world_size=world_size)
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split("\n")[0].split())
        raise TrainingError(f"the processes of this run do not come together: {reason[:200]}") from error


def _invite(store: Store, world_size: int) -> str:
    """Name the meeting and answer all who come."""
    name = secrets.token_hex(8)
    store.set("vov3d/meeting", name)
    for rank in range(1, world_size):
        words = _read(store, f"vov3d/{name}/here/{rank}", PATIENCE_SECONDS)
        if words is None:
            raise TrainingError(f"process {rank} of {world_size} did not come within {PATIENCE_SECONDS:.0f} s")
        store.set(f"vov3d/{name}/welcome/{rank}", words)
    return name


def _follow(store: Store, rank: int) -> str:
    """Answer to the name of a meeting until its host answers back; that of an earlier meeting does not."""
    words = secrets.token_hex(8)
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        name = _read(store, "vov3d/meeting", ANSWER_SECONDS)
        if name is None:
            continue
        store.set(f"vov3d/{name}/here/{rank}", words)
        if _read(store, f"vov3d/{name}/welcome/{rank}", ANSWER_SECONDS) == words:
            return name
        time.sleep(POLL_SECONDS)  # an answer to the dead is there at once, again and again
    raise TrainingError(f"the first process did not come within {PATIENCE_SECONDS:.0f} s")


def first_ends_with(line: str) -> bool:
    """Whether the first process ends with this line too, and so says it for this one.

    The processes need not have met. Where ``torchrun`` did not start them, or the first goes on, the answer is no.
    """
    told = os.environ
    if told.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return False
    try:
        store = dist.TCPStore(  # type: ignore[attr-defined]
            told["MASTER_ADDR"],
            int(told["MASTER_PORT"]),
            is_master=False,
            timeout=timedelta(seconds=LAST_WORDS_SECONDS),
            wait_for_workers=False,
        )
        key = f"vov3d/last words/{told.get('TORCHELASTIC_RUN_ID')}/{told.get('TORCHELASTIC_RESTART_COUNT')}"
        if told["RANK"] == "0":
            store.set(key, line)
            return False
        return _read(store, key, LAST_WORDS_SECONDS) == line
    except (KeyError, RuntimeError, ValueError):  # the store is gone, or never was
        return False


def _read(store: Store, key: str, seconds: float) -> str | None:
    """Return what is written under a key, waiting for it; ``None`` if nothing comes."""
    until = time.monotonic() + seconds
    while not store.check([key]):
        if time.monotonic() > until:
            return None
        time.sleep(POLL_SECONDS)
    return store.get(key).decode()
