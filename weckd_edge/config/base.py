"""What every table of settings is checked with."""

from __future__ import annotations

import math

from weckd_edge.core.errors import ConfigError


def check(ok: bool, message: str, *, code: str = "E_CONFIG_RANGE") -> None:
    """Refuse a setting with a message, unless it is all right; mostly it is a number beyond its limits."""
    if not ok:
        raise ConfigError(message, code=code)


def check_within(name: str, value: float, least: float, most: float) -> None:
    """Refuse a number that is not between two others, them included."""
    check(math.isfinite(value) and least <= value <= most, f"{name} = {value}: expected {least:.9g} to {most:.9g}")
