"""Progress of long work: a protocol, and an implementation that shows nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

OUTSIDE_KEYS = "shows progress"


class ProgressTask(Protocol):
    """One piece of work in progress."""

    def advance(self, steps: int = 1, **values: float) -> None:
        """Report that ``steps`` more steps are done; ``values`` (loss, accuracy) are shown with it."""

    def end_after(self, total: int) -> None:
        """Say that the work ends after ``total`` steps in all, fewer than it was opened with."""


class Progress(Protocol):
    """Display of progress; the command line chooses between a live display, plain lines and nothing."""

    def task(self, name: str, total: int | None, done: int = 0) -> AbstractContextManager[ProgressTask]:
        """Begin a piece of work of ``total`` steps (None: nobody knows), of which an earlier run finished ``done``."""

    def note(self, text: str) -> None:
        """Show one line that stays on the screen."""

    def warn(self, text: str) -> None:
        """Say one line that nobody must miss: something may be wrong; it is shown also where progress is not."""


class _SilentTask:
    def advance(self, steps: int = 1, **values: float) -> None:
        return None

    def end_after(self, total: int) -> None:
        return None


class SilentProgress:
    """Progress that shows nothing."""

    @contextmanager
    def task(self, name: str, total: int | None, done: int = 0) -> Iterator[ProgressTask]:
        yield _SilentTask()

    def note(self, text: str) -> None:
        return None

    def warn(self, text: str) -> None:
        return None
