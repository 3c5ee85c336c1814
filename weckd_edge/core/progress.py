"""How long work reports its progress: a protocol, and the silent implementation libraries default to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

OUTSIDE_KEYS = "shows what is going on"


class ProgressTask(Protocol):
    """One piece of work that is under way."""

    def advance(self, steps: int = 1, **values: float) -> None:
        """Say that ``steps`` more are done; ``values`` (loss, accuracy) are shown beside the limit."""

    def end_after(self, total: int) -> None:
        """Say that the work ends after ``total`` steps in all, fewer than it was opened with."""


class Progress(Protocol):
    """Where work is shown. The command line decides between a live display, plain lines and nothing."""

    def task(self, name: str, total: int, done: int = 0) -> AbstractContextManager[ProgressTask]:
        """Open a piece of work of ``total`` steps, of which ``done`` were finished in an earlier run."""

    def note(self, text: str) -> None:
        """Say one line that stays on the screen."""

    def warn(self, text: str) -> None:
        """Say one line that nobody must miss: something may be wrong; it is shown also where progress is not."""


class _SilentTask:
    def advance(self, steps: int = 1, **values: float) -> None:
        return None

    def end_after(self, total: int) -> None:
        return None


class SilentProgress:
    """Shows nothing."""

    @contextmanager
    def task(self, name: str, total: int, done: int = 0) -> Iterator[ProgressTask]:
        yield _SilentTask()

    def note(self, text: str) -> None:
        return None

    def warn(self, text: str) -> None:
        return None
