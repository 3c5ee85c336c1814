"""Protocols of logging: what a training, a study and a build hand to a tool, and the logger that keeps nothing.

No result depends on a logger: its settings are no part of any key, and a training with one has the same weights to the byte.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

OUTSIDE_KEYS = "shows curves; no result depends on it"

Values = Mapping[str, float]
"""One point of each of some curves, by their names."""


class Curves(Protocol):
    """Curves of one link over its gradient steps, counted from 1."""

    def start(self, step: int) -> None:
        """Begin after ``step`` steps; points of later steps that an interrupted run has logged are not logged twice."""

    def add(self, step: int, values: Values) -> None:
        """Add the points of a step."""

    def save(self) -> None:
        """Write the points that were added; the training calls this before each checkpoint."""

    def end(self) -> None:
        """Write the points that were added, and close the curves of a link that is trained."""


class RunLogger(Protocol):
    """Keeper of one run: a build, or a study."""

    def link(self, name: str, settings: Mapping[str, str], scratch: Path) -> Curves:
        """Open the curves of one link.

        Args:
            name: Name of the link, such as ``M1``; parts of a study stand before it with a slash.
            settings: Settings of its training, by their names.
            scratch: Folder that survives until the link is trained, to find its curves again after an interruption.
        """

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Keep a table."""

    def folder(self, path: Path) -> None:
        """Keep a sealed bundle: its files where the tool can hold files, else its manifest and where it lies."""

    def close(self, *, failed: bool) -> None:
        """End the run; nothing can be logged after that."""


class NoCurves:
    """Curves that are not kept."""

    def start(self, step: int) -> None:
        return None

    def add(self, step: int, values: Values) -> None:
        return None

    def save(self) -> None:
        return None

    def end(self) -> None:
        return None


class NoRunLogger:
    """Logger that keeps nothing, which libraries default to."""

    def link(self, name: str, settings: Mapping[str, str], scratch: Path) -> Curves:
        return NO_CURVES

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        return None

    def folder(self, path: Path) -> None:
        return None

    def close(self, *, failed: bool) -> None:
        return None


NO_CURVES: Curves = NoCurves()
NO_RUN_LOGGER: RunLogger = NoRunLogger()


@dataclass(frozen=True, slots=True)
class PartOfRun:
    """A part of a run, such as one seed of a study: its links are named after it."""

    run: RunLogger
    part: str

    def link(self, name: str, settings: Mapping[str, str], scratch: Path) -> Curves:
        return self.run.link(f"{self.part}/{name}", settings, scratch)

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        self.run.table(name, columns, rows)

    def folder(self, path: Path) -> None:
        self.run.folder(path)

    def close(self, *, failed: bool) -> None:
        self.run.close(failed=failed)
