"""Errors, defects and interrupts become one line and an exit code."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from weckd_edge.cli.console.output import print_json
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

Run = Callable[..., tuple[int, str, str]]


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


@pytest.mark.parametrize(
    "text",
    [
        "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:561] Connection closed by peer [10.0.0.2].\nCheck the logs",
        "Gloo connectFullMesh failed with [/pytorch/third_party/gloo/gloo/...]: timed out connecting",
        "NCCL communicator was aborted on rank 1",
    ],
)
def test_a_process_that_trained_along_and_has_gone_is_no_defect(
    text: str, command_that: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    command_that(raises(RuntimeError(text)))
    with pytest.raises(SystemExit) as left:
        main(["try"])
    assert left.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("error[E_STORE_PROCESS_LOST]: ")
    assert said.count("\n") == 1
