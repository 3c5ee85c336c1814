"""The processes that trained along wait until the first one has ended, which goes on alone after the training.

``torchrun`` on a machine ends five minutes after its last process; where it held the rendezvous, the first process would be
ended too. A machine that waits can also take part again where the first process fails and is started once more.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

from torch import distributed

from weckd_edge.core.errors import StoreError

BEAT_S = 5.0
SILENCE_S = 120.0
"""Time without a sign of the first process after which it counts as dead, seconds."""
BEATS, ENDED = "weckd-edge beats", "weckd-edge ended"


@contextlib.contextmanager
def others_wait() -> Iterator[None]:
    """Let the other processes wait in ``wait_for_first`` until the block ends; without others, do nothing."""
    store = _store()
    if store is None:
        yield
        return
    ended = threading.Event()
    thread = threading.Thread(target=_beat, args=(store, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _beat(store: Any, ended: threading.Event) -> None:
    """Tell the others again and again that this process is at work, and in the end that it is done."""
    with contextlib.suppress(RuntimeError):  # the machine that holds the store has gone: nobody waits
        while not ended.wait(BEAT_S):
            store.add(BEATS, 1)
        store.add(ENDED, 1)


def wait_for_first() -> None:
    """Wait until the first process has left ``others_wait``.

    Raises:
        StoreError: The first process gives no sign any more.
    """
    store = _store()
    beats, heard = 0, time.monotonic()
    while store is not None and not store.add(ENDED, 0):
        time.sleep(min(BEAT_S, 1.0))
        if (now := store.add(BEATS, 0)) != beats:
            beats, heard = now, time.monotonic()
        elif time.monotonic() - heard > SILENCE_S:
            raise StoreError(
                f"the first process has given no sign for {SILENCE_S:.0f} seconds; see what it printed, and run the same "
                "command again on every machine",
                code="E_STORE_PROCESS_LOST",
            )


def _store() -> Any:
    """Return the store through which the processes found each other; None where one process trains alone."""
    if not distributed.is_initialized() or distributed.get_world_size() == 1:
        return None
    from torch.distributed.distributed_c10d import _get_default_store

    return _get_default_store()
