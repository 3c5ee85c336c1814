"""What every table of settings is checked with."""

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
    """Return a table of settings with every path in it changed, and in the tables within it; empty ones stay."""
    return replace(table, **{item.name: _mapped(getattr(table, item.name), change, item) for item in fields(table)})


def paths_of(table: DataclassInstance, within: str = "") -> Iterator[tuple[str, str]]:
    """Yield each path that is read, of a table of settings and of those in it, after its name, as ``data.unlabelled``."""
    for item in fields(table):
        name, value = f"{within}{item.name}", getattr(table, item.name)
        for one in value if isinstance(value, tuple) else (value,):
            if is_dataclass(one) and not isinstance(one, type):
                yield from paths_of(one, f"{name}.")
            elif _is_path(item) and not item.metadata["written"] and one:
                yield name, one


def _is_path(item: Field[Any]) -> bool:
    return bool(item.metadata.get("path"))


def _mapped(value: Any, change: Callable[[str], str], item: Field[Any]) -> Any:
    if isinstance(value, tuple):
        return tuple(_mapped(one, change, item) for one in value)
    if is_dataclass(value) and not isinstance(value, type):
        return map_paths(value, change)
    return change(value) if _is_path(item) and value else value


def check_setting(ok: bool, message: str, *, code: str = "E_CONFIG_RANGE") -> None:
    """Refuse a setting with a message, unless it is all right; mostly it is a number beyond its limits."""
    if not ok:
        raise ConfigError(message, code=code)


def check_within(name: str, value: float, minimum: float, maximum: float) -> None:
    """Refuse a number that is not between two others, them included."""
    check_setting(
        math.isfinite(value) and minimum <= value <= maximum, f"{name} = {value}: expected {minimum:.9g} to {maximum:.9g}"
    )
