"""What every table of settings is checked with."""

from __future__ import annotations

from weckd_edge.errors import ConfigError


def check(ok: bool, message: str) -> None:
    """Refuse a setting with a message, unless it is all right."""
    if not ok:
        raise ConfigError(message)
