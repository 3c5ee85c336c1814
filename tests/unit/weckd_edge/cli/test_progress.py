"""Progress, plain or live, shows what it is given, and the time left."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console

from weckd_edge.cli.console import live_progress as live_progress_module
from weckd_edge.cli.console.live_progress import live_progress
from weckd_edge.cli.console.output import PlainProgress, QuietProgress, make_progress
from weckd_edge.core.errors import (
    DataError,
)
from weckd_edge.core.progress import SilentProgress


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def seconds(self) -> float:
        return self.now_s

    def monotonic_ns(self) -> int:
        return int(self.now_s * 1e9)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("weckd_edge.cli.console.output.time", clock)
    return clock


def test_plain_progress_tells_steps_figures_and_the_time_left(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    progress = PlainProgress()
    with progress.task("[red]train\x1b", 10) as task:
        for now_s in (4.0, 9.0, 12.0, 20.0, 24.0):
            clock.now_s = now_s
            task.advance(loss=0.25)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "[red]train\\x1b: 10 steps",
        "[red]train\\x1b: 3/10, loss 0.250, about 28 s left",
        "[red]train\\x1b: 5/10, loss 0.250, about 24 s left",
        "[red]train\\x1b: done in 24.0 s",
    ]


def test_plain_progress_does_not_count_steps_of_an_earlier_run_as_speed(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with PlainProgress().task("train", 100, done=90) as task:
        clock.now_s = 20.0
        task.advance(2)
    PlainProgress().note("a\nb")
    assert capsys.readouterr().err.splitlines() == [
        "train: 100 steps, 90 done before",
        "train: 92/100, about 80 s left",
        "train: done in 20.0 s",
        "a\\nb",
    ]


def test_plain_progress_does_not_call_a_failed_task_done(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError), PlainProgress().task("train", 10):
        raise DataError("x", code="E_DATA_SOURCE")
    assert capsys.readouterr().err == "train: 10 steps\n"


def test_live_progress_shows_names_as_they_are_and_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, screen = Clock(), io.StringIO()

    def console(*, stderr: bool) -> Console:
        assert stderr
        return Console(
            file=screen,
            force_terminal=True,
            color_system=None,
            width=120,
            get_time=clock.seconds,
            _environ={"TERM": "xterm"},
        )

    monkeypatch.setattr(live_progress_module, "Console", console)
    with live_progress() as progress, progress.task("[red]x\x07", 10, done=2) as task:
        for now_s in (2.0, 4.0, 6.0):
            clock.now_s = now_s
            task.advance(loss=0.5)
        progress.note("[bold]note[/bold] :ear: " + "long" * 40)
    text = screen.getvalue()
    last = [line for line in text.splitlines() if "5/10" in line][-1]
    assert "[red]x\\x07" in last
    assert "0:00:06" in last  # has passed
    assert "0:00:10" in last  # is left: 5 steps of 2 s
    assert "loss 0.500" in last
    assert "[bold]note[/bold] :ear: " + "long" * 40 in text


def test_live_progress_survives_figures_with_brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(
        live_progress_module,
        "Console",
        lambda stderr: Console(file=screen, force_terminal=True, color_system=None, width=120),
    )
    with live_progress() as progress, progress.task("x", 2) as task:
        task.advance(**{"[/]": 1.0})
    assert "[/] 1.000" in screen.getvalue()


def test_progress_is_silent_plain_or_live(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with make_progress(True) as quiet:
        assert isinstance(quiet, QuietProgress)
    with make_progress(False) as plain:
        assert isinstance(plain, PlainProgress)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with make_progress(False) as live:
        assert not isinstance(live, (SilentProgress, PlainProgress))
    with make_progress(True) as quiet:
        assert isinstance(quiet, QuietProgress)


def test_quiet_hides_progress_and_notes_and_never_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    with make_progress(True) as quiet, quiet.task("train", 2) as task:
        task.advance(loss=0.5)
        quiet.note("links: a > b")
        quiet.warn("the network guesses")
    assert capsys.readouterr() == ("", "warning: the network guesses\n")
