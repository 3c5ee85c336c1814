"""The command line: help, exit codes, data on stdout and talk on stderr, and progress that shows what it is given."""

from __future__ import annotations

import importlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from rich.console import Console

import weckd_edge
from weckd_edge.cli.console import live_progress as live_progress_module
from weckd_edge.cli.console.live_progress import live_progress
from weckd_edge.cli.console.output import PlainProgress, QuietProgress, make_progress, print_json, print_table
from weckd_edge.cli.console.text import one_line
from weckd_edge.cli.main import COMMANDS, Entry, main
from weckd_edge.core.errors import (
    BundleError,
    ConfigError,
    DataError,
    DeviceError,
    MissingDependency,
    ModelError,
    StoreError,
    WeckdError,
)
from weckd_edge.core.progress import SilentProgress

Run = Callable[..., tuple[int, str, str]]

HEAVY = (
    "torch", "torchvision", "timm", "lightning_fabric", "sklearn", "safetensors", "onnx", "onnxruntime", "openvino",
    "tensorrt", "tensorrt_rtx", "matplotlib", "jinja2", "cyclonedx", "model_signing", "numpy", "PIL", "rich",
)  # fmt: skip


def command_of(name: str) -> click.Command:
    command = importlib.import_module(COMMANDS[name].module).command
    assert isinstance(command, click.Command)
    return command


def command_paths() -> Iterator[tuple[str, ...]]:
    for name in COMMANDS:
        yield (name,)
        command = command_of(name)
        if isinstance(command, click.Group):
            yield from ((name, below) for below in command.commands)


PATHS = tuple(command_paths())


def python(*args: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *args]
    return subprocess.run(command, text=True, timeout=60, check=False, **options)  # type: ignore[call-overload, no-any-return]


def squeeze(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_command_shows_its_line_and_its_usage(path: tuple[str, ...], flag: str, run: Run) -> None:
    code, out, err = run(*path, flag)
    command = command_of(path[0])
    if isinstance(command, click.Group) and len(path) == 2:
        command = command.commands[path[1]]
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: weckd-edge {' '.join(path)} ")
    line = (command.help or "").strip().partition("\n")[0]
    assert len(line) > 20
    assert line in squeeze(out)


def test_the_front_page_names_every_command_with_its_line(run: Run) -> None:
    code, out, err = run("--help")
    assert (code, err) == (0, "")
    for name, entry in COMMANDS.items():
        assert f"{name} {entry.help}" in squeeze(out)
        assert command_of(name).name == name


def test_every_option_says_what_it_is_for() -> None:
    silent = []
    for path in PATHS:
        command = command_of(path[0])
        if isinstance(command, click.Group):
            if len(path) == 1:
                continue
            command = command.commands[path[1]]
        silent += [f"{path}: {p.name}" for p in command.params if isinstance(p, click.Option) and not p.help]
    assert silent == []


def test_the_version_is_the_packages(run: Run) -> None:
    assert run("--version") == (0, f"weckd-edge, version {weckd_edge.__version__}\n", "")


def test_an_unknown_command_is_a_usage_error_with_a_guess(run: Run) -> None:
    code, out, err = run("bild", "--data", "x")
    assert (code, out) == (2, "")
    assert "no command 'bild'; did you mean 'build'? Known: bench, build" in err


def test_an_unknown_command_below_a_group_is_a_usage_error(run: Run) -> None:
    code, out, err = run("data", "chek", "x")
    assert (code, out) == (2, "")
    assert "'chek'" in err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("data", "check"), "Missing argument 'PATH'"),
        (("data", "check", "x", "--distance", "17"), "17 is not in the range"),
        (("data", "check", "x", "--dist"), "No such option"),
        (("data", "synth", "--out", "x", "--size", "12"), "--size 12: expected height and width"),
        (("bench", "x", "--queries", "0"), "0 is not in the range"),
        (("predict", "x"), "Missing argument 'IMAGES...'"),
    ],
)
def test_a_wrong_request_exits_2_and_prints_no_data(args: tuple[str, ...], message: str, run: Run) -> None:
    code, out, err = run(*args)
    assert (code, out) == (2, "")
    assert message in err


def test_an_unknown_device_gets_a_guess_in_one_line(run: Run) -> None:
    code, out, err = run("devices", "show", "jetson-orin-nano-8g")
    assert code in (1, 2)
    assert out == ""
    assert err.startswith(
        "error[E_CONFIG_CHOICE]: unknown device 'jetson-orin-nano-8g'; did you mean 'jetson-orin-nano-8gb'? Known: "
    )
    assert err.count("\n") == 1


def test_help_loads_no_library_but_click() -> None:
    asks = [["--help"], ["--version"], *([*path, "--help"] for path in PATHS)]
    code = (
        "import contextlib, io, json, sys\n"
        "from weckd_edge.cli.main import main\n"
        "for args in json.loads(sys.argv[1]):\n"
        "    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "        main(args)\n"
        "print(json.dumps(sorted(sys.modules)))\n"
    )
    done = python("-c", code, json.dumps(asks), capture_output=True)
    assert (done.returncode, done.stderr) == (0, "")
    loaded = set(json.loads(done.stdout))
    assert {"click", "weckd_edge.cli.build"} <= loaded  # the commands did run in there
    assert loaded & set(HEAVY) == set()


def test_the_front_page_loads_no_command() -> None:
    code = "import sys\nfrom weckd_edge.cli.main import main\ntry:\n    main(['--help'])\nfinally:\n    print(*sys.modules)"
    loaded = set(python("-c", code, capture_output=True).stdout.split())
    assert "weckd_edge.cli.main" in loaded
    assert loaded & {entry.module for entry in COMMANDS.values()} == set()


def completed(words: str) -> list[str]:
    """Return what the shell offers at the end of a line."""
    variables = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1), "_WECKD_EDGE_COMPLETE": "bash_complete"}
    done = python("-m", "weckd_edge", capture_output=True, env={**os.environ, **variables})
    assert (done.returncode, done.stderr) == (0, "")
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("weckd-edge b", ["build", "bench"]),
        ("weckd-edge data sy", ["synth"]),
        ("weckd-edge build --ta", ["--target"]),
        ("weckd-edge build --target ", ["cpu", "jetson"]),
        ("weckd-edge bench x --power r", ["rapl"]),
        ("weckd-edge devices show intel-n10", ["intel-n100"]),
        ("weckd-edge build --device intel-n10", ["intel-n100"]),
        ("weckd-edge tune --set train.ep", ["train.epochs="]),
    ],
)
def test_the_shell_completes_commands_options_and_values(words: str, offered: list[str]) -> None:
    assert completed(words) == offered


def test_the_front_page_says_how_the_shell_learns_to_complete(run: Run) -> None:
    _, out, _ = run("--help")
    assert 'eval "$(_WECKD_EDGE_COMPLETE=bash_source weckd-edge)"' in out
    for shell in ("bash", "zsh", "fish"):
        source = python(
            "-m", "weckd_edge", capture_output=True, env={**os.environ, "_WECKD_EDGE_COMPLETE": f"{shell}_source"}
        )
        assert source.returncode == 0, source.stderr
        assert "_WECKD_EDGE_COMPLETE" in source.stdout


@pytest.fixture
def command_that(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put a command called ``try`` into the table, which does what the test says."""

    def put(does: Callable[[], object], *flags: str) -> None:
        command = click.command("try")(lambda **_: does())
        for flag in flags:
            command = click.option(flag, is_flag=True)(command)
        monkeypatch.setitem(sys.modules, "weckd_edge_try", SimpleNamespace(command=command))
        monkeypatch.setitem(COMMANDS, "try", Entry("weckd_edge_try", "Try."))

    return put


def raises(error: BaseException) -> Callable[[], object]:
    def does() -> object:
        raise error

    return does


class FailedGateError(WeckdError):
    exit_code = 3


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (WeckdError("it went wrong", code="E_USAGE"), 1),
        (ConfigError("it went wrong", code="E_CONFIG_VALUE"), 2),
        (DataError("it went wrong", code="E_DATA_SOURCE"), 1),
        (ModelError("it went wrong", code="E_MODEL_GRAPH"), 1),
        (BundleError("it went wrong", code="E_BUNDLE_FORMAT"), 1),
        (DeviceError("it went wrong", code="E_DEVICE_PROFILE"), 1),
        (StoreError("it went wrong", code="E_STORE_UNWRITABLE"), 1),
        (MissingDependency("it went wrong", code="E_MISSING_LIBRARY"), 1),
        (FailedGateError("it went wrong", code="E_USAGE"), 3),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_an_error_becomes_one_line_and_its_exit_code(
    error: WeckdError, code: int, run: Run, command_that: Callable[..., None]
) -> None:
    command_that(raises(error))
    assert run("try") == (code, "", f"error[{error.code}]: it went wrong\n")


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (3, 3)])
def test_what_a_command_returns_is_the_exit_code(
    returned: int | None, code: int, run: Run, command_that: Callable[..., None]
) -> None:
    command_that(lambda: returned)
    assert run("try") == (code, "", "")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()], ids=["ctrl-c", "abort"])
def test_an_interrupt_exits_130_and_says_how_to_go_on(
    error: BaseException, run: Run, command_that: Callable[..., None]
) -> None:
    command_that(raises(error))
    code, out, err = run("try")
    assert (code, out) == (130, "")
    assert err.strip() == "interrupted; run the same command again to resume"


def test_a_defect_is_one_line_that_asks_for_a_report_and_has_an_exit_code_of_its_own(
    command_that: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    command_that(raises(KeyError("gone\nwrong")))
    with pytest.raises(SystemExit) as left:
        main(["try"])
    assert left.value.code == 70
    err = capsys.readouterr().err
    assert err.startswith("error[E_DEFECT]: a defect of weckd-edge in ")
    assert "KeyError: 'gone\\nwrong'" in err
    assert "weckd-edge -v" in err
    assert err.count("\n") == 1


def test_the_tests_of_commands_fail_where_an_error_was_not_foreseen(command_that: Callable[..., None], run: Run) -> None:
    command_that(raises(KeyError("gone wrong")))
    with pytest.raises(KeyError, match="gone wrong"):
        run("try")


def test_with_json_an_error_is_a_document_on_stdout_unless_a_result_is_there(
    run: Run, command_that: Callable[..., None]
) -> None:
    error = DataError("ears: no images", code="E_DATA_NO_IMAGES")

    def prints_and_fails() -> None:
        print_json({"images": 0})
        raise error

    failure = {"error": {"code": "E_DATA_NO_IMAGES", "message": "ears: no images"}}
    line = "error[E_DATA_NO_IMAGES]: ears: no images\n"
    command_that(raises(error), "--json")
    code, out, err = run("try", "--json")
    assert (code, json.loads(out), err) == (1, failure, line)
    command_that(prints_and_fails, "--json")
    code, out, err = run("try", "--json")
    assert (code, json.loads(out), err) == (1, {"images": 0}, line)
    code, out, _ = run("try", "--json", "--no-such-option")
    assert (code, json.loads(out)["error"]["code"]) == (2, "E_USAGE")


def test_an_error_that_quotes_a_strange_name_stays_one_line(run: Run, command_that: Callable[..., None]) -> None:
    command_that(raises(DataError("a\nb\x1b[31m\udcff.png: empty file", code="E_DATA_SOURCE")))
    assert run("try") == (1, "", "error[E_DATA_SOURCE]: a\\nb\\x1b[31m\\udcff.png: empty file\n")


def test_exit_codes_are_given_out_in_main_alone() -> None:
    folder = Path(str(importlib.import_module("weckd_edge.cli").__file__)).parent
    files = {path.name: path.read_text() for path in folder.glob("*.py")}
    assert {name for name, text in files.items() if "exit(" in text or "SystemExit" in text} == {"main.py"}


@pytest.mark.parametrize("args", [("devices", "list"), ("devices", "list", "--json"), ("--help",)], ids=" ".join)
def test_a_reader_that_has_gone_ends_it_without_a_word(args: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = python("-m", "weckd_edge", *args, stdout=writer, stderr=subprocess.PIPE)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


def test_devices_list_prints_json_alone(run: Run) -> None:
    code, out, err = run("devices", "list", "--json")
    assert (code, err) == (0, "")
    rows = json.loads(out)
    assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)
    assert {"generic-x86", "jetson-orin-nano-8gb"} <= {row["id"] for row in rows}
    keys = {"id", "name", "target", "architecture", "summary", "int8_arithmetic", "int8", "ram_gib", "published"}
    assert all(set(row) == keys for row in rows)
    code, table, err = run("devices", "list")
    assert code == 0
    assert "weckd-edge devices show" in err
    shown = {line.split("│")[1].strip(): line for line in table.splitlines() if line.startswith("│")}
    assert shown.keys() == {row["id"] for row in rows}
    assert [x.strip() for x in shown["jetson-orin-nano-8gb"].split("│")[2:7]] == ["jetson", "GPU, 8 SM", "native", "-", "8"]
    assert [x.strip() for x in shown["jetson-nano-4gb"].split("│")[4:8]] == ["none", "-", "4", "6"]
    assert [x.strip() for x in shown["nxp-imx93"].split("│")[2:8]] == [
        "cpu",
        "2x Cortex-A55",
        "native",
        "openvino some, onnxruntime all",
        "-",
        "8 of its kind",
    ]


def test_devices_show_gives_every_value_with_its_source_and_what_is_not_known(run: Run) -> None:
    code, out, err = run("devices", "show", "jetson-orin-nano-8gb")
    assert code == 0
    for text in (
        "102.4 GB/s",
        "MAXN_SUPER",
        "10.16.2.10",
        "3.49",
        "nvpmodel_p3767_0003(_super).conf",
        "Not known",
        "TensorRT 11",
    ):
        assert text in out
    assert "sure: V read in a primary source" in err
    assert "without a source" not in err


def test_devices_show_of_a_profile_of_ones_own_tells_what_has_no_source(run: Run, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('extends = "intel-n100"\nid = "own"\ntdp_w = 7\n')
    code, out, err = run("devices", "show", tmp_path / "own.toml")
    assert code == 0
    assert "7 W" in out
    assert "without a source: tdp_w" in err


def test_doctor_prints_json_alone_and_names_what_is_missing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weckd_edge.devices.doctor.doctor.EXTRA_OF", {"no_such_library": "sign"})
    code, out, err = run("doctor", "--json")
    assert (code, err) == (0, "")
    states = {library["module"]: library["state"] for library in json.loads(out)["libraries"]}
    assert states == {"click": "works", "numpy": "works", "PIL": "works", "rich": "works", "no_such_library": "absent"}
    code, table, err = run("doctor")
    assert code == 0
    assert "pip install 'weckd-edge[sign]'" in table
    assert err.startswith("device: ")


PHANTOM = ("--images", "20", "--size", "32x40")


def test_data_check_prints_json_alone_and_talks_on_stderr(run: Run, tmp_path: Path) -> None:
    code, out, err = run("data", "synth", "--out", tmp_path / "set", "--json", *PHANTOM)
    assert code == 0
    assert json.loads(out)["folder"] == str(tmp_path / "set")
    assert err.startswith("draw synthetic frames: 20 steps\n")
    code, out, err = run("data", "check", tmp_path / "set", "--json")
    assert code == 0
    assert json.loads(out)["images"] == 20
    assert err.startswith("read images: 20 steps\nread images: done in ")
    assert run("data", "check", tmp_path / "set", "--json", "-q") == (0, out, "")


def test_phantoms_of_one_seed_are_equal_to_the_byte(run: Run, tmp_path: Path) -> None:
    def draw(name: str, seed: int) -> dict[str, bytes]:
        assert run("data", "synth", "--out", tmp_path / name, "--seed", str(seed), "-q", *PHANTOM)[0] == 0
        found = (path for path in (tmp_path / name).rglob("*") if path.is_file())
        return {path.relative_to(tmp_path / name).as_posix(): path.read_bytes() for path in found}

    first, again, other = draw("a", 7), draw("b", 7), draw("c", 8)
    assert len(first) == 22
    assert first == again
    assert first != other
    assert draw("a", 8) == other  # an earlier set is replaced whole


def test_names_with_markup_and_control_characters_are_shown_as_they_are(run: Run, tmp_path: Path) -> None:
    for name in ("[red]x/[bold]1.png", "y/:ear:\x1b[31m.png", "y/[/].png", f"y/{'long' * 55}.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    code, out, _ = run("data", "check", tmp_path, "-q")
    assert code == 1  # none of them can be read
    for shown in ("│ [red]x │", "[red]x/[bold]1.png", "y/:ear:\\x1b[31m.png", "y/[/].png", f"y/{'long' * 55}.png"):
        assert shown in out
    assert "\x1b" not in out


def test_a_table_takes_nothing_for_markup(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("[red]column", "b"), [("[bold]cell", None), (1, "x\ny")], title="[link]title :ear:")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].rstrip() == "[link]title :ear:"
    assert "[red]column" in lines[2]
    assert [line.strip("│").split("│") for line in lines[4:-1]] == [
        [" [bold]cell  ", " -    "],
        [" 1           ", " x\\ny "],
    ]


def test_a_file_name_that_is_not_utf_8_goes_through_json_unharmed(capsys: pytest.CaptureFixture[str]) -> None:
    name = os.fsdecode("\u00e9/\u8033-".encode() + b"\xff.png")
    print_json({"file": name})
    printed = capsys.readouterr().out
    assert "\u00e9/\u8033-\\udcff.png" in printed
    assert json.loads(printed) == {"file": name}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("été 耳.png", "été 耳.png"),
        ("a\tb\r\n", "a\\tb\\r\\n"),
        ("\x1b]0;x\x07", "\\x1b]0;x\\x07"),
        ("\u202egnp", "\\u202egnp"),
    ],
)
def test_one_line_escapes_what_commands_a_terminal_and_nothing_else(text: str, shown: str) -> None:
    assert one_line(text) == shown


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
