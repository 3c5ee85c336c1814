"""The live display on a terminal: for each task how far it is, its newest figures and the time left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from weckd_edge.cli.console.text import one_line
from weckd_edge.core.progress import Progress, ProgressTask


class _LiveTask:
    def __init__(self, progress: RichProgress, task_id: TaskID) -> None:
        self._progress, self._id = progress, task_id

    def advance(self, steps: int = 1, **values: float) -> None:
        shown = "  ".join(f"{key} {value:.3f}" for key, value in values.items())
        if shown:
            self._progress.update(self._id, figures=shown)
        self._progress.advance(self._id, steps)

    def end_after(self, total: int) -> None:
        self._progress.update(self._id, total=total)


class _LiveProgress:
    def __init__(self, progress: RichProgress) -> None:
        self._progress = progress

    @contextmanager
    def task(self, name: str, total: int | None, done: int = 0) -> Iterator[ProgressTask]:
        task_id = self._progress.add_task(one_line(name), total=total, completed=done, figures="")
        try:
            yield _LiveTask(self._progress, task_id)
        finally:
            self._progress.stop_task(task_id)

    def note(self, text: str) -> None:
        self._progress.console.print(one_line(text), highlight=False, markup=False, emoji=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        self.note(f"warning: {text}")


@contextmanager
def live_progress() -> Iterator[Progress]:
    """Show progress on stderr while the block runs."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}", style="dim", markup=False),
    )
    with RichProgress(*columns, console=Console(stderr=True), refresh_per_second=5) as progress:
        yield _LiveProgress(progress)
