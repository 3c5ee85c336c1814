"""Thread that reads something again and again while queries are timed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")


class Poller(Generic[T]):
    """Calls ``read`` at once and then every ``period_s`` until it is left; use it as a context.

    The thread sleeps on an event between two reads. A read that raises ends the watch: ``failure`` holds the error, and the
    readings before it stay.
    """

    def __init__(self, read: Callable[[], T], period_s: float) -> None:
        self.readings: list[T] = []
        self.failure: Exception | None = None
        self._read, self._period_s = read, period_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="weckd-watch", daemon=True)

    def __enter__(self) -> Poller[T]:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    def _loop(self) -> None:
        due = time.monotonic()
        while True:
            try:
                self.readings.append(self._read())
            except Exception as err:
                self.failure = err
                return
            due = max(due + self._period_s, time.monotonic())
            if self._ended.wait(due - time.monotonic()):
                return
