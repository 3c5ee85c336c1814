"""Budget of bytes or pixels that threads share: together they hold no more at one time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Budget:
    """A number of units that threads take and give back; a thread that finds too few waits, first come, first served.

    Args:
        units: Number of units, such as bytes. A thread that asks for more takes all of them.
    """

    def __init__(self, units: int) -> None:
        self._units = self._free = units
        self._changed = threading.Condition()
        self._queue = threading.Lock()  # without it, small ones pass a large one that waits for ever

    def acquire(self, units: int, *, wait_s: float | None = None) -> bool:
        """Take units; return False where they were not free within ``wait_s`` seconds (None: wait for ever)."""
        units = min(units, self._units)
        until = None if wait_s is None else time.monotonic() + wait_s
        if not self._queue.acquire(timeout=-1 if wait_s is None else wait_s):
            return False
        try:
            with self._changed:
                left = None if until is None else max(0.0, until - time.monotonic())
                if not self._changed.wait_for(lambda: self._free >= units, left):
                    return False
                self._free -= units
                return True
        finally:
            self._queue.release()

    def release(self, units: int) -> None:
        """Give back as many units as were asked for."""
        with self._changed:
            self._free += min(units, self._units)
            self._changed.notify_all()

    @contextmanager
    def reserved(self, units: int) -> Iterator[None]:
        """Hold units for a block of code, once they are free."""
        self.acquire(units)
        try:
            yield
        finally:
            self.release(units)
