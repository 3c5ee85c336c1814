"""How processes find each other under torchrun, and how they wait for the first one in the end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from torch.distributed import HashStore, TCPStore

from support.errors import raises
from weckd_edge.core.errors import ConfigError, StoreError
from weckd_edge.train.distill.loop import fresh_store, last_wait
from weckd_edge.train.distill.loop.last_wait import others_wait, wait_for_first


@pytest.fixture
def server() -> Iterator[TCPStore]:
    """torchrun's store, which outlives the processes."""
    store = TCPStore("127.0.0.1", 0, is_master=True, timeout=timedelta(seconds=20), wait_for_workers=False)
    yield store
    del store


def test_no_start_reads_what_an_earlier_one_has_written(server: TCPStore) -> None:
    """Also where the earlier one was killed while its processes asked."""
    server.set("weckd-edge 1 asks", "a process that is gone")
    for start in range(2):
        with ThreadPoolExecutor(3) as processes:
            stores = list(processes.map(lambda rank: fresh_store.fresh_store(server.host, server.port, rank, 3), range(3)))
        assert not any(store.check(["address"]) for store in stores), start
        stores[1].set("address", f"of start {start}")
        assert [store.get("address") for store in stores] == [f"of start {start}".encode()] * 3


def test_a_process_that_never_comes_is_named(server: TCPStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fresh_store, "WAIT_S", 0.5)
    with raises(ConfigError, "E_CONFIG_DISTRIBUTED", says="process 1 is missing"):
        fresh_store.fresh_store(server.host, server.port, 0, 2)
    with raises(ConfigError, "E_CONFIG_DISTRIBUTED", says="127.0.0.1"):
        fresh_store.fresh_store(server.host, server.port, 1, 2)


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Any:
    store = HashStore()
    monkeypatch.setattr(last_wait, "_store", lambda: store)
    monkeypatch.setattr(last_wait, "BEAT_S", 0.02)
    return store


@pytest.mark.parametrize("fails", [False, True])
def test_the_others_wait_until_the_first_has_ended_well_or_not(fails: bool, shared: Any) -> None:
    with ThreadPoolExecutor(1) as other:
        try:
            with others_wait():
                waiting = other.submit(wait_for_first)
                time.sleep(0.2)
                assert not waiting.done()
                if fails:
                    raise KeyError
        except KeyError:
            assert fails
        waiting.result(timeout=10)


def test_a_first_process_that_gives_no_sign_is_not_waited_for(shared: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_wait, "SILENCE_S", 0.1)
    with raises(StoreError, "E_STORE_PROCESS_LOST"):
        wait_for_first()


def test_one_process_waits_for_nobody() -> None:
    with others_wait():
        wait_for_first()
