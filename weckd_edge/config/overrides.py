"""Settings by name, such as ``train.epochs=20``: read from text, typed by the tables, put over those of a file."""

from __future__ import annotations

import difflib
import math
import types
from collections.abc import Iterator, Mapping
from dataclasses import Field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from weckd_edge.config.base import mapped
from weckd_edge.core.errors import ConfigError
from weckd_edge.core.serialization import from_data, to_data
from weckd_edge.core.toml_file import parse_toml
from weckd_edge.core.words import split_names


def setting_names(table: type[Any]) -> tuple[str, ...]:
    """Return the names of all settings of a configuration and of the tables within it, such as ``train.epochs``."""
    return tuple(_names(table, ""))


def _names(table: type[Any], within: str) -> Iterator[str]:
    hints = get_type_hints(table)
    for field in fields(table):
        kind = hints[field.name]
        if isinstance(kind, type) and is_dataclass(kind):
            yield from _names(kind, f"{within}{field.name}.")
        else:
            yield f"{within}{field.name}"


def parse_setting(table: type[Any], text: str, *, option: str = "--set") -> tuple[str, Any]:
    """Read ``table.key=value``: the name of a setting, and its value in the type that the setting has.

    A text needs no quotes, and a list of texts no brackets: ``report.slices=site,age``. Every other value is written as in
    TOML. ``none`` empties a number that need not be set. A path is relative to the current folder.

    Args:
        table: The dataclass of the whole configuration.
        text: The setting.
        option: What messages call the place it was written in.

    Returns:
        The name and the value, as plain data.

    Raises:
        ConfigError: No setting has that name, or the value has another type.
    """
    name, equals, given = text.partition("=")
    name = name.strip()
    if not equals or not name:
        raise ConfigError(f"{option} {text}: expected table.key=value, such as train.epochs=20", code="E_CONFIG_VALUE")
    field, kind = _find_setting(table, name, option)
    data = _read_value(given.strip(), kind, f"{option} {name}")
    value = from_data(kind, data, where=f"{option} {name}")
    return name, to_data(mapped(value, lambda path: str(Path(path).absolute()), field))


def with_settings(data: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plain data of a configuration with settings put over it by their names."""
    merged = dict(data)
    for name, value in settings.items():
        table, _, key = name.rpartition(".")
        if not table:
            merged[key] = value
        elif isinstance(merged.get(table, {}), Mapping):
            merged[table] = {**merged.get(table, {}), key: value}
    return merged


def _find_setting(table: type[Any], name: str, option: str) -> tuple[Field[Any], Any]:
    known = setting_names(table)
    if name not in known:
        ends = [one for one in known if one.rpartition(".")[2] == name]
        close = ends[:1] or difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        guess = f"; did you mean '{close[0]}'?" if close else "."
        raise ConfigError(
            f"{option} {name}: unknown setting{guess} 'weckd-edge config show' lists all of them",
            code="E_RECORD_KEY_UNKNOWN",
        )
    *tables, key = name.split(".")
    for part in tables:
        table = get_type_hints(table)[part]
    field = next(field for field in fields(table) if field.name == key)
    return field, get_type_hints(table)[key]


def _read_value(text: str, kind: Any, where: str) -> Any:
    kinds = set(_alternatives(kind))
    quoted = text[:1] in ("'", '"')
    texts = str in kinds or any(isinstance(one, str) for one in kinds)
    if text == "none" and type(None) in kinds and not texts:
        return None
    if texts and not quoted and not kinds & {int, float, bool}:
        return text
    if any(get_origin(one) is tuple and get_args(one)[:1] == (str,) for one in kinds) and text[:1] not in ("[", "'", '"'):
        return list(split_names(text))
    try:
        return parse_toml(f"value = {text}", where=where)["value"]
    except ConfigError:
        number = _number(text)
        return text if number is None or float not in kinds else number


def _alternatives(kind: Any) -> Iterator[Any]:
    if get_origin(kind) in (Union, types.UnionType):
        for one in get_args(kind):
            yield from _alternatives(one)
    elif get_origin(kind) is Literal:
        yield from get_args(kind)
    else:
        yield kind


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
