"""What every table of settings is checked with."""

from __future__ import annotations

import math

from weckd_edge.core.errors import ConfigError


def check_setting(ok: bool, message: str) -> None:
    """Refuse a setting with a message, unless it is all right."""
    if not ok:
        raise ConfigError(message)


def check_within(name: str, value: float, minimum: float, maximum: float) -> None:
    """Refuse a number that is not between two others, them included."""
    check_setting(
        math.isfinite(value) and minimum <= value <= maximum, f"{name} = {value}: expected {minimum:.9g} to {maximum:.9g}"
    )
