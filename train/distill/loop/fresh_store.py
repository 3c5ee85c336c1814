"""A store of this start's own, through which processes that ``torchrun`` has started find each other.

``torchrun`` keeps one store for all starts of its processes. What those that were killed have written there, such as the
addresses at which they listened, is read again by the next ones, whose connections then fail: seen with torch 2.14 and gloo,
and reported in https://github.com/pytorch/pytorch/issues/135712. So the first process gives every start a name, under which
nothing is written yet.
"""

from __future__ import annotations

import time
from datetime import timedelta
from uuid import uuid4

from torch.distributed import PrefixStore, Store, TCPStore  # type: ignore[attr-defined]  # torch leaves them out of __all__

from weckd_edge.core.errors import ConfigError

WAIT_S = 600.0
"""Time in which all processes of a start have to ask for its name, seconds."""


def fresh_store(address: str, port: int, rank: int, world_size: int) -> Store:
    """Return a store in which no earlier start of these processes has written anything.

    Args:
        address: Name or address of the machine that holds torchrun's store.
        port: Port of that store.
        rank: Number of this process, from 0.
        world_size: Number of all processes.

    Raises:
        ConfigError: The processes do not find each other.
    """
    try:
        store = TCPStore(address, port, is_master=False, timeout=timedelta(seconds=WAIT_S))
        name = _give_name(store, world_size) if rank == 0 else _ask_for_name(store, rank)
    except RuntimeError as err:  # of torch's sockets
        raise _not_found(f"at {address}:{port}") from err
    return PrefixStore(name, store)


def _give_name(store: Store, world_size: int) -> str:
    """Answer the processes that ask, also ones that are gone, until all of this start have taken the name."""
    name, end = uuid4().hex, time.monotonic() + WAIT_S
    missing = set(range(1, world_size))
    while missing:
        for rank in sorted(missing):
            if store.check([f"weckd-edge {rank} asks"]):
                store.set(f"weckd-edge name for {store.get(f'weckd-edge {rank} asks').decode()}", name)
            if store.check([f"weckd-edge {rank} took {name}"]):
                missing.remove(rank)
        if time.monotonic() > end:
            raise _not_found(f"process {', '.join(map(str, sorted(missing)))} is missing")
        time.sleep(0.02)
    return name


def _ask_for_name(store: Store, rank: int) -> str:
    asks = uuid4().hex
    store.set(f"weckd-edge {rank} asks", asks)
    name = store.get(f"weckd-edge name for {asks}").decode()
    store.set(f"weckd-edge {rank} took {name}", "1")
    return name


def _not_found(what: str) -> ConfigError:
    return ConfigError(
        f"the processes that train together do not find each other ({what}); see whether every machine was started with "
        "the same command and reaches the others",
        code="E_CONFIG_DISTRIBUTED",
    )
