"""Settings of a build, in whichever form a program holds them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from weckd_edge.artifacts import Target
from weckd_edge.config import BuildConfig, LinkConfig, load_config
from weckd_edge.config.link import DEFAULT_LINKS
from weckd_edge.core.errors import ConfigError, did_you_mean
from weckd_edge.core.serialization import from_data

Config = str | os.PathLike[str] | BuildConfig | Mapping[str, Any] | None
"""Settings of a build: path of a TOML file, a ``BuildConfig``, or a mapping of its tables; None takes the defaults."""


def read_config(config: Config, *, links: tuple[LinkConfig, ...] = DEFAULT_LINKS) -> BuildConfig:
    """Return settings as a ``BuildConfig``.

    Args:
        config: Path of a TOML file, whose paths start at its own folder; a ``BuildConfig``; or a mapping of tables, whose
            paths start at the current folder. None takes the defaults.
        links: Links of a mapping that names none, and of the defaults.

    Raises:
        ConfigError: A setting is unknown, wrong, or contradicts another; or the file cannot be read.
    """
    if isinstance(config, BuildConfig):
        return config
    if config is None:
        return BuildConfig(link=links)
    if isinstance(config, str | os.PathLike):
        return load_config(Path(config))
    found = from_data(BuildConfig, _plain(config), where="config")
    return found if "link" in config else replace(found, link=links)


def choose_target(name: str) -> Target:
    """Return a target by its name.

    Raises:
        ConfigError: No target has that name.
    """
    for target in get_args(Target):
        if name == target:
            return target  # type: ignore[no-any-return]  # get_args gives what the type holds
    raise ConfigError(f"unknown target '{name}'{did_you_mean(name, get_args(Target))}", code="E_CONFIG_CHOICE")


def _plain(value: Any) -> Any:
    """Return a value as a TOML file would hold it: paths as texts, tuples as lists."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(entry) for entry in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value
