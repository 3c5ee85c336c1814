"""The live display on a terminal: a bar, the newest figures and the time left for every piece of work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from weckd_edge.progress import Progress, Task


class _LiveTask:
    def __init__(self, progress: RichProgress, task_id: TaskID) -> None:
        self._progress, self._id = progress, task_id

    def advance(self, steps: int = 1, **figures: float) -> None:
        shown = "  ".join(f"{key} {value:.3f}" for key, value in figures.items())
        self._progress.update(self._id, advance=steps, **({"figures": shown} if shown else {}))


class _LiveProgress:
    def __init__(self, progress: RichProgress) -> None:
        self._progress = progress

    @contextmanager
    def task(self, name: str, total: int, done: int = 0) -> Iterator[Task]:
        task_id = self._progress.add_task(name, total=total, completed=done, figures="")
        try:
            yield _LiveTask(self._progress, task_id)
        finally:
            self._progress.stop_task(task_id)

    def note(self, text: str) -> None:
        self._progress.console.print(text, highlight=False, markup=False)


@contextmanager
def live_progress() -> Iterator[Progress]:
    """Show progress on stderr while the block runs."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}", style="dim"),
    )
    with RichProgress(*columns, console=Console(stderr=True), refresh_per_second=5) as progress:
        yield _LiveProgress(progress)
