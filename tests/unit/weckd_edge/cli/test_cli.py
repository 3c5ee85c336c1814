"""The command line: its help, its front page, wrong requests, and what the shell completes."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import click
import pytest

import weckd_edge
from weckd_edge.cli.main import COMMANDS

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


@pytest.mark.parametrize("args", [("devices", "list"), ("devices", "list", "--json"), ("--help",)], ids=" ".join)
def test_a_reader_that_has_gone_ends_it_without_a_word(args: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = python("-m", "weckd_edge", *args, stdout=writer, stderr=subprocess.PIPE)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")
