"""Checks and path handling that every table of settings uses."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import Field, field, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from weckd_edge.core.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Table = TypeVar("Table", bound=DataclassInstance)

T = TypeVar("T")


def path_field(*, default: T, written: bool = False) -> T:
    """Declare a setting that is a path, or several, relative to the folder of the settings file.

    Reading the file resolves it, and what is recorded in a bundle keeps its last part alone.

    Args:
        default: The setting where none is given.
        written: Whether something is written there; otherwise it is read.
    """
    marked: T = field(default=default, metadata={"path": True, "written": written})
    return marked


def map_paths(table: Table, change: Callable[[str], str]) -> Table:
    """Return a table of settings with every path in it and in its inner tables changed; empty paths stay."""
    return replace(table, **{item.name: mapped(getattr(table, item.name), change, item) for item in fields(table)})


def paths_of(table: DataclassInstance, within: str = "") -> Iterator[tuple[str, str]]:
    """Yield the name (such as ``data.unlabelled``) and the value of each path that is read, of all tables of settings."""
    for item in fields(table):
        name, value = f"{within}{item.name}", getattr(table, item.name)
        for one in value if isinstance(value, tuple) else (value,):
            if is_dataclass(one) and not isinstance(one, type):
                yield from paths_of(one, f"{name}.")
            elif _is_path(item) and not item.metadata["written"] and one:
                yield name, one


def _is_path(item: Field[Any]) -> bool:
    return bool(item.metadata.get("path"))


def mapped(value: Any, change: Callable[[str], str], item: Field[Any]) -> Any:
    """Return the value of a setting with every path in it changed."""
    if isinstance(value, tuple):
        return tuple(mapped(one, change, item) for one in value)
    if is_dataclass(value) and not isinstance(value, type):
        return map_paths(value, change)
    return change(value) if _is_path(item) and value else value


def check_setting(ok: bool, message: str, *, code: str = "E_CONFIG_RANGE") -> None:
    """Raise a ``ConfigError`` with the message unless the setting is all right; most settings are numbers with limits."""
    if not ok:
        raise ConfigError(message, code=code)


def check_licence(of: str, licence: str | None) -> None:
    """Raise a ``ConfigError`` where the licence of something's weights is stated with nothing in it."""
    check_setting(
        licence is None or bool(licence.strip()),
        f"{of}: weights_licence is empty; write a licence, or remove it",
        code="E_CONFIG_VALUE",
    )


def check_within(name: str, value: float, minimum: float, maximum: float) -> None:
    """Raise a ``ConfigError`` unless the number is finite and lies between two limits, both included."""
    check_setting(
        math.isfinite(value) and minimum <= value <= maximum, f"{name} = {value}: expected {minimum:.9g} to {maximum:.9g}"
    )
