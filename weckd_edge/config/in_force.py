"""The settings that are in force, each with its origin, and as TOML that can be read back."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from weckd_edge.config.build import BuildConfig, config_of
from weckd_edge.config.overrides import setting_names
from weckd_edge.core.serialization import to_data
from weckd_edge.core.toml_file import read_toml

Origin = Literal["default", "file", "command line"]

_COLUMN = 48
"""Column at which the comments with the origin begin, characters."""

_BARE_KEY = re.compile("[A-Za-z0-9_-]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class SettingInForce:
    """A setting of a build, and where its value comes from.

    Attributes:
        name: Name with its table, such as ``train.epochs``.
        value: Value as plain data; None where the setting is not set.
        origin: What set it last.
    """

    name: str
    value: Any
    origin: Origin


def settings_in_force(path: Path | None, settings: Mapping[str, Any]) -> tuple[SettingInForce, ...]:
    """Return every setting of a build with its origin, in the order of the tables.

    Args:
        path: TOML file; None: there is none.
        settings: Values from the command line by their names, such as ``train.epochs``; they stand over the file.

    Raises:
        ConfigError: ``load_config`` refuses the file or a setting.
    """
    file = {} if path is None else read_toml(path)
    config = to_data(config_of(file, path, settings))

    def origin(name: str) -> Origin:
        table, _, key = name.rpartition(".")
        if name in settings:
            return "command line"
        return "file" if key in (file.get(table, {}) if table else file) else "default"

    return tuple(
        SettingInForce(name=name, value=_value_of(config, name), origin=origin(name)) for name in setting_names(BuildConfig)
    )


def settings_toml(settings: Sequence[SettingInForce]) -> str:
    """Write settings as TOML, with the origin of each in a comment; a setting that is not set is a comment whole."""
    plain = [one for one in settings if "." not in one.name and not _is_list_of_tables(one.value)]
    lists = [one for one in settings if "." not in one.name and _is_list_of_tables(one.value)]
    blocks = [[_line(one.name, one.value, one.origin) for one in plain]]
    for one in lists:
        for item in one.value:
            blocks.append([f"{f'[[{one.name}]]':<{_COLUMN}}# {one.origin}"])
            blocks[-1] += [f"{_key(key)} = {_toml(value)}" for key, value in item.items() if value not in (None, {})]
    tables: dict[str, list[str]] = {}
    for one in settings:
        table, _, key = one.name.rpartition(".")
        if table:
            tables.setdefault(table, [f"[{table}]"]).append(_line(key, one.value, one.origin))
    return "\n\n".join("\n".join(lines) for lines in (*blocks, *tables.values())) + "\n"


def _value_of(config: Mapping[str, Any], name: str) -> Any:
    table, _, key = name.rpartition(".")
    return config[table][key] if table else config[key]


def _is_list_of_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, Mapping) for one in value)


def _line(key: str, value: Any, origin: Origin) -> str:
    text = f"# {key} is not set" if value is None else f"{_key(key)} = {_toml(value)}"
    return f"{text:<{_COLUMN - 2}}  # {origin}"


def _key(text: str) -> str:
    return text if _BARE_KEY.fullmatch(text) else _toml(text)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_toml(one)}" for key, one in value.items() if one is not None) + " }"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml, value))}]"
    return repr(value)
