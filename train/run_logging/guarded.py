"""A logger that fails is given up with one warning: it never stops or changes a training."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from weckd_edge.core.errors import first_line
from weckd_edge.train.run_logging.base import NO_CURVES, NO_RUN_LOGGER, Curves, RunLogger, Values

OUTSIDE_KEYS = "shows curves; no result depends on it"

logger = logging.getLogger(__name__)
T = TypeVar("T")


class _Guard:
    """Runs what a logger does, until it fails once."""

    def __init__(self, tool: str) -> None:
        self.tool = tool
        self.failed = False

    def run(self, action: Callable[[], T], otherwise: T) -> T:
        """Return what an action returns; once one has failed, ``otherwise``, without another try."""
        if self.failed:
            return otherwise
        try:
            return action()
        except Exception as err:  # a full disk, a server that is away, and whatever else a library raises
            self.failed = True
            logger.warning(
                "%s cannot be written (%s); nothing more of this run is logged, and the run goes on",
                self.tool,
                first_line(err),
            )
            logger.debug("why %s cannot be written", self.tool, exc_info=True)
            return otherwise


class GuardedCurves:
    """Curves of one link that are given up where they cannot be written."""

    def __init__(self, curves: Curves, guard: _Guard) -> None:
        self._curves, self._guard = curves, guard

    def start(self, step: int) -> None:
        self._guard.run(lambda: self._curves.start(step), None)

    def add(self, step: int, values: Values) -> None:
        self._guard.run(lambda: self._curves.add(step, values), None)

    def save(self) -> None:
        self._guard.run(self._curves.save, None)

    def end(self) -> None:
        self._guard.run(self._curves.end, None)


class GuardedLogger:
    """A logger that is given up where it cannot write.

    Args:
        tool: Name of the tool in the warning.
        opened: Opens the logger; where that fails, nothing is logged.
    """

    def __init__(self, tool: str, opened: Callable[[], RunLogger]) -> None:
        self._guard = _Guard(tool)
        self._run = self._guard.run(opened, NO_RUN_LOGGER)

    def link(self, name: str, settings: Mapping[str, str], scratch: Path) -> Curves:
        curves = self._guard.run(lambda: self._run.link(name, settings, scratch), NO_CURVES)
        return GuardedCurves(curves, self._guard)

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        self._guard.run(lambda: self._run.table(name, columns, rows), None)

    def folder(self, path: Path) -> None:
        self._guard.run(lambda: self._run.folder(path), None)

    def close(self, *, failed: bool) -> None:
        self._guard.run(lambda: self._run.close(failed=failed), None)
