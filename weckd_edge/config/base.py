"""What every table of settings is checked with."""

from __future__ import annotations

import math

from weckd_edge.core.errors import ConfigError


def check_setting(ok: bool, message: str, *, code: str = "E_CONFIG_RANGE") -> None:
    """Refuse a setting with a message, unless it is all right; mostly it is a number beyond its limits."""
    if not ok:
        raise ConfigError(message, code=code)


def check_within(name: str, value: float, minimum: float, maximum: float) -> None:
    """Refuse a number that is not between two others, them included."""
    check_setting(
        math.isfinite(value) and minimum <= value <= maximum, f"{name} = {value}: expected {minimum:.9g} to {maximum:.9g}"
    )
