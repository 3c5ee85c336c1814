"""Printing: results on stdout; messages and progress on stderr."""

from __future__ import annotations

import shutil
import sys
import textwrap
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TextIO

import click

from weckd_edge.cli.console.failing import Failure
from weckd_edge.cli.console.text import one_line
from weckd_edge.core.progress import Progress, ProgressTask, SilentProgress
from weckd_edge.core.serialization import to_json

_NO_TERMINAL_WIDTH = 100_000
"""Width of a table that goes to a file or a pipe, characters: more than any row needs, so that no cell is broken."""

HELP = {"help_option_names": ["-h", "--help"]}
"""Context settings of every command: both names of the option that prints its help."""


class Stdout:
    """The JSON document of a run on stdout: one at most, a result or an error.

    Args:
        wants_json: Whether ``--json`` was asked for.
    """

    def __init__(self, *, wants_json: bool) -> None:
        self._wants_json = wants_json
        self._has_json = False

    def print_json(self, value: object) -> None:
        """Print a JSON document; the bytes of a file name that is not UTF-8 become escapes that Python reads back."""
        self._has_json = True
        click.echo(to_json(value).encode("utf-8", "backslashreplace"), nl=False)

    def print_failure(self, failure: Failure) -> None:
        """Print code and message of an error, where JSON was asked for and no result was printed."""
        if self._wants_json and not self._has_json:
            self.print_json({"error": failure._asdict()})


def print_json(value: object) -> None:
    """Print the result of a command as one JSON document on stdout."""
    context = click.get_current_context(silent=True)
    stdout = None if context is None else context.find_object(Stdout)
    (stdout or Stdout(wants_json=True)).print_json(value)


def print_message(text: str) -> None:
    """Print a message on stderr as one line, broken between words at the width of a terminal."""
    click.echo(break_line(one_line(text), sys.stderr), err=True)


def print_lines(lines: Iterable[str]) -> None:
    """Print lines of a program on stderr, none of them broken, so that they can be copied."""
    for line in lines:
        click.echo(one_line(line), err=True)


def break_line(text: str, stream: TextIO) -> str:
    """Return a line broken between words at the width of a terminal; unchanged where the stream is not a terminal.

    A word that is longer than a line, such as a path, stays whole, so that it can be copied.
    """
    if not stream.isatty():
        return text
    width = shutil.get_terminal_size().columns
    return textwrap.fill(text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False) or text


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> None:
    """Print a table on stdout: at most as wide as a terminal, and as wide as its rows where stdout is not one."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # Names of files come in here: as Text, nothing in them is taken for markup.
    console = Console() if sys.stdout.isatty() else Console(width=_NO_TERMINAL_WIDTH)
    cells = [["-" if cell is None else one_line(str(cell)) for cell in row] for row in rows]
    texts = [[column, *(row[n] for row in cells)] for n, column in enumerate(columns)]
    table = Table(header_style="bold")
    for column, width in zip(columns, fit_widths(texts, console.width - 3 * len(columns) - 1), strict=True):
        table.add_column(Text(column), overflow="fold", width=width)  # nothing of a long word is left out
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    with console.capture() as capture:
        if title is not None:  # not as the table's own title, which would be broken at the width of a narrow table
            console.print(Text(one_line(title), style="table.title"))
        console.print(table)
    click.echo(capture.get(), nl=False)


def fit_widths(columns: Sequence[Sequence[str]], space: int) -> list[int]:
    """Return the width of each column of a table, characters, so that all fit side by side.

    The widest column gives way first, but none below its longest word while another can. Words are broken only where the
    longest ones do not fit side by side.

    Args:
        columns: Texts of each column, its head among them; no column is empty.
        space: Characters that all columns share, without the lines between them.
    """
    from rich.cells import cell_len

    widths = [max(cell_len(text) for text in texts) for texts in columns]
    minimum = [max(cell_len(word) for text in texts for word in text.split(" ")) for texts in columns]
    while sum(widths) > space and max(widths) > 1:
        loose = [n for n, width in enumerate(widths) if width > minimum[n]]
        widest = max(loose or range(len(widths)), key=lambda n: widths[n])
        widths[widest] -= 1
    return widths


def make_progress(quiet: bool) -> AbstractContextManager[Progress]:
    """Return the progress display on stderr: only warnings when quiet, a live one on a terminal, plain lines elsewhere."""
    if quiet:
        return nullcontext(QuietProgress())
    if sys.stderr.isatty():
        from weckd_edge.cli.console.live_progress import live_progress

        return live_progress()
    return nullcontext(PlainProgress())


class QuietProgress(SilentProgress):
    """No progress, but every warning."""

    def warn(self, text: str) -> None:
        print_message(f"warning: {text}")


class PlainProgress:
    """Progress as plain lines: one when a task starts, one when it ends, and one every ten seconds between."""

    @contextmanager
    def task(self, name: str, total: int | None, done: int = 0) -> Iterator[ProgressTask]:
        resumed = f", {done} done before" if done else ""
        print_message(f"{name}: begun" if total is None else f"{name}: {total} steps{resumed}")
        task = _PlainTask(name, total, done)
        yield task
        print_message(f"{name}: done in {(time.monotonic_ns() - task.start_ns) / 1e9:.1f} s")

    def note(self, text: str) -> None:
        print_message(text)

    def warn(self, text: str) -> None:
        print_message(f"warning: {text}")


class _PlainTask:
    def __init__(self, name: str, total: int | None, done: int) -> None:
        self.name, self.total, self.done = name, total, done
        self.first = done
        self.start_ns = self.printed_ns = time.monotonic_ns()

    def advance(self, steps: int = 1, **values: float) -> None:
        self.done += steps
        now_ns = time.monotonic_ns()
        if (self.total is not None and self.done >= self.total) or now_ns - self.printed_ns < 10e9:
            return
        self.printed_ns = now_ns
        shown = "".join(f", {key} {value:.3f}" for key, value in values.items())
        if self.total is None:
            print_message(f"{self.name}: {self.done}{shown}")
            return
        left_s = (now_ns - self.start_ns) / 1e9 / max(self.done - self.first, 1) * (self.total - self.done)
        print_message(f"{self.name}: {self.done}/{self.total}{shown}, about {left_s:.0f} s left")

    def end_after(self, total: int) -> None:
        self.total = total
