"""Options as records: a titled group of options that a command takes as one value, and that ``--help`` shows together.

A group is a frozen dataclass, and ``takes`` gives it to a command::

    @dataclass(frozen=True, kw_only=True, slots=True)
    class UpdateSigner(OptionGroup):
        title: ClassVar[str] = "Signature"
        sign_key: Path | None = option("--sign-key", type=PATH, help="PEM private key that signs the update itself.")

    @click.command("rauc", cls=Command)
    @takes(signer=UpdateSigner, output=Output)
    def command(signer: UpdateSigner, output: Output) -> None: ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import field, fields
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar

import click
from click.core import ParameterSource

from weckd_edge.cli.console.output import HELP

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_COLUMN = 30
"""Largest width of the column that names the options in ``--help``, characters; click's own."""

_OTHER = "Options"
"""Section of the options that belong to no group; the last one."""


class OptionGroup:
    """Base of a frozen, keyword-only dataclass whose fields are options.

    Attributes:
        title: Section of ``--help`` that shows them; groups of one title share it.
    """

    __slots__ = ()
    title: ClassVar[str]


def option(*names: str, **settings: Any) -> Any:
    """Declare a field of an ``OptionGroup``: the option that fills it, in the words of ``click.option``."""
    return field(metadata={"option": (names, settings)})


def takes(**groups: type[OptionGroup]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the options of some groups; each group arrives as one record, under the name that it has here."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def command(*args: Any, **values: Any) -> Any:
            records = {
                name: group(**{one.name: values.pop(one.name) for one in _fields(group)}) for name, group in groups.items()
            }
            return function(*args, **values, **records)

        decorated: Callable[..., Any] = command
        for add in reversed([add for group in groups.values() for add in _options(group)]):
            decorated = add(decorated)
        return decorated

    return decorate


def given_options(*groups: type[OptionGroup]) -> tuple[str, ...]:
    """Return the options of some groups that the command line gives to the running command, such as ``--jobs``."""
    ctx = click.get_current_context()
    names = {one.name for group in groups for one in _fields(group)}
    return tuple(
        param.opts[0]
        for param in ctx.command.params
        if param.name in names and ctx.get_parameter_source(str(param.name)) is ParameterSource.COMMANDLINE
    )


def _fields(group: type[OptionGroup]) -> tuple[Any, ...]:
    dataclass: type[DataclassInstance] = group  # type: ignore[assignment]  # every group is a dataclass
    return fields(dataclass)


def _options(group: type[OptionGroup]) -> Iterator[Callable[..., Any]]:
    for one in _fields(group):
        names, settings = one.metadata["option"]
        yield click.option(*names, one.name, cls=_SectionOption, section=group.title, **settings)


class _SectionOption(click.Option):
    """An option that knows its section of ``--help``."""

    def __init__(self, *args: Any, section: str, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.section = section


class Command(click.Command):
    """A command whose ``--help`` shows its options in sections, what is required first in each."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **{"context_settings": HELP} | settings)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        shown = [
            (param, record)
            for param in self.get_params(ctx)
            if isinstance(param, click.Option) and (record := param.get_help_record(ctx)) is not None
        ]
        # One width for all sections, so that their texts stand in line.
        width = min(_COLUMN, max(len(names) for _, (names, _) in shown))
        titles = dict.fromkeys(_section_of(param) for param, _ in shown)
        for title in sorted(titles, key=lambda title: title == _OTHER):
            own = [(param, record) for param, record in shown if _section_of(param) == title]
            own.sort(key=lambda one: not one[0].required)
            with formatter.section(title):
                formatter.write_dl([(names.ljust(width), text) for _, (names, text) in own], _COLUMN)


def _section_of(param: click.Option) -> str:
    return param.section if isinstance(param, _SectionOption) else _OTHER


class CommandGroup(click.Group):
    """A command with commands below it."""

    command_class = Command

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **{"context_settings": HELP} | settings)
