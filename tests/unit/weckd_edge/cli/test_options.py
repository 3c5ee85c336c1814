"""Groups of options: one record for each group, one section of --help for each title, and names that are checked."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError, dataclass, fields, is_dataclass
from typing import ClassVar, get_args

import click
import pytest
from click.testing import CliRunner

from weckd_edge.artifacts import Target
from weckd_edge.cli.main import COMMANDS
from weckd_edge.cli.parsing.bench_options import POWER_SOURCES, RULES
from weckd_edge.cli.parsing.option_groups import BACKENDS, TARGETS, DataColumns, DataSet
from weckd_edge.cli.parsing.options import Command, OptionGroup, option, takes
from weckd_edge.cli.parsing.parameter_types import OneOf
from weckd_edge.core.errors import ConfigError
from weckd_edge.devices.bench.load_generator.rules import RULES as BENCH_RULES
from weckd_edge.devices.bench.power.table import AUTO, METERS, NONE
from weckd_edge.devices.runtime.backends.table import BACKENDS as BACKEND_TABLE

Run = Callable[..., tuple[int, str, str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ears(OptionGroup):
    """The ears of a toy."""

    title: ClassVar[str] = "Ears"
    number: int = option("--number", default=2, help="Number of ears.")
    shape: str = option("--shape", type=OneOf(("round", "pointed"), prefix="like:ANIMAL"), required=True, help="Shape.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Furry(Ears):
    """Ears with fur."""

    fur: bool = option("--fur", is_flag=True, help="Whether there is fur.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Tail(OptionGroup):
    """The tail of a toy."""

    title: ClassVar[str] = "Tail"
    length: float = option("--length", default=1.0, help="Length, cm.")


def toy(seen: list[object]) -> Command:
    @click.command("toy", cls=Command)
    @click.argument("name")
    @takes(ears=Furry, tail=Tail)
    def command(name: str, ears: Furry, tail: Tail) -> None:
        """Make a toy."""
        seen.extend([name, ears, tail])

    assert isinstance(command, Command)
    return command


def test_a_group_arrives_as_one_frozen_record_with_the_options_it_inherits() -> None:
    seen: list[object] = []
    done = CliRunner().invoke(toy(seen), ["bear", "--fur", "--shape", "round", "--length", "2.5"])
    assert (done.exit_code, done.output) == (0, "")
    assert seen == ["bear", Furry(number=2, shape="round", fur=True), Tail(length=2.5)]
    with pytest.raises(FrozenInstanceError):
        seen[2].length = 3.0  # type: ignore[attr-defined]  # a record of the list


def test_help_shows_a_section_for_each_title_what_is_required_first_and_texts_in_line() -> None:
    text = CliRunner().invoke(toy([]), ["-h"]).output
    lines = text[text.index("Ears:") :].splitlines()
    heads = [line for line in lines if line.endswith(":")]
    assert heads == ["Ears:", "Tail:", "Options:"]
    names = [line.split()[0] for line in lines if line.startswith("  -")]
    assert names == ["--shape", "--number", "--fur", "--length", "-h,"]
    starts = {line.index(word) for line in lines for word in ("Shape.", "Number of", "Length,", "Show this") if word in line}
    assert len(starts) == 1


@pytest.mark.parametrize("value", ["round", "pointed", "like:cat"])
def test_a_known_name_is_taken_as_it_is(value: str) -> None:
    seen: list[object] = []
    assert CliRunner().invoke(toy(seen), ["bear", "--shape", value]).exit_code == 0
    assert isinstance(seen[1], Furry)
    assert seen[1].shape == value


def test_an_unknown_name_is_refused_with_the_nearest_and_its_code() -> None:
    done = CliRunner().invoke(toy([]), ["bear", "--shape", "rund"])
    assert isinstance(done.exception, ConfigError)
    assert done.exception.code == "E_CONFIG_CHOICE"
    assert str(done.exception) == ("--shape: unknown value 'rund'; did you mean 'round'? Known: like:ANIMAL, pointed, round")


def test_the_shell_completes_names_and_options() -> None:
    command = toy([])
    with command.make_context("toy", ["x"], resilient_parsing=True) as ctx:
        shape = next(param for param in command.params if param.name == "shape")
        assert [item.value for item in shape.shell_complete(ctx, "p")] == ["pointed"]
        assert "--shape" in [item.value for item in command.shell_complete(ctx, "--")]


def leaves() -> Iterator[tuple[str, click.Command]]:
    for name, entry in COMMANDS.items():
        command = importlib.import_module(entry.module).command
        if isinstance(command, click.Group):
            yield from ((f"{name} {below}", inner) for below, inner in command.commands.items())
        else:
            yield name, command


LEAVES = dict(leaves())


@pytest.mark.parametrize("name", LEAVES)
def test_every_option_of_a_command_stands_in_a_titled_section_under_a_name_of_its_own(name: str) -> None:
    command = LEAVES[name]
    assert isinstance(command, Command)
    names = [param.name for param in command.params]
    assert len(names) == len(set(names))
    loose = [param.name for param in command.params if isinstance(param, click.Option) and not hasattr(param, "section")]
    assert loose == []


@pytest.mark.parametrize("name", LEAVES)
def test_a_command_takes_at_most_seven_values_and_every_group_is_a_documented_record(name: str) -> None:
    callback = LEAVES[name].callback
    parameters = inspect.signature(inspect.unwrap(callback)).parameters if callback else {}
    assert 1 <= len(parameters) <= 7
    module = inspect.getmodule(inspect.unwrap(callback)) if callback else None
    for parameter in parameters.values():
        group = getattr(module, str(parameter.annotation), None)
        if inspect.isclass(group) and issubclass(group, OptionGroup):
            assert is_dataclass(group)
            assert group.__doc__
            assert all("option" in field.metadata for field in fields(group))


def test_the_choices_are_those_of_the_tables_behind_them() -> None:
    assert set(TARGETS) == set(get_args(Target))
    assert set(BACKENDS) == set(BACKEND_TABLE)
    assert set(RULES) == set(BENCH_RULES)
    assert set(POWER_SOURCES) == {*METERS, AUTO, NONE}


@pytest.mark.parametrize(
    ("args", "name", "nearest"),
    [
        (("build", "--target", "cpuu"), "--target", "cpu"),
        (("bench", "x", "--rules", "mlperv"), "--rules", "mlperf"),
        (("bench", "x", "--power", "rappl"), "--power", "rapl"),
        (("predict", "x", "y", "--backend", "openvin"), "--backend", "openvino"),
        (("compile", "x", "--layout", "nchv"), "--layout", "nchw"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_misspelt_choice_is_one_line_with_its_code_and_the_nearest(
    args: tuple[str, ...], name: str, nearest: str, run: Run
) -> None:
    code, out, err = run(*args)
    assert (code, out) == (2, "")
    assert err.startswith(f"error[E_CONFIG_CHOICE]: {name}: unknown value '{args[-1]}'; did you mean '{nearest}'? Known: ")
    assert err.count("\n") == 1


def test_columns_on_the_command_line_are_settings_by_their_names_and_only_those_that_were_given() -> None:
    nothing = dict.fromkeys((field.name for field in fields(DataColumns)), None)
    assert DataColumns(**nothing).settings() == {}
    given = DataSet(path="ears.csv", skip_bad=True, **nothing | {"label_column": "c", "use_published_split": False})  # type: ignore[arg-type]
    assert given.settings() == {"data.label_column": "c", "data.use_published_split": False}
