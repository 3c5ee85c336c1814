"""Types of what a person writes on the command line: paths, finite numbers, one of several names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from weckd_edge.core.bounds import MAX_SEED, MAX_THREADS, MAX_VERSION
from weckd_edge.core.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    _Text = click.ParamType[str]
else:  # only the newest versions of click name the type of the value
    _Text = click.ParamType


class AnyPath(click.Path):
    """A path that need not exist; an empty text is refused, where Python would take it for the current folder."""

    def __init__(
        self, *, exists: bool = False, dir_okay: bool = True, file_okay: bool = True, path_type: type = Path
    ) -> None:
        super().__init__(path_type=path_type, exists=exists, dir_okay=dir_okay, file_okay=file_okay)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if str(value) == "" or value == b"":
            self.fail("expected a path, got an empty text ('.' is the current folder)", param, ctx)
        return super().convert(value, param, ctx)


class WholeNumber(click.IntRange):
    """A whole number within bounds."""

    name = "n"


class FiniteRange(click.FloatRange):
    """A number within bounds; "nan" is refused, where a comparison with a bound finds nothing wrong."""

    name = "x"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"expected a finite number, got {value}", param, ctx)
        return found


class OneOf(_Text):
    """One of several names; the error for an unknown one suggests the nearest.

    Args:
        names: The known names, in the order that ``--help`` shows.
        prefix: Beginning of a value that ends in a text of the user's own, such as ``replay:FILE``; None: there is none.
    """

    name = "choice"

    def __init__(self, names: Sequence[str], *, prefix: str | None = None) -> None:
        self.names = tuple(names)
        self._prefix = prefix
        self._shown = (*self.names, *([prefix] if prefix else []))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if text in self.names or (self._prefix is not None and text.startswith(self._prefix.partition(":")[0] + ":")):
            return text
        name = param.opts[0] if param is not None else "value"
        raise ConfigError(f"{name}: unknown value '{text}'{did_you_mean(text, self._shown)}", code="E_CONFIG_CHOICE")

    def get_metavar(self, param: click.Parameter, *args: Any, **settings: Any) -> str | None:
        return f"[{'|'.join(self._shown)}]"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(name) for name in self.names if name.startswith(incomplete)]


class DeviceName(_Text):
    """The name of a device profile, or a TOML file of the user's own; the shell completes both."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from weckd_edge.devices.profiles.profile import profile_names

        names = [CompletionItem(name) for name in profile_names() if name.startswith(incomplete)]
        return names or [CompletionItem(incomplete, type="file")]


class Override(_Text):
    """A setting with its value, ``table.key=value``; the shell completes the name."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from weckd_edge.config import BuildConfig, setting_names

        return [CompletionItem(f"{name}=") for name in setting_names(BuildConfig) if name.startswith(incomplete)]


PATH = AnyPath()
DEVICE = DeviceName()
OVERRIDE = Override()
THREADS = WholeNumber(1, MAX_THREADS)
SEED = WholeNumber(0, MAX_SEED)
VERSION = WholeNumber(0, MAX_VERSION)
